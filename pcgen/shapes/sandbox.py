"""Read untrusted files in a helper process, for readers that may hang, crash or fill memory.

The workers of ``prepare`` (:mod:`pcgen.jobs.workers`) run under limits already; other commands use
this helper. It starts with the first file, serves all later ones, and ends with its parent. The
parent sends file names and receives arrays as ``.npy``; neither side unpickles.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, PcgenError
from pcgen.jobs import workers
from pcgen.jobs.child import error_data, raise_error, serving, start
from pcgen.shapes.arrays import read_npy, write_npy

Arrays = dict[str, NDArray[Any]]

#: Functions from a path to arrays by name; they raise a known error for anything else.
READERS = {
    "torch": ("pcgen.shapes.cloud_arrays", "parse_torch"),
}


def read_sandboxed(reader: str, path: Path) -> Arrays:
    """The arrays that the reader of that name reads from ``path``.

    Raises:
        InputError: the reader exceeded its time or memory, or crashed.
        PcgenError: an error of the reader.
    """
    if workers.is_limited():
        return _call(reader, path)
    with _lock, tempfile.TemporaryDirectory(prefix="pcgen-") as folder:
        answer = _ask({"reader": reader, "path": str(path.absolute()), "out": folder})
        raise_error(answer)
        return {name: read_npy(Path(folder) / f"{k}.npy") for k, name in enumerate(answer["names"])}


_lock = threading.Lock()
_helper: subprocess.Popen[str] | None = None


def _ask(question: dict[str, str]) -> dict[str, Any]:
    """Send a line to the helper and receive one; its death raises :class:`InputError`."""
    global _helper
    if _helper is None or _helper.poll() is not None:
        limits = str(workers.TIME_LIMIT_S), str(workers.MEMORY_LIMIT)
        _helper = start(serving(__name__), *limits, answers=True)
        atexit.register(_helper.kill)
    assert _helper.stdin is not None
    assert _helper.stdout is not None
    line = ""
    try:
        with contextlib.suppress(BrokenPipeError):
            _helper.stdin.write(json.dumps(question) + "\n")
            _helper.stdin.flush()
            line = _helper.stdout.readline()
    except BaseException:  # Ctrl-C: the next question must not receive this answer
        _helper.kill()
        _helper = None
        raise
    if not line:
        code = _helper.wait()
        _helper = None
        reason = workers.death_reason(code, workers.TIME_LIMIT_S)
        raise InputError(f"{question['path']} cannot be used: {reason}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _call(reader: str, path: Path) -> Arrays:
    module, function = READERS[reader]
    try:
        found: Arrays = getattr(importlib.import_module(module), function)(path)
    except MemoryError:
        raise InputError(f"{path} needs more memory than the limit for one file") from None
    return found


def serve(time_limit_s: str, memory_limit: str) -> None:
    """Run the helper: read questions from stdin and write answers to stdout, until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    workers.limit_memory(int(memory_limit))
    out, sys.stdout = sys.stdout, sys.stderr  # stdout carries answers only
    for line in sys.stdin:
        question = json.loads(line)
        signal.alarm(int(time_limit_s))
        try:
            arrays = _call(question["reader"], Path(question["path"]))
            for k, array in enumerate(arrays.values()):
                write_npy(Path(question["out"]) / f"{k}.npy", np.asarray(array))
            answer: dict[str, Any] = {"names": list(arrays)}
        except PcgenError as error:
            answer = dict(error_data(error))
        signal.alarm(0)
        out.write(json.dumps(answer) + "\n")
        out.flush()
