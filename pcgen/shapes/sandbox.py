"""Reading a foreign file in a process of its own, for readers that may hang, crash or fill memory.

``prepare`` has its workers (:mod:`pcgen.jobs.workers`), which are under limits already. This is
for commands that read one file: a helper process is started at the first, kept for the next, and
ends with its parent. Files go in by name, arrays come back as ``.npy``; neither side unpickles.
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

from pcgen import errors
from pcgen.errors import InputError, PcgenError
from pcgen.jobs import workers
from pcgen.shapes.arrays import read_npy, write_npy

Arrays = dict[str, NDArray[Any]]

#: A function of a path that gives arrays by name, and raises a known error for everything else.
READERS = {
    "torch": ("pcgen.shapes.cloud_arrays", "parse_torch"),
}


def read_sandboxed(reader: str, path: Path) -> Arrays:
    """What the reader of that name makes of ``path``.

    Raises:
        InputError: the reader died at it: of its time, its memory, or a crash.
        PcgenError: as the reader raised it.
    """
    if workers.is_limited():
        return _call(reader, path)
    with _lock, tempfile.TemporaryDirectory(prefix="pcgen-") as folder:
        answer = _ask({"reader": reader, "path": str(path.absolute()), "out": folder})
        if "error" in answer:
            raise getattr(errors, answer["error"])(answer["message"])
        return {name: read_npy(Path(folder) / f"{k}.npy") for k, name in enumerate(answer["names"])}


# The helper imports what its parent would, wherever it is started.
_START = (
    "import sys; sys.path[:] = sys.argv[3:]; from pcgen.shapes.sandbox import serve; "
    "serve(int(sys.argv[1]), int(sys.argv[2]))"
)
_lock = threading.Lock()
_helper: subprocess.Popen[str] | None = None


def _ask(question: dict[str, str]) -> dict[str, Any]:
    """One line to the helper, one line back; its death is an :class:`InputError`."""
    global _helper
    if _helper is None or _helper.poll() is not None:
        limits = [str(workers.TIME_LIMIT_S), str(workers.MEMORY_LIMIT)]
        _helper = subprocess.Popen(
            [sys.executable, "-c", _START, *limits, *sys.path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        atexit.register(_helper.kill)
    assert _helper.stdin is not None
    assert _helper.stdout is not None
    line = ""
    try:
        with contextlib.suppress(BrokenPipeError):
            _helper.stdin.write(json.dumps(question) + "\n")
            _helper.stdin.flush()
            line = _helper.stdout.readline()
    except BaseException:  # Ctrl-C: its answer must not become that of the next question
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
        raise InputError(f"{path} needs more memory than reading one file may take") from None
    return found


def serve(time_limit_s: int, memory_limit: int) -> None:
    """The life of the helper: questions on stdin, answers on stdout, until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    workers.limit_memory(memory_limit)
    out, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        question = json.loads(line)
        signal.alarm(time_limit_s)
        try:
            arrays = _call(question["reader"], Path(question["path"]))
            for k, array in enumerate(arrays.values()):
                write_npy(Path(question["out"]) / f"{k}.npy", np.asarray(array))
            answer: dict[str, Any] = {"names": list(arrays)}
        except PcgenError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        signal.alarm(0)
        out.write(json.dumps(answer) + "\n")
        out.flush()
