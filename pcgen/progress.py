"""Progress on stderr: one live line on a terminal, a line every half minute elsewhere.

Library loops never print; the caller that owns the loop opens a :func:`bar` and advances it. The
remaining time is estimated from the last minute only, so it soon recovers when the machine becomes
slower or faster. Within :func:`within`, the remaining time of the whole work is shown
too.
"""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")
LINE_EVERY_S = 30.0
LOOK_BACK_S = 60.0
MARK_EVERY_S = 1.0

_quiet = False
_command = False
_whole: Callable[[], float | None] | None = None


def set_quiet(quiet: bool) -> None:
    """Switch all progress off or on, for the whole process."""
    global _quiet
    _quiet = quiet


@contextlib.contextmanager
def command(quiet: bool) -> Iterator[None]:
    """Within a command: show progress unless ``quiet``, and print remarks."""
    global _command
    before, _command = _command, True
    try:
        with shown(not quiet):
            yield
    finally:
        _command = before


@contextlib.contextmanager
def shown(show: bool) -> Iterator[None]:
    """Show progress within the block, or not, regardless of the process's setting."""
    before = _quiet
    set_quiet(not show)
    try:
        yield
    finally:
        set_quiet(before)


@contextlib.contextmanager
def within(left: Callable[[], float | None]) -> Iterator[None]:
    """Show, with every bar within the block, the seconds that ``left`` returns for the whole work;
    None if unknown."""
    global _whole
    before, _whole = _whole, left
    try:
        yield
    finally:
        _whole = before


class Bar(Protocol):
    def advance(self, steps: float = 1, note: str = "") -> None:
        """Advance by ``steps`` steps."""

    def advance_to(self, done: float, note: str = "") -> None:
        """Set the number of completed steps."""


def say(text: str, *, always: bool = False) -> None:
    """Print one line on stderr, unless quiet; ``always`` for indispensable ones."""
    if always or not _quiet:
        print(text, file=sys.stderr, flush=True)


def remark(text: str) -> None:
    """Say what of the input is not used: a command prints it, and a program receives a warning.

    A program may show no progress, but nothing that changes its result is skipped in silence.
    """
    if _command:
        say(text)
    else:
        warnings.warn(text, stacklevel=2)


@contextlib.contextmanager
def bar(name: str, total: float, done: float = 0, unit: str = "") -> Iterator[Bar]:
    """Open a progress bar of ``total`` steps of which ``done`` are already completed.

    Args:
        unit: unit of the counts, shown after the numbers.
    """
    if _quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        with _live(_Pace(name, total, done, unit)) as live:
            yield live
    else:
        lines = _Lines(_Pace(name, total, done, unit))
        yield lines
        lines.close()


def track(items: Iterable[T], name: str, total: int) -> Iterator[T]:
    """Iterate over ``items`` with a bar."""
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


class _Pace:
    """The position of a bar, and the remaining time at the speed of the last minute."""

    def __init__(self, name: str, total: float, done: float, unit: str) -> None:
        self.name, self.total, self.done, self.unit, self.note = name, total, done, unit, ""
        self.start = time.monotonic()
        self._marks = deque([(self.start, done)])

    def advance_to(self, done: float, note: str) -> None:
        self.done, self.note = done, note or self.note
        now = time.monotonic()
        if now - self._marks[-1][0] >= MARK_EVERY_S:
            self._marks.append((now, done))

    def left(self) -> float | None:
        """Remaining seconds; None if nothing has moved for a minute."""
        now = time.monotonic()
        # The last mark before that minute is kept for comparison.
        while len(self._marks) > 1 and now - self._marks[1][0] >= LOOK_BACK_S:
            self._marks.popleft()
        then, done = self._marks[0]
        if self.done <= done or now <= then:
            return 0.0 if self.done >= self.total else None
        return max(0.0, self.total - self.done) * (now - then) / (self.done - done)

    def count(self) -> str:
        return f"{self.done:.0f}/{self.total:.0f}{self.unit}"

    def ahead(self) -> str:
        """The remaining time, of this bar and of the whole work."""
        left, whole = self.left(), _whole() if _whole else None
        text = "? left" if left is None else f"{duration(left)} left"
        return text if whole is None else f"{text}, {duration(whole)} in all"


class _Silent:
    def advance(self, steps: float = 1, note: str = "") -> None:
        pass

    def advance_to(self, done: float, note: str = "") -> None:
        pass


class _Reaching:
    def __init__(self, pace: _Pace) -> None:
        self._pace = pace

    def advance(self, steps: float = 1, note: str = "") -> None:
        self.advance_to(self._pace.done + steps, note)

    def advance_to(self, done: float, note: str = "") -> None:
        self._pace.advance_to(done, note)


@contextlib.contextmanager
def _live(pace: _Pace) -> Iterator[Bar]:
    """A line that a thread of rich redraws ten times a second."""
    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    took = ""

    def line() -> Table:
        grid = Table.grid(padding=(0, 1), expand=True)
        # A narrow terminal drops the note first.
        for wish in ({"no_wrap": True}, {"width": 16}, {"no_wrap": True}, {"no_wrap": True}):
            grid.add_column(**wish)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        filled = ProgressBar(total=pace.total, completed=min(pace.done, pace.total), width=16)
        texts = (f"{pace.name:<14}", pace.count(), took or pace.ahead(), pace.note)
        first, *rest = (Text(text) for text in texts)
        grid.add_row(first, filled, *rest)
        return grid

    with Live(get_renderable=line, console=Console(stderr=True), refresh_per_second=10):
        yield _Reaching(pace)
        took = f"took {duration(time.monotonic() - pace.start)}"


class _Lines(_Reaching):
    def __init__(self, pace: _Pace) -> None:
        super().__init__(pace)
        self._last = pace.start

    def advance_to(self, done: float, note: str = "") -> None:
        super().advance_to(done, note)
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_S:
            self._last = now
            self._print(self._pace.ahead())

    def close(self) -> None:
        self._print(f"took {duration(time.monotonic() - self._pace.start)}")

    def _print(self, tail: str) -> None:
        pace = self._pace
        note = f"  {pace.note}" if pace.note else ""
        say(f"{pace.name:<14} {pace.count()}{note}  {tail}")
