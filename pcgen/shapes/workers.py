"""Worker processes that may die: a parser that crashes or hangs takes one item with it.

Each worker is a process of its own with a limit on the memory it may allocate and, per item, on
its time. The parent never waits on a lock a dead worker holds: they share only pipes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from pcgen.errors import InputError

#: An item that takes longer, in seconds of wall-clock, is given up.
TIME_LIMIT_S = 300
#: What one worker may allocate, in bytes; mapped files do not count.
MEMORY_LIMIT = 8 * 2**30

#: Tells the parent which item is begun, so that it knows whom to blame.
Announce = Callable[[int], None]


@dataclass(frozen=True)
class Death:
    """A worker died: while it was at ``item`` (None: before its first), for this ``reason``."""

    item: int | None
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of one task: a result, or the death of its worker."""

    task: Any
    result: Any = None
    death: Death | None = None


class Workers:
    """A few processes that run ``work(task, announce)`` for one task after another.

    ``work`` must be importable by name, tasks and results picklable. An exception that ``work``
    lets through is raised in the parent. Use as a context; leaving it ends the processes.
    """

    def __init__(
        self,
        work: Callable[[Any, Announce], Any],
        count: int,
        *,
        time_limit_s: int = TIME_LIMIT_S,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        if count < 1:
            raise InputError(f"workers must be at least 1, got {count}")
        self._work, self._count = work, count
        self._limits = (time_limit_s, memory_limit)
        self._waiting: deque[Any] = deque()
        self._busy: dict[Connection, _Busy] = {}
        self._idle: list[tuple[Any, Connection]] = []
        self._context = _context(work.__module__)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe, busy in self._busy.items():
            busy.process.terminate()
            pipe.close()
        for process, pipe in self._idle:
            pipe.close()  # the end of its pipe is the end of a worker
            process.join()
        for busy in self._busy.values():
            busy.process.join()

    def submit(self, task: Any) -> None:
        """Put a task at the end of the queue; may be called between outcomes."""
        self._waiting.append(task)

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes of all tasks as they come, until none is left."""
        while self._waiting or self._busy:
            while self._waiting and len(self._busy) < self._count:
                self._start(self._waiting.popleft())
            for pipe in wait(list(self._busy)):
                assert isinstance(pipe, Connection)
                outcome = self._hear(pipe)
                if outcome is not None:
                    yield outcome

    def _start(self, task: Any) -> None:
        if self._idle:
            process, pipe = self._idle.pop()
        else:
            pipe, theirs = self._context.Pipe()
            process = self._context.Process(
                target=_serve, args=(theirs, self._work, *self._limits), daemon=True
            )
            process.start()
            theirs.close()
        self._busy[pipe] = _Busy(process, task)
        with contextlib.suppress(BrokenPipeError):  # it died at once; hearing finds out
            pipe.send(task)

    def _hear(self, pipe: Connection) -> Outcome | None:
        busy = self._busy[pipe]
        try:
            kind, value = pipe.recv()
        except (EOFError, OSError):
            busy.process.join()
            del self._busy[pipe]
            pipe.close()
            reason = death_reason(busy.process.exitcode, self._limits[0])
            return Outcome(busy.task, death=Death(busy.item, reason))
        if kind == "item":
            busy.item = value
            return None
        del self._busy[pipe]
        self._idle.append((busy.process, pipe))
        if kind == "error":
            raise value
        return Outcome(busy.task, value)


def death_reason(code: int | None, time_limit_s: int) -> str:
    """In words, by the exit code of a process that died while it read something."""
    if code == -signal.SIGALRM:
        return f"reading it took longer than {time_limit_s} s"
    if code is not None and code < 0:
        return f"reading it crashed the parser ({signal.Signals(-code).name})"
    return f"reading it ended the parser (exit code {code})"


def is_limited() -> bool:
    """Whether this process has a limit on its memory that :func:`limit_memory` set."""
    return _limited


def limit_memory(limit: int) -> None:
    """Let this process allocate at most ``limit`` bytes; mapped files do not count."""
    global _limited
    _limited = True
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        ceiling = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(resource.RLIMIT_DATA, (ceiling, most))


_limited = False


@dataclass
class _Busy:
    process: Any
    task: Any
    item: int | None = None


def _context(module: str) -> Any:
    """Processes that inherit no threads and no locks; a fork server makes them in a moment."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


def _serve(pipe: Connection, work: Callable[..., Any], time_limit_s: int, memory: int) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    limit_memory(memory)
    parent = os.getppid()

    def announce(item: int) -> None:
        if os.getppid() != parent:
            os._exit(1)  # a killed parent wants no more work done
        # SIGALRM ends a process wherever it is, in C code too, and without its parent's help.
        signal.alarm(time_limit_s)
        pipe.send(("item", item))

    with contextlib.suppress(EOFError, OSError):  # the parent has gone
        while True:
            task = pipe.recv()
            signal.alarm(time_limit_s)
            try:
                answer = ("done", work(task, announce))
            except Exception as error:
                answer = ("error", error)
            signal.alarm(0)
            pipe.send(answer)
