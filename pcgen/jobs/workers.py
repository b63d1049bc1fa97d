"""Worker processes that may die: a parser that crashes or hangs loses one item.

Each worker is a separate process with a limit on the memory it may allocate and on the time per
item. The parent never waits on a lock that a dead worker holds: they share only pipes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any

from pcgen.errors import InputError
from pcgen.jobs.shared_object import SharedObject

#: Wall-clock seconds after which an item from an untrusted file is abandoned.
TIME_LIMIT_S = 300
#: Bytes that a worker may allocate when it reads untrusted files; mapped files do not count.
MEMORY_LIMIT = 8 * 2**30
#: How often a task is retried if its worker was killed from outside: by the system when memory is
#: short, or by a person. A crash of the worker itself is not retried, since it would repeat.
RETRIES = 2
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)

#: Reports to the parent which item has started, so that it can name the one that failed.
Announce = Callable[[int], None]
Work = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits per item: wall-clock seconds, and bytes that the worker may allocate; 0 for none."""

    time_s: int = 0
    memory: int = 0


def foreign_limits() -> Limits:
    """Limits for work that reads files of unknown origin."""
    return Limits(time_s=TIME_LIMIT_S, memory=MEMORY_LIMIT)


@dataclass(frozen=True)
class Death:
    """The death of a worker during ``item`` (None: before its first), and the ``reason``."""

    item: int | None
    reason: str


@dataclass(frozen=True)
class Outcome:
    """The outcome of one task: a result, or the death of its worker."""

    task: Any
    result: Any = None
    death: Death | None = None


class Workers:
    """A few processes that run ``work`` for one task after another; see :func:`pcgen.jobs.pool`.

    Use as a context; leaving it ends the processes.
    """

    def __init__(
        self, work: Work, count: int, *, common: Any = None, limits: Limits | None = None
    ) -> None:
        if count < 1:
            raise InputError(f"workers must be at least 1, got {count}")
        self._work, self._count = work, count
        self._limits = limits or Limits()
        self._common = None if common is None else SharedObject.save(common)
        self._waiting: deque[_Try] = deque()
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
            pipe.close()  # a worker ends when its pipe is closed
            process.join()
        for busy in self._busy.values():
            busy.process.join()
        if self._common is not None:
            self._common.remove()

    def submit(self, task: Any) -> None:
        """Put a task at the end of the queue; may be called between outcomes."""
        self._waiting.append(_Try(task))

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes of all tasks as they end."""
        while self._waiting or self._busy:
            while self._waiting and len(self._busy) < self._count:
                self._start(self._waiting.popleft())
            for pipe in wait(list(self._busy)):
                assert isinstance(pipe, Connection)
                outcome = self._hear(pipe)
                if outcome is not None:
                    yield outcome

    def _start(self, attempt: _Try) -> None:
        if self._idle:
            process, pipe = self._idle.pop()
        else:
            pipe, theirs = self._context.Pipe()
            process = self._context.Process(
                target=_serve, args=(theirs, self._work, self._limits, self._common), daemon=True
            )
            with _one_thread(), _no_script(self._work.__module__):
                process.start()
            theirs.close()
        self._busy[pipe] = _Busy(process, attempt)
        with contextlib.suppress(BrokenPipeError):  # it died at once, which the next read detects
            pipe.send(attempt.task)

    def _hear(self, pipe: Connection) -> Outcome | None:
        busy = self._busy[pipe]
        try:
            kind, value = pipe.recv()
        except (EOFError, OSError):
            return self._bury(pipe)
        if kind == "item":
            busy.item = value
            return None
        del self._busy[pipe]
        self._idle.append((busy.process, pipe))
        if kind == "error":
            raise value
        return Outcome(busy.attempt.task, value)

    def _bury(self, pipe: Connection) -> Outcome | None:
        busy = self._busy.pop(pipe)
        busy.process.join()
        pipe.close()
        code, attempt = busy.process.exitcode, busy.attempt
        if code in _FROM_OUTSIDE and attempt.number < RETRIES:
            self._waiting.appendleft(_Try(attempt.task, attempt.number + 1))
            return None
        return Outcome(
            attempt.task, death=Death(busy.item, death_reason(code, self._limits.time_s))
        )


def death_reason(code: int | None, time_limit_s: int) -> str:
    """Describe why a process died, given its exit code."""
    if code == -signal.SIGALRM:
        return f"reading it took longer than {time_limit_s} s"
    if code in _FROM_OUTSIDE:
        return f"its process was killed ({signal.Signals(-code).name}), perhaps for its memory use"
    if code is not None and code < 0:
        return f"reading it crashed the parser ({signal.Signals(-code).name})"
    return f"reading it ended the parser (exit code {code})"


def is_limited() -> bool:
    """Whether :func:`limit_memory` has limited the memory of this process."""
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


@dataclass(frozen=True)
class _Try:
    task: Any
    number: int = 0


@dataclass
class _Busy:
    process: Any
    attempt: _Try
    item: int | None = None


def _context(module: str) -> Any:
    """A context for processes without inherited threads or locks; a fork server starts quickly."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread per worker: BLAS and OpenMP read these when the fork server starts."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _no_script(module: str) -> Iterator[None]:
    """Hide the script that called us: a worker would run it again, but needs only ``module``."""
    script = sys.modules["__main__"]
    if module != "__main__":
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _serve(pipe: Connection, work: Work, limits: Limits, common: SharedObject | None) -> None:
    """The main loop of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    if limits.memory:
        limit_memory(limits.memory)
    parent = os.getppid()

    def announce(item: int) -> None:
        if os.getppid() != parent:
            os._exit(1)  # the parent was killed
        # SIGALRM ends a process even in C code, and without its parent's help.
        signal.alarm(limits.time_s)
        pipe.send(("item", item))

    with contextlib.suppress(EOFError, OSError):  # the parent has ended
        shared = () if common is None else (common.load(),)
        while True:
            task = pipe.recv()
            signal.alarm(limits.time_s)
            try:
                answer = ("done", work(task, announce, *shared))
            except Exception as error:
                answer = ("error", error)
            signal.alarm(0)
            pipe.send(answer)
