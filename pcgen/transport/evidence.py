"""Evidence that a potential is right: cell masses counted on fresh samples, and both values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Generator, Tensor

from pcgen.processes import ALONE, Group
from pcgen.transport.chunking import centred_blocks
from pcgen.transport.potential import UpperEnvelope
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.stochastic.cell_masses import Tally

# Samples drawn and scored at once: enough for a fast product, small beside the atoms.
DRAW = 4096

# The share of the cells that are called rare.
RAREST = 0.1

# Samples due to a cell before none of them means that it is dead: by chance e^-10.
DUE = 10


class Status(StrEnum):
    """Why a solver stopped."""

    EXACT = "exact"
    CONVERGED = "converged"
    BUDGET = "budget"
    STEPS = "steps"
    STALLED = "stalled"


REMEDIES = {
    Status.BUDGET: "the sample budget is used up; raise max_samples or the tolerance, or go on "
    "from this solution with start=solution",
    Status.STEPS: "the step budget is used up; raise max_steps or the tolerance",
    Status.STALLED: "Newton's method found no step that keeps every cell alive; atoms may nearly "
    "coincide: merge them, or use the stochastic solver",
}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How well the cells' masses match the weights, judged on fresh samples or exact cells.

    Attributes:
        method: the solver.
        status: a :class:`Status`.
        cells: atoms with mass, copies counted once.
        dead: of these, cells that no test sample met though ten or more were due.
        untested: cells that none met and fewer were due: too rare to tell.
        chi2: Σ (mass_i - weight_i)² / weight_i, estimated without bias, so it may be negative.
        chi2_error: its standard error (0 when exact).
        worst: the largest |mass_i / weight_i - 1|, test noise included.
        median, q95: quantiles of the same over the cells.
        noise: the median of the same that the test sample alone would show, 0 when exact.
        rare: root mean square of mass_i / weight_i - 1 over the tenth of the cells with the least
            weight, chance taken out (within a factor of two where rows are redrawn). χ² weighs
            errors by mass: it may pass where these, of 1e-4 of the largest weight, are of order
            one, most with a fraction of their mass and a few with several times it. 0 when exact.
        dual, primal: mean ½|x - y|² over the transport, by the dual potential and by the map;
            equal at the optimum. With standard errors.
        samples: source samples used to solve; tests: fresh ones used to judge.
        searched: of these, samples whose cells were searched for, which tell dead cells and, the
            first of them, the quantiles; χ² is of the others, scored against all atoms. 0 without
            a search.
        recall: the share of cells that the search finds, 1 without one.
        redraws: how often the leading coordinates of each are drawn, see
            :mod:`pcgen.transport.stochastic.lattice_sampling`.
        steps: iterations.
        tolerance: the χ² (or exact: relative mass error) that was asked for.
        smoothing: the ε of a score at which a stochastic solver ended, 0 when exact.
        source: its name.
        dtype, backend: of the scores.
    """

    method: str
    status: Status
    cells: int
    dead: int
    untested: int
    chi2: float
    chi2_error: float
    worst: float
    median: float
    q95: float
    noise: float
    dual: float
    dual_error: float
    primal: float
    primal_error: float
    samples: int
    tests: int
    steps: int
    tolerance: float
    smoothing: float
    source: str
    dtype: str
    backend: str
    redraws: int = 1
    rare: float = 0.0
    searched: int = 0
    recall: float = 1.0

    @property
    def converged(self) -> bool:
        """The tolerance was met with no dead cell."""
        return self.status in (Status.EXACT, Status.CONVERGED)


@dataclass(frozen=True, kw_only=True)
class Census:
    """Fresh samples counted per cell, and the figures that follow.

    Attributes:
        counts: (n,) float64, samples met by each cell; of redrawn ones the mean over the redraws.
        weights: (n,) float64, positive, the masses asked for.
        samples: M, the sum of the counts.
        square: Σ over samples of Σ_i c_i² / ν_i; None for plain samples, where each c is 0 or 1.
        judged: the census that χ² is taken from, where that is another one.
        found: (n,) float64, of cells without a sample, how many of ``looked`` more were in each.
    """

    counts: Tensor
    weights: Tensor
    samples: int
    square: float | None = None
    judged: Census | None = None
    found: Tensor | None = None
    looked: int = 0

    @property
    def chi2(self) -> float:
        """Unbiased: Σ c(c-1) / (M (M-1) ν) - 1 from M samples, over pairs of different ones."""
        if self.judged is not None:
            return self.judged.chi2
        c, m = self.counts, self.samples
        same = (c / self.weights).sum().item() if self.square is None else self.square
        return ((c * c / self.weights).sum().item() - same) / (m * (m - 1)) - 1

    @property
    def effective(self) -> float:
        """Plain samples whose masses would vary as much."""
        if self.square is None:
            return self.samples
        variance = Tally(self.counts, self.square, self.samples).variance(self.weights)
        return self.samples * len(self.counts) / max(variance, 1e-9)

    @property
    def chi2_error(self) -> float:
        """Standard error: √(2n) / M from chance alone, plus what a χ² of this size adds."""
        if self.judged is not None:
            return self.judged.chi2_error
        noise = 2 * len(self.counts) / max(1.0, self.effective) ** 2
        return math.sqrt(noise + 4 * max(self.chi2, 0.0) / self.effective)

    @property
    def dead(self) -> int:
        """How many :attr:`dead_cells` there are."""
        return int(self.dead_cells.sum())

    @property
    def dead_cells(self) -> Tensor:
        """(n,) bool, cells without a sample where at least :data:`DUE` were due."""
        return self._unmet & (self._due >= DUE)

    @property
    def untested(self) -> int:
        """Cells without a sample where fewer were due."""
        return int((self._unmet & (self._due < DUE)).sum())

    @property
    def _unmet(self) -> Tensor:
        unmet = self.counts == 0
        return unmet if self.found is None else unmet & (self.found == 0)

    @property
    def _due(self) -> Tensor:
        return self.weights * (self.effective + self.looked)

    def errors(self) -> dict[str, float]:
        """Largest and quantile relative errors, with the median that chance would show."""
        due = self.samples * self.weights
        relative = (self.counts / due - 1).abs()
        rarest = self.weights.argsort()[: math.ceil(RAREST * len(due))]
        by_chance = self.samples / self.effective * self.counts / due.square()
        rare = (relative.square() - by_chance)[rarest].mean().clamp(min=0).sqrt()
        chance = 0.6745 / (self.effective * self.weights).sqrt()
        return {
            "worst": relative.max().item(),
            "median": relative.quantile(0.5).item(),
            "q95": relative.quantile(0.95).item(),
            "noise": chance.quantile(0.5).item(),
            "rare": rare.item(),
        }


def take_census(
    problem: SemidiscreteProblem,
    envelope: UpperEnvelope,
    samples: int,
    generator: Generator,
    group: Group = ALONE,
) -> Census:
    """Draw ``samples`` fresh points and count the cells they fall in, shared by ``group``."""
    count = problem.distinct.count
    counts = torch.zeros(count, dtype=torch.float64, device=problem.atoms.device)
    for size in batches(samples):
        x = problem.source.sample(size, generator)
        cell = group.by_rows(lambda rows: envelope.cells(rows)[1], x)[:, 0]
        counts += torch.bincount(cell, minlength=count)
    return Census(counts=counts, weights=problem.distinct.weights, samples=samples)


def transport_values(
    problem: SemidiscreteProblem,
    envelope: UpperEnvelope,
    generator: Generator,
    samples: int = 16384,
) -> dict[str, Any]:
    """Dual and primal value of the mean of ½|x - y|², with standard errors, on fresh samples.

    Primal: E ½|x - T(x)|². Dual: E ½|x|² - E u(x) + Σ ν_i (½|p_i|² + h_i). Points and atoms are
    taken about the mean c of the target, which changes neither and keeps digits when c is far.
    """
    atoms, weights = problem.distinct.of(problem.atoms), problem.distinct.weights
    constant = weights @ envelope.offset
    for part, block in centred_blocks(atoms, problem.centre):
        constant = constant + 0.5 * weights[part] @ block.square().sum(1)
    duals, primals = [], []
    for size in batches(samples):
        x = problem.source.sample(size, generator)
        score, cell = envelope.cells(x)
        # The envelope leaves out ⟨its centre, x⟩; here ⟨c, x⟩ is what is left out.
        score = score[:, 0].double() + x.double() @ (envelope.centre - problem.centre)
        shifted = x.double() - problem.centre
        duals.append(0.5 * shifted.square().sum(1) - score + constant)
        mapped = atoms[cell[:, 0]].double() - problem.centre
        primals.append(0.5 * (shifted - mapped).square().sum(1))
    dual, primal = torch.cat(duals), torch.cat(primals)
    root = math.sqrt(samples)
    return {
        "dual": dual.mean().item(),
        "dual_error": dual.std().item() / root,
        "primal": primal.mean().item(),
        "primal_error": primal.std().item() / root,
    }


def batches(total: int, size: int = DRAW) -> list[int]:
    """``total`` cut into pieces of at most ``size``."""
    return [min(size, total - done) for done in range(0, total, size)]
