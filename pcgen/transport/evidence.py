"""Evidence that a potential is right: errors of the cell masses, and the primal and dual values.

Exact solvers measure the cells; sampling solvers estimate them
(:mod:`pcgen.transport.stochastic.mass_estimates`). One flat record serves both, so files and
reports have the same entries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Generator

from pcgen.transport.chunking import batches, centred_blocks
from pcgen.transport.potential import UpperEnvelope
from pcgen.transport.problem import SemidiscreteProblem

VALUE_SAMPLES = 16_384  # for the primal and dual value


class Status(StrEnum):
    """Why a solver stopped."""

    EXACT = "exact"
    CONVERGED = "converged"
    BUDGET = "budget"
    STEPS = "steps"
    STALLED = "stalled"


REMEDIES = {
    Status.BUDGET: "the budget is used up; raise max_samples, max_seconds or the tolerance, or "
    "continue from this solution with start=solution",
    Status.STEPS: "the step budget is used up; raise max_steps or the tolerance",
    Status.STALLED: "Newton's method found no step that leaves every cell with mass; atoms "
    "may nearly coincide: merge them, or use the stochastic solver",
}


@dataclass(frozen=True, kw_only=True)
class SamplingEvidence:
    """Evidence that only sampling solvers have; exact ones leave the defaults.

    Attributes:
        samples: source samples used to solve; tests: fresh samples used to test the result.
        chi2_error: standard error of ``chi2``.
        noise: the median relative error that sampling noise alone would show.
        untested: cells without a test sample for which fewer than ten were expected.
        rare: root mean square of mass_i / weight_i - 1 over the tenth of the cells with the least
            weight, with sampling noise removed (within a factor of two if leading coordinates are
            redrawn). χ² weighs errors by mass: it may pass when these errors, of cells of 1e-4 of
            the largest weight, are of order one, most with a fraction of their mass and a few with
            several times it.
        smoothing: the final ε, in units of a score.
        searched: test samples whose cells were searched for. They show dead cells, and the first
            of them give the quantiles; χ² uses other tests, scored against all atoms.
        recall: the share of cells that the search finds; 1 without a search.
        redraws: the number of draws of each sample's leading coordinates, see
            :mod:`pcgen.transport.stochastic.lattice_sampling`.
    """

    samples: int = 0
    tests: int = 0
    chi2_error: float = 0.0
    noise: float = 0.0
    untested: int = 0
    rare: float = 0.0
    smoothing: float = 0.0
    searched: int = 0
    recall: float = 1.0
    redraws: int = 1


@dataclass(frozen=True, kw_only=True)
class Evidence(SamplingEvidence):
    """How well the masses of the cells match the weights, on exact cells or fresh samples.

    Attributes:
        method: the solver.
        status: a :class:`Status`.
        cells: atoms with mass, counting copies once.
        dead: cells without mass; for sampled cells, those without a test sample though ten or
            more were expected.
        chi2: Σ (mass_i - weight_i)² / weight_i; an unbiased estimate if sampled, so it may be
            negative.
        worst: the largest |mass_i / weight_i - 1|, including sampling noise.
        median, q95: quantiles of the same error over the cells.
        dual, primal: mean ½|x - y|² over the transport, by the dual potential and by the map;
            equal at the optimum. With standard errors.
        steps: iterations.
        tolerance: the χ² (or exact: relative mass error) that was requested.
        source: its name.
        dtype, backend: used for the scores.
    """

    method: str
    status: Status
    cells: int
    dead: int
    chi2: float
    worst: float
    median: float
    q95: float
    dual: float
    dual_error: float
    primal: float
    primal_error: float
    steps: int
    tolerance: float
    source: str
    dtype: str
    backend: str

    @property
    def converged(self) -> bool:
        """Whether the tolerance is reached and no cell is dead."""
        return self.status in (Status.EXACT, Status.CONVERGED)


def transport_values(
    problem: SemidiscreteProblem,
    envelope: UpperEnvelope,
    generator: Generator,
) -> dict[str, Any]:
    """Dual and primal value of the mean of ½|x - y|², with standard errors, on fresh samples.

    Primal: E ½|x - T(x)|². Dual: E ½|x|² - E u(x) + Σ ν_i (½|p_i|² + h_i). Points and atoms are
    taken about the mean c of the target, which changes neither value and keeps precision if c
    is far from the origin.
    """
    atoms, weights = problem.distinct.of(problem.atoms), problem.distinct.weights
    constant = weights @ envelope.offset
    for part, block in centred_blocks(atoms, problem.centre):
        constant = constant + 0.5 * weights[part] @ block.square().sum(1)
    duals, primals = [], []
    for size in batches(VALUE_SAMPLES):
        x = problem.source.sample(size, generator)
        score, cell = envelope.cells(x)
        # The envelope leaves out ⟨its centre, x⟩; here ⟨c, x⟩ is what is left out.
        score = score[:, 0].double() + x.double() @ (envelope.centre - problem.centre)
        shifted = x.double() - problem.centre
        duals.append(0.5 * shifted.square().sum(1) - score + constant)
        mapped = atoms[cell[:, 0]].double() - problem.centre
        primals.append(0.5 * (shifted - mapped).square().sum(1))
    dual, primal = torch.cat(duals), torch.cat(primals)
    root = math.sqrt(VALUE_SAMPLES)
    return {
        "dual": dual.mean().item(),
        "dual_error": dual.std().item() / root,
        "primal": primal.mean().item(),
        "primal_error": primal.std().item() / root,
    }
