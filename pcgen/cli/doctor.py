"""Check what is installed, what works and how fast, and how to install what is missing.

Each backend and the graphics are tested on a small case in a separate process. A few training steps
of each preset's autoencoder are timed, on as many cores as are free now. The first run takes a
minute, because KeOps compiles a kernel. The exit code is 0 if training and sampling work here.
"""

from __future__ import annotations

import argparse
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen import doctor

    return doctor.examine()


def describe(result: dict[str, Any]) -> str:
    lines = [f"Python {result['python']}, {result['machine']}, GPU: {result['gpu']}"]
    for group in ("packages", "kernels", "system", "speed"):
        lines.append("")
        for item in result[group]:
            mark = "ok " if item["works"] else "-- "
            lines.append(f"{mark} {item['name']:<18} {item['detail']}")
            if item["remedy"]:
                lines.append(f"    {'':<18} {item['remedy']}")
    lines.append("")
    lines.append("the pipeline works here" if result["ok"] else "the pipeline does not work yet")
    return "\n".join(lines)
