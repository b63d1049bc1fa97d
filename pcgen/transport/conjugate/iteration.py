"""Damping and convergence tests, shared by the three conjugate-moment solvers.

Near the fixed point the map w ↦ G(w) multiplies the mean of P_w by −Cov(P_w) and the logarithm of
its covariance by −1/2. Damped by η, the errors are multiplied by 1 − η(1 + λ) for each eigenvalue
λ of Cov(P_w), and by 1 − 3η/2. The plain iteration, η = 1, therefore diverges as soon as λ > 1.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Sequence

from pcgen.errors import InputError, TransportError

SHAPE_RATE = 1.5
"""1 + 1/2: the factor of the covariance's error in an undamped step."""


class IterationStatus(enum.Enum):
    """Why an iteration stopped, with the remedy."""

    CONVERGED = "converged"
    DIVERGED = "diverged: the residual keeps growing; use the damping rule or scale the data"
    EXHAUSTED = "out of steps before the tolerance; allow more steps or a larger tolerance"

    def require_converged(self) -> None:
        """Raise an error unless converged.

        Raises:
            TransportError: with cause and remedy.
        """
        if self is not IterationStatus.CONVERGED:
            raise TransportError(f"the conjugate-moment iteration {self.value}")


def damping_rule(smallest: float, largest: float) -> float:
    """The η with the best contraction over the spectrum [smallest, largest] of Cov(P_w).

    Richardson's choice 2 / (slowest + fastest) over the rates 1 + λ and 3/2. It never exceeds
    2 / (1 + λ_max), the bound of stability.
    """
    if not 0 <= smallest <= largest < math.inf:
        raise InputError(
            f"eigenvalues of Cov(P_w) must be finite and ordered, got {smallest} and {largest}"
        )
    rates = (1 + smallest, SHAPE_RATE, 1 + largest)
    return min(1.0, 2 / (min(rates) + max(rates)))


def iteration_status(
    residuals: Sequence[float], tolerance: float, *, noise: float = 0.0
) -> IterationStatus | None:
    """The status of an iteration so far, None while it may continue.

    Diverged means not finite, or three consecutive increases that end at three times the best
    residual. (A mean that diverges may hide behind a covariance that converges at first.)
    Residuals below ``noise`` never count as divergence.
    """
    last = residuals[-1]
    if not math.isfinite(last):
        return IterationStatus.DIVERGED
    if last <= tolerance:
        return IterationStatus.CONVERGED
    tail = residuals[-4:]
    rising = len(tail) == 4 and all(a < b for a, b in itertools.pairwise(tail))
    if rising and last > max(noise, 3 * min(residuals)):
        return IterationStatus.DIVERGED
    return None


def check_damping(damping: float | None) -> None:
    """η must lie in (0, 1], or be None for the rule."""
    if damping is not None and not 0 < damping <= 1:
        raise InputError(f"damping must lie in (0, 1] or be None for the rule, got {damping}")
