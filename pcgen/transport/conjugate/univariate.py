"""Conjugate moment measures in one dimension, by quantiles: w' = F_{P_w}⁻¹ ∘ F_ρ.

Exact up to the grid, so it is the reference for the networks. All densities are constant on the
cells of one uniform grid; outside it w is infinite, so P_w is supported on the grid's interval.
Each distribution function is stored from both ends, because 1 − F is needed far beyond the point
where F rounds to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.transport.conjugate.iteration import (
    IterationStatus,
    check_damping,
    damping_rule,
    iteration_status,
)

Array = NDArray[np.float64]

LEAST_CAUTION = 1 / 64
"""The fraction of the rule's damping below which halving it no longer helps."""

GRID_ERROR = 1e-3
"""Allowed relative deviation of grid steps from their mean; float32 nodes need it."""


@dataclass(frozen=True)
class Distribution:
    """A density that is constant on each cell of a grid.

    Attributes:
        nodes: (n + 1,) uniformly spaced.
        below, above: (n + 1,) mass below and above each node.
    """

    nodes: Array
    below: Array
    above: Array

    @classmethod
    def from_masses(cls, nodes: Array, masses: Array) -> Distribution:
        """From the masses (n,) of the cells, which are normalised here."""
        masses = masses / masses.sum()
        below = np.concatenate([[0.0], np.cumsum(masses)])
        above = np.concatenate([np.cumsum(masses[::-1])[::-1], [0.0]])
        return cls(nodes, below, above)

    @classmethod
    def from_density(cls, nodes: Array, density: Array) -> Distribution:
        """From density values at the nodes (n + 1,), on any scale.

        Raises:
            InputError: the nodes are not increasing and evenly spaced, or do not match the density.
        """
        nodes, density = np.asarray(nodes, np.float64), np.asarray(density, np.float64)
        _check_grid(nodes)
        if density.shape != nodes.shape:
            raise InputError(
                f"expected one density value per node, got {density.shape} for {nodes.shape}"
            )
        if not np.isfinite(density).all() or (density < 0).any() or density.max() <= 0:
            raise InputError("the density must be finite, non-negative and not all zero")
        return cls.from_masses(nodes, 0.5 * (density[1:] + density[:-1]))

    @classmethod
    def from_samples(cls, samples: Array, cells: int = 4096) -> Distribution:
        """The histogram of at least two different numbers, over their range.

        Beyond the range there is no mass and w is infinite, so P_w is supported on it too. For
        narrow samples (a standard deviation well below 1) this makes P_w narrower.
        """
        samples = np.asarray(samples, np.float64).ravel()
        if cells < 1:
            raise InputError(f"cells must be at least 1, got {cells}")
        if not np.isfinite(samples).all() or len(np.unique(samples)) < 2:
            raise InputError("expected at least two different finite samples")
        masses, nodes = np.histogram(samples, cells)
        return cls.from_masses(nodes, masses.astype(np.float64))

    @property
    def masses(self) -> Array:
        """The mass of each cell, (n,)."""
        return np.diff(self.below)

    def quantile(self, below: Array, above: Array) -> Array:
        """The points with the given masses below and above; uses the smaller of the two."""
        left = np.interp(below, self.below, self.nodes)
        right = np.interp(above, self.above[::-1], self.nodes[::-1])
        return np.where(below <= above, left, right)

    def moments(self) -> tuple[float, float]:
        """Mean and variance."""
        middle, width = 0.5 * (self.nodes[1:] + self.nodes[:-1]), self.nodes[1] - self.nodes[0]
        mean = float(self.masses @ middle)
        return mean, float(self.masses @ (middle - mean) ** 2) + width**2 / 12


def _check_grid(nodes: Array) -> None:
    steps = np.diff(nodes) if nodes.ndim == 1 else np.empty(0)
    mean = steps.mean() if len(steps) else 0.0
    # NaN compares False.
    if not (mean > 0 and (np.abs(steps - mean) <= GRID_ERROR * mean).all()):
        raise InputError(
            "expected at least two finite nodes, increasing and evenly spaced, got "
            f"{nodes.shape} with steps from {steps.min(initial=np.inf):.3g} to "
            f"{steps.max(initial=-np.inf):.3g}; interpolate the density on np.linspace"
        )


@dataclass(frozen=True)
class UnivariateConjugate:
    """The result in one dimension, with its evidence.

    Attributes:
        slope: (n + 1,) w' at the nodes of ``base``.
        base: P_w.
        target: ρ.
        residuals: W₁(w'♯ρ, P_w) of each iterate.
        dampings: η of each step.
        status: why the iteration stopped.
    """

    slope: Array
    base: Distribution
    target: Distribution
    residuals: tuple[float, ...]
    dampings: tuple[float, ...]
    status: IterationStatus

    def push(self, z: Array) -> Array:
        """(w*)'(z), the inverse of w'."""
        return np.interp(z, self.slope, self.base.nodes)

    def distance(self) -> float:
        """W₁((w*)'♯ P_w, ρ), by quantiles at the nodes of the base."""
        aim = self.target.quantile(self.base.below, self.base.above)
        gap = np.abs(self.push(self.base.nodes) - aim)
        return float(self.base.masses @ (0.5 * (gap[1:] + gap[:-1])))


def conjugate_univariate(
    target: Distribution,
    *,
    damping: float | None = None,
    tolerance: float = 1e-9,
    max_steps: int = 2000,
) -> UnivariateConjugate:
    """Iterate w' ← (1 − η) w' + η F_{P_w}⁻¹ ∘ F_ρ to its fixed point.

    Args:
        target: ρ, on a grid wide enough for P_w too, whose standard deviation is about the cube
            root of ρ's.
        damping: η, or None for the rule with the current Var(P_w), halved if that diverges: a
            base with distant modes of unequal mass reacts faster than its variance suggests.
        tolerance: on the residual, in the unit of the grid.
    """
    check_damping(damping)
    nodes = target.nodes
    mean, variance = target.moments()
    third = variance ** (1 / 3)
    slope = (nodes - mean / (1 + third)) / third  # of the Gaussian with the same moments
    residuals: list[float] = []
    dampings: list[float] = []
    status, caution, since = None, 1.0, 0
    best, least = slope, np.inf
    while status is None:
        base = _gibbs(nodes, slope)
        aim = base.quantile(target.below, target.above)
        gap = np.abs(slope - aim)
        residuals.append(float(target.masses @ (0.5 * (gap[1:] + gap[:-1]))))
        if residuals[-1] < least:
            best, least = slope, residuals[-1]
        status = iteration_status(residuals[since:], tolerance)
        if status is IterationStatus.DIVERGED and damping is None and caution > LEAST_CAUTION:
            slope, caution, since, status = best, caution / 2, len(residuals), None
            base = _gibbs(nodes, slope)
            aim = base.quantile(target.below, target.above)
        if status is not None or len(residuals) > max_steps:
            break
        spread = base.moments()[1]
        eta = damping or caution * damping_rule(spread, spread)
        dampings.append(eta)
        slope = (1 - eta) * slope + eta * aim
    return UnivariateConjugate(
        slope, base, target, tuple(residuals), tuple(dampings), status or IterationStatus.EXHAUSTED
    )


def _gibbs(nodes: Array, slope: Array) -> Distribution:
    """P_w ∝ e^{−w} for a given w'."""
    w = np.concatenate([[0.0], np.cumsum(0.5 * (slope[1:] + slope[:-1]) * np.diff(nodes))])
    middle = 0.5 * (w[1:] + w[:-1])
    return Distribution.from_masses(nodes, np.exp(middle.min() - middle))
