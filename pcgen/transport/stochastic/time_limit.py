"""A limit on the working time of a solve, measured by the first process for all."""

from __future__ import annotations

from time import monotonic

from pcgen.processes import ALONE, Group

# The last test of a solve may take this share of the limit on top of it.
LAST_TEST = 0.1


class TimeLimit:
    """The time that a solve has used, and whether that is all it may use.

    Args:
        seconds: the limit; None for no limit, and then the clock is never read.
        before: seconds used by the interrupted solve that this one resumes.
    """

    def __init__(
        self, seconds: float | None = None, before: float = 0.0, group: Group = ALONE
    ) -> None:
        self._seconds, self._group = seconds, group
        self._begun = 0.0 if seconds is None else monotonic() - before

    def used(self) -> float:
        """Seconds used so far; 0 without a limit."""
        if self._seconds is None:
            return 0.0
        return self._group.value(lambda: monotonic() - self._begun)

    def left(self, share: float) -> float | None:
        """A share of the seconds that are left, positive; None without a limit."""
        return None if self._seconds is None else share * max(self._seconds - self.used(), 1e-3)

    def over(self) -> bool:
        """Whether the limit is reached."""
        return self._seconds is not None and self.used() >= self._seconds

    def far_over(self) -> bool:
        """Whether the time of the last test is used up too."""
        return self._seconds is not None and self.used() >= (1 + LAST_TEST) * self._seconds
