"""Exact transport onto atoms on a line, for a source with a known quantile function along it.

Sorted along the line, cell j ends where the cumulative mass of the source is B_j. With t the
position of the atoms on the line, equal scores at that boundary q(B_j) give
h_{j+1} - h_j = -q(B_j) (t_{j+1} - t_j).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from pcgen.errors import InputError, TransportError
from pcgen.transport.evidence import Evidence, Status, transport_values
from pcgen.transport.potential import UpperEnvelope
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.solution import SemidiscreteSolution
from pcgen.transport.sources import Quantile

# Atoms farther from the line than this share of their extent do not lie on it.
FLATNESS = 1e-6


@dataclass(frozen=True, kw_only=True)
class UnivariateSolver:
    """The closed form, in 1D or for atoms on a line along which the source's quantiles are known.

    Attributes:
        quantile: of the source along the line, (n,) → (n,) float64; by default the source's own
            ``line_quantile``.
    """

    quantile: Quantile | None = None

    def solve(
        self,
        problem: SemidiscreteProblem,
        generator: Generator | None = None,
        *,
        start: SemidiscreteSolution | None = None,
        on_step: Callable[[Any], None] | None = None,
    ) -> SemidiscreteSolution:
        """Compute the exact potential.

        Args:
            generator: draws the samples of the transport values.
            start, on_step: for the common interface; a closed form needs no start and has no
                steps to report.
        Raises:
            InputError: the atoms are not on a line, or no quantile function is known.
            TransportError: the source has an atom or a gap, or a cell would end at infinity.
        """
        distinct = problem.distinct
        atoms = problem.atoms[distinct.first].double()
        centred = atoms - problem.centre
        direction = line_through(centred)
        if direction is None:
            raise InputError("the atoms are not on a line; use NewtonSolver or SemidualSolver")
        quantile = self.quantile or getattr(problem.source, "line_quantile", lambda _: None)(
            direction
        )
        alone = distinct.count == 1  # it gets all mass, for any source
        if quantile is None and not alone:
            raise InputError(
                f"{type(problem.source).__name__} has no known quantile function along this line; "
                "pass UnivariateSolver(quantile=...)"
            )
        place, order = (centred @ direction).sort()
        bounds = distinct.weights[order].cumsum(0)[:-1].clamp(0, 1)
        ends = bounds if quantile is None else quantile(bounds).double()
        if not torch.isfinite(ends).all() or (ends.diff() < 0).any():
            raise TransportError(
                "the quantile function must be finite and increasing inside (0, 1); a weight below "
                "float precision is impossible with an unbounded source"
            )
        steps = -ends * place.diff()
        sorted_potential = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
        potential = torch.empty_like(sorted_potential)
        potential[order] = sorted_potential - sorted_potential.mean()
        return self._solution(problem, potential, generator)

    def _solution(
        self, problem: SemidiscreteProblem, potential: Tensor, generator: Generator | None
    ) -> SemidiscreteSolution:
        generator = generator or Generator().manual_seed(0)
        distinct = problem.distinct
        envelope = UpperEnvelope(problem.atoms[distinct.first], potential, "dense")
        evidence = Evidence(
            method="univariate",
            status=Status.EXACT,
            cells=distinct.count,
            dead=0,
            chi2=0.0,
            worst=0.0,
            median=0.0,
            q95=0.0,
            steps=1,
            tolerance=0.0,
            source=getattr(problem.source, "name", type(problem.source).__name__),
            dtype="float64",
            backend="dense",
            **transport_values(problem, envelope, generator),
        )
        return SemidiscreteSolution(problem, distinct.spread(potential), evidence)


def line_through(centred: Tensor) -> Tensor | None:
    """The unit direction (dim,) of centred atoms (n, dim), or None if not on a line."""
    if centred.shape[1] == 1:
        return centred.new_ones(1)
    values, columns = torch.linalg.eigh(centred.T @ centred)
    if values[-2] > FLATNESS**2 * values[-1]:
        return None
    direction = columns[:, -1]
    direction = torch.where(direction.abs() < 1e-9, 0.0, direction)
    result: Tensor | None = direction / direction.norm()
    return result
