"""Make a small copy of a run that suffices for sampling.

Training state, teachers and learning curves are left out, and the weights of the flows are written
in half precision. Every command but train accepts the folder as a run; only --solver euler and
heun need the teachers.

examples:
  pcgen pack runs/chairs --out chairs-small
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--full", action="store_true", help="keep single precision")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    out = pcgen.load(args.run, device="cpu").save(args.out, half=not args.full)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return {"out": str(out), "megabytes": round(size / 1e6, 1)}


def describe(result: dict[str, Any]) -> str:
    return f"{result['out']}  ({result['megabytes']} MB)"
