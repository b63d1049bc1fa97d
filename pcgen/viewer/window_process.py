"""Run the window in its own process, so that a driver crash does not end the command.

A driver may fail later even if the probe opened a window. The child receives its options as JSON
and writes its result to a file. Importing Open3D takes seconds, so the probe and the child run side
by side: the child loads what it will show, and opens the window when its parent writes the result
of the probe to its stdin. It ends with its parent, when its stdin closes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen import progress
from pcgen.errors import BackendError, PcgenError
from pcgen.jobs.child import error_data, raise_error, serving, start
from pcgen.viewer.graphics_probe import Graphics

if TYPE_CHECKING:
    from pcgen.viewer.controller import Controller
    from pcgen.viewer.sources import Selection


SOFTWARE, HARDWARE = "software\n", "hardware\n"  # what the probe found, as the child reads it


def run_window(
    options: dict[str, Any],
    code: str = serving(__name__),
    probe: Callable[[], Graphics] = Graphics,
) -> None:
    """Open the window in a child and return when it is closed.

    Args:
        options: of :func:`open_window`, JSON values.
        code: what the child runs; it gets options, the path of its answer and ``sys.path``.
        probe: tests whether a window can be opened, while the child prepares it.
    Raises:
        BackendError: no window can be opened, or the child crashed.
        PcgenError: as the child raised it.
    """
    with tempfile.TemporaryDirectory(prefix="pcgen-") as folder:
        answer = Path(folder) / "answer.json"
        child = start(code, json.dumps(options), str(answer))
        assert child.stdin is not None
        try:
            found = probe()
            if found.problem:
                raise BackendError(f"no window can be opened: {found.problem}")
            with contextlib.suppress(BrokenPipeError):  # it ended, and its answer says why
                child.stdin.write(SOFTWARE if found.software else HARDWARE)
                child.stdin.flush()
            ended = child.wait()
        except BaseException:  # also Ctrl-C
            child.kill()
            child.wait()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        if answer.exists():
            return raise_error(json.loads(answer.read_text(encoding="utf-8")))
    if ended < 0:
        raise BackendError(f"the window crashed (signal {-ended}), most likely in its driver")
    raise BackendError(f"the window ended with code {ended}")


def serve(options: str, answer: str) -> None:
    """Run the child process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    failure: dict[str, str] = {}
    try:
        with progress.command(quiet=False):
            open_window(**json.loads(options), software=_found_by_probe)
    except PcgenError as error:
        failure = error_data(error)
    Path(answer).write_text(json.dumps(failure), encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(0)  # skip the shutdown of the driver, which may crash


def open_window(path: str, *, software: Callable[[], bool], **selection: Any) -> None:
    """Open a window in this process; see :func:`pcgen.viewer.show.show`.

    Args:
        software: called last; returns whether the driver draws with the CPU.
        selection: the attributes of a :class:`~pcgen.viewer.sources.Selection`.
    """
    from pcgen.viewer.sources import Selection

    controller = controller_of(path, Selection(**selection))
    from pcgen.viewer import window

    window.run(controller, Path(path).name, software=software())


def _found_by_probe() -> bool:
    """Wait for the result of the probe; end with the parent if none comes."""
    word = sys.stdin.readline()
    if not word:
        os._exit(1)
    threading.Thread(target=end_with_parent, daemon=True).start()
    return word == SOFTWARE


def controller_of(path: Path | str, selection: Selection) -> Controller:
    """The viewer of a path."""
    from pcgen.viewer.background import Jobs
    from pcgen.viewer.controller import Controller
    from pcgen.viewer.sources import FileSource, open_source, training_shapes

    source = open_source(path, points=selection.points, device=selection.device)
    comparable = selection.reference is not None or not isinstance(source, FileSource)
    comparable = comparable or (isinstance(source, FileSource) and "run" in source.collection.meta)
    controller = Controller(
        source,
        Jobs(deliver=lambda call: call()),
        training=(lambda: training_shapes(source, selection.reference)) if comparable else None,
    )
    state = controller.state
    state.seed, state.steps = selection.seed, selection.steps
    state.category = selection.category
    if isinstance(source, FileSource):
        numbers = source.numbers(selection.category)
        state.index = numbers[selection.number % len(numbers)]
    return controller


def end_with_parent() -> None:
    """Wait for the end of stdin, then end the process."""
    sys.stdin.buffer.read()
    os._exit(1)
