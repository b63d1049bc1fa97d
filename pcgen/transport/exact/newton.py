"""Exact semi-discrete transport in 2D and 3D: damped Newton on exactly measured cells.

The source is uniform on a convex body or ball, has a density on a grid, or is Gaussian. The masses
of the resulting cells are right to rounding.

The gradient of the semi-dual is mass - weight, and its Hessian is the weighted Laplacian of the
graph of facets, ∂mass_i/∂h_j = -∫_facet density / |p_i - p_j|. Damping (Kitagawa, Mérigot and
Thibert, arXiv 1603.05579) keeps every cell non-empty, and so the Hessian definite: convergence is
linear from any start whose cells all have mass, then quadratic. Steps aim at the square roots
of the masses, and a few cells that a step would empty are recovered; docs/notes/exact.md has the
reasons and measurements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from pcgen.errors import InputError, TransportError
from pcgen.transport.evidence import Evidence, Status, transport_values
from pcgen.transport.exact.densities import ConvexDomain, Density
from pcgen.transport.exact.measures import ExactMeasure, exact_measure
from pcgen.transport.exact.power_diagram import PowerDiagram, power_diagram
from pcgen.transport.potential import UpperEnvelope
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.solution import SemidiscreteSolution
from pcgen.transport.stochastic.semidual import SemidualSolver

Array = NDArray[np.float64]

# Masses are sums of signed areas of order one, so this share of the total is rounding error.
ROUNDING = 1e-15

# Above this relative mass error, a stalled iteration is taken to have had a bad start.
ROUGH = 0.1

# If more cells than this are lost, the step is too long; rounds of recovery.
MOST_RECOVERED = 100
ROUNDS = 8

# The mass of a recovered cell, relative to its weight.
LEAST = 0.05


@dataclass(frozen=True, eq=False)
class NewtonState:
    """An iterate: the potential (n,) and its cells."""

    step: int
    potential: Array
    cells: PowerDiagram


@dataclass(frozen=True, kw_only=True)
class NewtonSolver:
    """Settings of the exact solver, for the sources of :mod:`pcgen.transport.exact.measures`.

    Attributes:
        tolerance: largest |mass_i / weight_i - 1|; for rare atoms, limited by rounding,
            |mass_i - weight_i| of 1e-15.
        max_steps: Newton steps; a few times ten suffice unless weights or densities span orders
            of magnitude.
        smallest_step: damping below which an iteration has stalled. This can happen with atoms in
            clusters much tighter than their distances, whose initial cells are nearly empty; the
            stochastic solver then computes a better start, once.
    """

    tolerance: float = 1e-8
    max_steps: int = 400
    smallest_step: float = 2.0**-20

    def __post_init__(self) -> None:
        if not self.tolerance > 0 or self.max_steps < 1:
            raise InputError("tolerance must be positive and max_steps at least 1")

    def solve(
        self,
        problem: SemidiscreteProblem,
        generator: Generator | None = None,
        *,
        start: SemidiscreteSolution | None = None,
        on_step: Callable[[NewtonState], None] | None = None,
    ) -> SemidiscreteSolution:
        """Iterate to the tolerance.

        Args:
            generator: draws the samples of a rough start and of the transport values.
            start: of a similar problem with as many atoms; used if all its cells have mass.
        Raises:
            InputError: the cells of this source cannot be measured exactly.
            TransportError: Qhull failed on atoms that nearly coincide.
        """
        generator = generator or Generator().manual_seed(0)
        source = exact_measure(problem.source)
        if source is None:
            raise InputError(
                "the exact solver needs a ConvexDomain, a GridDensity, a UniformCube, a "
                "UniformBall, a GaussianSource or a GaussianMeasure of full rank, in 2D or 3D, "
                f"got {type(problem.source).__name__} in {problem.dim}D; use SemidualSolver"
            )
        distinct = problem.distinct
        atoms, shift = source.pull(problem.atoms[distinct.first].double().cpu().numpy())
        weights = distinct.weights.cpu().numpy()
        if start is not None:
            first = distinct.gather(start.potential).cpu().numpy() + shift
        else:
            first = source.first_potential(atoms, weights)
        state, status = self._iterate(atoms, weights, first, source, on_step)
        # If only rounding prevents reaching the tolerance, no other start is needed.
        if status is Status.STALLED and _error(state.cells.mass, weights) > ROUGH:
            rough = SemidualSolver(tolerance=0.1, max_samples=2000 * len(atoms))
            better = distinct.gather(rough.solve(problem, generator).potential).cpu().numpy()
            again, ended = self._iterate(atoms, weights, better + shift, source, on_step)
            if _error(again.cells.mass, weights) < _error(state.cells.mass, weights):
                state, status = again, ended
        potential = state.potential - shift
        return self._solution(problem, potential, state, weights, status, generator)

    def _iterate(
        self,
        atoms: Array,
        weights: Array,
        potential: Array,
        source: ExactMeasure,
        on_step: Callable[[NewtonState], None] | None,
    ) -> tuple[NewtonState, Status]:
        exact = source.domain, source.density
        state = NewtonState(0, potential, power_diagram(atoms, potential, *exact))
        floor = 0.5 * min(state.cells.mass.min(), weights.min())
        while _error(state.cells.mass, weights) > self.tolerance:
            if state.step == self.max_steps:
                return state, Status.STEPS
            following = self.step(atoms, weights, state, floor, *exact)
            if following is None:
                return state, Status.STALLED
            state = following
            if on_step is not None:
                on_step(state)
        return state, Status.EXACT

    def step(
        self,
        atoms: Array,
        weights: Array,
        state: NewtonState,
        floor: float,
        domain: ConvexDomain,
        density: Density | None = None,
    ) -> NewtonState | None:
        """One damped step, or None if no step keeps every mass above ``floor``."""
        mass, aim = _root(state.cells.mass), np.sqrt(weights)
        wanted = weights - state.cells.mass
        if mass.min() > 0:
            # ∂√mass_i = ∂mass_i / (2 √mass_i); a scaled target preserves the sum of the masses.
            wanted = 2 * mass * (aim / (mass @ aim) - mass)
        direction = _solve_laplacian(hessian(atoms, state.cells), wanted)
        before, size = np.linalg.norm(aim - mass), 1.0

        def cut(potential: Array) -> PowerDiagram:
            return power_diagram(atoms, potential, domain, density)

        least = np.maximum(floor, LEAST * weights)
        while size >= self.smallest_step:
            potential = state.potential + size * direction
            cells = cut(potential)
            if cells.mass.min() < floor:
                potential, cells = recover_cells(atoms, potential, cells, least, cut)
            after = np.linalg.norm(aim - _root(cells.mass))
            if cells.mass.min() >= floor and after <= (1 - size / 2) * before:
                return NewtonState(state.step + 1, potential - potential.mean(), cells)
            size /= 2
        # At the limit of rounding, no step can halve the error.
        return None

    def _solution(
        self,
        problem: SemidiscreteProblem,
        values: Array,
        state: NewtonState,
        weights: Array,
        status: Status,
        generator: Generator,
    ) -> SemidiscreteSolution:
        device = problem.atoms.device
        potential = torch.from_numpy(values - values.mean()).to(device)
        mass = state.cells.mass
        relative = np.abs(mass / weights - 1)
        envelope = UpperEnvelope(problem.atoms[problem.distinct.first], potential, "dense")
        evidence = Evidence(
            method="newton",
            status=status,
            cells=len(weights),
            dead=int((mass <= 0).sum()),
            chi2=float(((mass - weights) ** 2 / weights).sum()),
            worst=float(relative.max()),
            median=float(np.median(relative)),
            q95=float(np.quantile(relative, 0.95)),
            steps=state.step,
            tolerance=self.tolerance,
            source=getattr(problem.source, "name", type(problem.source).__name__),
            dtype="float64",
            backend="dense",
            **transport_values(problem, envelope, generator),
        )
        return SemidiscreteSolution(problem, problem.distinct.spread(potential), evidence)


def _root(mass: Array) -> Array:
    """√mass; empty cells have masses of either sign within rounding."""
    return np.sqrt(np.maximum(mass, 0))


def _error(mass: Array, weights: Array) -> float:
    """The largest relative error that exceeds rounding; infinite if a mass is NaN."""
    wrong = np.maximum(np.abs(mass - weights) - ROUNDING, 0) / weights
    return float(np.nan_to_num(wrong, nan=np.inf).max())


def hessian(atoms: Array, cells: PowerDiagram) -> Any:
    """∂mass_i/∂h_j as a sparse (n, n) matrix: a graph Laplacian, positive semi-definite."""
    from scipy.sparse import coo_matrix, diags

    inner = cells.inner
    i, j = cells.facets.inside[inner], cells.facets.outside[inner]
    weight = cells.flux[inner] / np.linalg.norm(atoms[i] - atoms[j], axis=1)
    n = cells.count
    both = (np.r_[weight, weight], (np.r_[i, j], np.r_[j, i]))
    adjacency = coo_matrix(both, shape=(n, n)).tocsr()
    return diags(np.asarray(adjacency.sum(1))[:, 0]) - adjacency


def _solve_laplacian(laplacian: Any, residual: Array) -> Array:
    """Solve with the last unknown set to zero, as constants are the kernel."""
    from scipy.sparse import identity
    from scipy.sparse.linalg import splu

    if len(residual) == 1:
        return np.zeros(1)
    reduced = laplacian[:-1, :-1].tocsc()
    # A cell whose facets all lie in empty regions of a density has a zero row. On the second try, a
    # small diagonal keeps its move finite, and the damping keeps it in bounds.
    for ridge in (0.0, 1e-6):
        try:
            # Ordering and pivoting for symmetric matrices: a hundred times as fast at n = 20,000.
            factor = splu(
                reduced + ridge * reduced.diagonal().mean() * identity(len(residual) - 1).tocsc(),
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
        except RuntimeError:
            continue
        found = factor.solve(residual[:-1])
        if np.isfinite(found).all():
            return np.append(found, 0.0)
    raise TransportError(
        "Newton's system is singular: some cell has no facet with the others; merge atoms that "
        "nearly coincide, or use a density that is positive on a connected region"
    )


def recover_cells(
    atoms: Array,
    potential: Array,
    cells: PowerDiagram,
    least: Array,
    cut: Callable[[Array], PowerDiagram],
) -> tuple[Array, PowerDiagram]:
    """Raise each cell whose mass is below ``least`` (n,) until it has that mass, if possible.

    Args:
        atoms: (n, dim); potential: (n,); cells: of that potential.
        cut: computes the cells of a potential.
    Returns:
        the potential (n,) and its cells, some of which may still be below ``least``.
    """
    rise = np.zeros(len(atoms))
    potential = potential.copy()
    for _ in range(ROUNDS):
        lost = np.flatnonzero(cells.mass < least)
        if not 0 < len(lost) <= MOST_RECOVERED:
            break
        above = (cells.corners * atoms[cells.owner]).sum(1) + potential[cells.owner]
        short = above[:, None] - (cells.corners @ atoms[lost].T + potential[lost])
        # At its own corners a cell's score falls short only by rounding.
        short[short <= 1e-12 * np.abs(short).max(0)] = np.inf
        nearest, second = np.partition(short, 1, axis=0)[:2]
        usable = np.isfinite(second)
        begun = rise[lost] > 0
        up = np.where(begun, 2 * rise[lost], 0.5 * (second - nearest))
        touching = np.where(begun | (cells.mass[lost] > 0), 0.0, nearest)
        lost, up, touching = lost[usable], up[usable], touching[usable]
        rise[lost] = up
        potential[lost] += touching + up
        cells = cut(potential)
    return potential, cells
