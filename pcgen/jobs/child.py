"""Run Python code in a separate process, as it may crash or hang this one.

:func:`probe` runs code to its end and returns the outcome; :func:`start` starts a child that its
parent communicates with. :func:`error_data` and :func:`raise_error` transfer errors of pcgen. Work
that consists of many tasks uses :func:`pcgen.jobs.pool`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pcgen import errors
from pcgen.errors import PcgenError


@dataclass(frozen=True)
class Ended:
    """How code ended.

    Attributes:
        code: its exit code, minus the signal that ended it, or None after the time limit.
        out, err: what it wrote to stdout and stderr.
    """

    code: int | None
    out: str = ""
    err: str = ""

    @property
    def lines(self) -> list[str]:
        """What it wrote, stderr first, without empty lines."""
        return [line.strip() for line in (self.err + self.out).splitlines() if line.strip()]


def probe(code: str, patience_s: float) -> Ended:
    """Run code to its end, or until a time limit in seconds."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=patience_s
        )
    except subprocess.TimeoutExpired:
        return Ended(None)
    return Ended(done.returncode, done.stdout, done.stderr)


def serving(module: str) -> str:
    """Code for :func:`start`: calls ``serve`` of a module with two words.

    It imports from where its parent does, in any folder.
    """
    return (
        f"import sys; sys.path[:] = sys.argv[3:]; from {module} import serve; serve(*sys.argv[1:3])"
    )


def start(code: str, first: str, second: str, *, answers: bool = False) -> subprocess.Popen[str]:
    """Start code with two words and ``sys.path`` as arguments; its stdin is a pipe.

    Args:
        answers: whether its stdout is a pipe too.
    """
    return subprocess.Popen(
        [sys.executable, "-c", code, first, second, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if answers else None,
        text=True,
    )


def error_data(error: PcgenError) -> dict[str, str]:
    """An error as an answer that JSON holds."""
    return {"error": type(error).__name__, "message": str(error)}


def raise_error(answer: Mapping[str, Any]) -> None:
    """Raise the error that an answer holds, if any."""
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
