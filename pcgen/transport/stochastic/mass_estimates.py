"""Cell masses estimated on fresh samples: χ², dead cells, and quantiles of the errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from pcgen.processes import ALONE, Group
from pcgen.transport.chunking import batches
from pcgen.transport.potential import UpperEnvelope
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.stochastic.cell_masses import CellMasses

# The share of the cells that count as rare.
RAREST = 0.1

# A cell without samples is dead if at least this many were expected; by chance e^-10.
EXPECTED = 10


@dataclass(frozen=True, kw_only=True)
class MassEstimate:
    """Counts of fresh samples per cell, and the resulting errors of the masses.

    Attributes:
        counts: (n,) float64, samples in each cell; the mean over the redraws for redrawn ones.
        weights: (n,) float64, positive, the required masses.
        samples: M, the sum of the counts.
        square: Σ over samples of Σ_i c_i² / ν_i; None for plain samples, where each c is 0 or 1.
        exact: the estimate for χ², from samples scored against all atoms; None if this estimate
            is of such samples.
        searched_counts: (n,) float64, for cells without a sample, how many of
            ``searched_samples`` further samples are in each.
    """

    counts: Tensor
    weights: Tensor
    samples: int
    square: float | None = None
    exact: MassEstimate | None = None
    searched_counts: Tensor | None = None
    searched_samples: int = 0

    @property
    def chi2(self) -> float:
        """Unbiased χ²: Σ c(c-1) / (M (M-1) ν) - 1 for M samples, over pairs of different ones."""
        if self.exact is not None:
            return self.exact.chi2
        c, m = self.counts, self.samples
        same = (c / self.weights).sum().item() if self.square is None else self.square
        return ((c * c / self.weights).sum().item() - same) / (m * (m - 1)) - 1

    @property
    def effective(self) -> float:
        """The number of plain samples with the same variance of the masses."""
        if self.square is None:
            return self.samples
        variance = CellMasses(self.counts, self.square, self.samples).variance(self.weights)
        return self.samples * len(self.counts) / max(variance, 1e-9)

    @property
    def chi2_error(self) -> float:
        """Standard error: √(2n) / M from noise alone, plus the part due to a χ² of this size."""
        if self.exact is not None:
            return self.exact.chi2_error
        noise = 2 * len(self.counts) / max(1.0, self.effective) ** 2
        return math.sqrt(noise + 4 * max(self.chi2, 0.0) / self.effective)

    @property
    def dead(self) -> int:
        """The number of :attr:`dead_cells`."""
        return int(self.dead_cells.sum())

    @property
    def dead_cells(self) -> Tensor:
        """Cells (n,) without a sample though at least :data:`EXPECTED` were expected."""
        return self._empty & (self._expected >= EXPECTED)

    @property
    def untested(self) -> int:
        """The number of cells without a sample for which fewer were expected."""
        return int((self._empty & (self._expected < EXPECTED)).sum())

    @property
    def _empty(self) -> Tensor:
        empty = self.counts == 0
        return empty if self.searched_counts is None else empty & (self.searched_counts == 0)

    @property
    def _expected(self) -> Tensor:
        return self.weights * (self.effective + self.searched_samples)

    def errors(self) -> dict[str, float]:
        """Largest relative error and quantiles, with the median due to noise alone."""
        expected = self.samples * self.weights
        relative = (self.counts / expected - 1).abs()
        rarest = self.weights.argsort()[: math.ceil(RAREST * len(expected))]
        by_chance = self.samples / self.effective * self.counts / expected.square()
        rare = (relative.square() - by_chance)[rarest].mean().clamp(min=0).sqrt()
        chance = 0.6745 / (self.effective * self.weights).sqrt()
        return {
            "worst": relative.max().item(),
            "median": relative.quantile(0.5).item(),
            "q95": relative.quantile(0.95).item(),
            "noise": chance.quantile(0.5).item(),
            "rare": rare.item(),
        }


def estimate_masses(
    problem: SemidiscreteProblem,
    envelope: UpperEnvelope,
    samples: int,
    generator: Generator,
    group: Group = ALONE,
    over: Callable[[], bool] = lambda: False,
) -> MassEstimate:
    """Draw ``samples`` fresh points and count the cells they fall in, shared by ``group``.

    Args:
        over: asked after each batch; True ends the estimate.
    """
    done, count = 0, problem.distinct.count
    counts = torch.zeros(count, dtype=torch.float64, device=problem.atoms.device)
    for size in batches(samples):
        x = problem.source.sample(size, generator)
        cell = group.by_rows(lambda rows: envelope.cells(rows)[1], x)[:, 0]
        counts += torch.bincount(cell, minlength=count)
        done += size
        if over():
            break
    return MassEstimate(counts=counts, weights=problem.distinct.weights, samples=done)
