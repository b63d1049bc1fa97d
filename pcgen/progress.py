"""Progress on stderr: a live bar with time left on a terminal, a line now and then elsewhere.

Library loops never print; the caller that owns the loop opens a :func:`bar` and advances it.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")
LINE_EVERY_S = 15.0

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Switch all progress off or on, for the whole process."""
    global _quiet
    _quiet = quiet


@contextlib.contextmanager
def shown(show: bool) -> Iterator[None]:
    """Show progress inside, or not, whatever the process shows otherwise."""
    before = _quiet
    set_quiet(not show)
    try:
        yield
    finally:
        set_quiet(before)


def hushed() -> contextlib.AbstractContextManager[None]:
    """Say nothing inside: for parts of a stage whose own lines would hide the stage's."""
    return shown(False)


class Bar(Protocol):
    def advance(self, steps: int = 1, note: str = "") -> None: ...


def say(text: str, *, always: bool = False) -> None:
    """One line on stderr, unless quiet; ``always`` for what a user cannot go on without."""
    if always or not _quiet:
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def bar(name: str, total: int, done: int = 0) -> Iterator[Bar]:
    """Open a progress bar of ``total`` steps of which ``done`` are behind us already."""
    if _quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        columns = (
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Rich(*columns, console=Console(stderr=True)) as rich:
            task = rich.add_task(name, total=total, completed=done, note="")
            yield _Live(rich, task)
    else:
        lines = _Lines(name, total, done)
        yield lines
        lines.close()


def track(items: Iterable[T], name: str, total: int) -> Iterator[T]:
    """Iterate ``items`` under a bar."""
    with bar(name, total) as progress:
        for item in items:
            yield item
            progress.advance()


def duration(seconds: float) -> str:
    """``75`` → ``1 min 15 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class _Silent:
    def advance(self, steps: int = 1, note: str = "") -> None:
        pass


class _Live:
    def __init__(self, rich, task) -> None:  # type: ignore[no-untyped-def]
        self._rich = rich
        self._task = task

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._rich.update(self._task, advance=steps, note=note)


class _Lines:
    def __init__(self, name: str, total: int, done: int) -> None:
        self._name, self._total = name, total
        self._done = self._first = done
        self._start = self._last = time.monotonic()
        self._note = ""

    def advance(self, steps: int = 1, note: str = "") -> None:
        self._done += steps
        self._note = note or self._note
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            rate = (self._done - self._first) / (now - self._start)
            left = duration((self._total - self._done) / rate) if rate > 0 else "?"
            self._print(f"{left} left")

    def close(self) -> None:
        self._print(f"took {duration(time.monotonic() - self._start)}")

    def _print(self, tail: str) -> None:
        note = f"  {self._note}" if self._note else ""
        say(f"{self._name:<14} {self._done}/{self._total}{note}  {tail}")
