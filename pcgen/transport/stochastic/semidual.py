"""The stochastic semi-dual solver, for any dimension and any source that can be sampled.

The semi-dual E(h) = E_x max_i(⟨p_i, x⟩ + h_i) - Σ ν_i h_i is convex with gradient w - ν, the cell
masses minus the weights. Each step draws a batch of B points and changes h by the relative mass
error of cells softened by ε,

    h_i ← h_i + c ε (1 - w_i(ε) / ν_i),        c = c₀ √(B/n),

a stochastic Sinkhorn step: ε bounds the curvature of the softened dual, so the step suits it at
every scale. First ε is annealed, then iterates are averaged (Genans et al. 2025) until fresh
samples confirm the tolerance. Phases, corrections, measurements and failed ideas:
docs/notes/semidual.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Generator

from pcgen.errors import InputError, TransportError
from pcgen.processes import ALONE, Group
from pcgen.transport.evidence import Evidence, Status, transport_values
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.solution import SemidiscreteSolution
from pcgen.transport.stochastic.cell_masses import CellMasses, SampleBatch
from pcgen.transport.stochastic.lattice_sampling import REDRAWS
from pcgen.transport.stochastic.mass_estimates import MassEstimate
from pcgen.transport.stochastic.schedule import TEST_SEEDS, Schedule
from pcgen.transport.stochastic.search.beam_width import (
    narrowest_beam,
    search_recall,
    wider_beam,
    with_tree,
)
from pcgen.transport.stochastic.search.multiscale import COARSE, multiscale_potential
from pcgen.transport.stochastic.search.tree import ENOUGH_TO_BEGIN, search_pays
from pcgen.transport.stochastic.state import FIRST_LOOK, SemidualState
from pcgen.transport.stochastic.time_limit import TimeLimit
from pcgen.transport.stochastic.workspace import PILOT, Workspace

# With redrawn rows, batches half as large with a few more steps need the fewest rows.
REDRAWN_PACE = 4 / 3

# With at most 4096, a level sampled only half of 10⁵ cells, and annealing had to restart.
LARGEST_BATCH = 2**16
LARGEST_SEARCHED = 2**19

# Decay of ε and of the step in the averaging phase.
EPSILON_POWER, STEP_POWER = 0.4, 2 / 3

# The share of the time that the multiscale start may take.
START_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class SemidualSolver:
    """Settings of the stochastic solver; ``solve`` runs it, ``init`` and ``step`` are its parts.

    Attributes:
        tolerance: χ² of the cell masses to reach; 0.02 is a typical relative error of 14 %.
        max_samples: budget of source samples; by default 40 n / tolerance, forty times what the
            statistical limit n / samples requires.
        max_seconds: budget of working time, overrun by a tenth at most for the last test or by one
            step; None for no limit. A solve that it ends is not reproducible.
        batch: points per step. The default is n / 8 between 256 and LARGEST_BATCH, or n / 4, up to
            LARGEST_SEARCHED, if rows are not redrawn. Small batches anneal with fewer samples,
            larger ones spend less time between products, and a level must sample each cell
            equally often for any n.
        epsilon: initial smoothing, in units of the spread R of the scores.
        level_steps: steps in which ε is halved, and the time constant of the averaging phase.
        step_size: c₀, the fraction of a Sinkhorn step that is taken for a batch of n points.
        low_discrepancy: use Sobol points if the source has independent coordinates.
        backend: of :mod:`pcgen.kernels`; dtype: float32, float64 or auto, which depends on the
            spacing of the atoms.
    """

    tolerance: float = 0.02
    max_samples: int | None = None
    max_seconds: float | None = None
    batch: int | None = None
    epsilon: float = 0.4
    level_steps: int = 12
    step_size: float = 0.35
    low_discrepancy: bool = True
    backend: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        for name in ("tolerance", "epsilon", "step_size"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")
        if self.max_seconds is not None and not 0 < self.max_seconds < math.inf:
            raise InputError(f"max_seconds must be positive, got {self.max_seconds}")
        for name in ("max_samples", "batch", "level_steps"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise InputError(f"{name} must be an integer of at least 1, got {value}")

    def solve(
        self,
        problem: SemidiscreteProblem,
        generator: Generator,
        *,
        start: SemidiscreteSolution | SemidualState | None = None,
        on_step: Callable[[SemidualState], None] | None = None,
        group: Group = ALONE,
    ) -> SemidiscreteSolution:
        """Iterate until fresh samples confirm the tolerance, or the budget is used up.

        Args:
            generator: on the atoms' device; seeds the stream and the tests.
            start: a solution of a similar problem with the same number of atoms (a warm start), or
                a state that was passed to ``on_step``, which resumes exactly.
            on_step: called with the state after every step, for progress or checkpoints.
            group: processes with the same problem and an equally seeded generator; each
                takes its share of every batch, and the masses of the cells are summed.
        Raises:
            TransportError: the source has no extent along the difference of two atoms.
        """
        before = start.seconds if isinstance(start, SemidualState) else 0.0
        limit = TimeLimit(self.max_seconds, before, group)
        work = self.prepare(problem, generator, start, group)
        if work.count == 1:
            state = self.init(work)
            certain = MassEstimate(counts=2 * work.weights, weights=work.weights, samples=2)
            return self._solution(work, state, certain, Status.EXACT)
        if isinstance(start, SemidualState) and len(start.potential) != work.count:
            raise InputError(
                f"a state must belong to this problem, got {len(start.potential)} potentials for "
                f"{work.count} distinct atoms; start from a solution instead"
            )
        check_source_extent(work)
        work, state = self._begin(work, start, limit)
        schedule = replace(self.schedule(work), over=limit.over)
        thorough = replace(schedule, over=limit.far_over)
        budget = self.max_samples or int(40 * work.count / self.tolerance)
        while True:
            spent = state.samples >= budget or limit.over()
            while not schedule.due(state) and not spent:
                state = replace(self.step(work, state), seconds=limit.used())
                if on_step is not None:
                    on_step(state)
                spent = state.samples >= budget or limit.over()
            tested, estimate = (thorough if spent else schedule).assess(state, last=spent)
            over = limit.over()
            if estimate is not None:
                # A test that time cut short may have missed dead cells.
                complete = not over or estimate.untested == 0
                if estimate.chi2 <= self.tolerance and estimate.dead == 0 and complete:
                    return self._solution(work, tested, estimate, Status.CONVERGED)
                if spent:
                    return self._solution(work, tested, estimate, Status.BUDGET)
            # The last test is of this average, not of what a test without time decided next.
            state = replace(state, looks=tested.looks) if over else tested

    def prepare(
        self,
        problem: SemidiscreteProblem,
        generator: Generator,
        start: SemidiscreteSolution | SemidualState | None = None,
        group: Group = ALONE,
    ) -> Workspace:
        """The problem in working coordinates, with its stream of samples and its processes."""
        drawn = torch.randint(2**40, (1,), generator=generator, device=generator.device)
        seed = start.seed if isinstance(start, SemidualState) else int(drawn)
        return Workspace.of(
            problem, seed, dtype=self.dtype, low_discrepancy=self.low_discrepancy, group=group
        )

    def schedule(self, work: Workspace) -> Schedule:
        """Decides when to test, continue or stop, for a prepared problem."""
        return Schedule(
            work=work,
            tolerance=self.tolerance,
            epsilon=self.epsilon,
            level_steps=self.level_steps,
            backend=self.backend,
        )

    def init(self, work: Workspace, start: SemidiscreteSolution | None = None) -> SemidualState:
        """The initial state: zero, or ``start``, which is tested before any step."""
        n, device = work.count, work.atoms.device
        share, slower = (4, 1.0) if work.leading is None else (8, REDRAWN_PACE)
        largest = LARGEST_BATCH if work.tree is None else LARGEST_SEARCHED
        batch = self.batch or min(largest, max(256, n // share))
        pace = int(slower * self.level_steps)
        if batch < work.group.size:
            raise InputError(
                f"a batch of {batch} samples is too small for {work.group.size} processes; raise "
                "the batch or start fewer processes"
            )
        epsilon = self.epsilon * work.spread
        if start is None:
            zero = torch.zeros(n, dtype=torch.float64, device=device)
            return SemidualState(
                batch=batch,
                pace=pace,
                epsilon=epsilon,
                potential=zero,
                average=zero,
                noise=n,
                seed=work.seed,
            )
        if start.problem.count != work.problem.count:
            raise InputError(
                f"a warm start must have the same number of atoms, got {start.problem.count} for "
                f"{work.problem.count}"
            )
        potential = work.problem.distinct.gather(start.potential.to(device))
        potential = potential.nan_to_num(neginf=potential[potential.isfinite()].min().item())
        potential = work.to_working(potential)
        return SemidualState(
            batch=batch,
            averaging=True,
            level=FIRST_LOOK,
            pace=pace,
            epsilon=start.evidence.smoothing / work.scale or epsilon * 2.0**-FIRST_LOOK,
            potential=potential,
            average=potential,
            noise=n,
            seed=work.seed,
        )

    def step(self, work: Workspace, state: SemidualState) -> SemidualState:
        """Process one batch: compute soft cell masses, then update potential and average."""
        age = state.age + 1
        if state.averaging:
            decay = 1 + age / self.level_steps
            epsilon = state.epsilon * decay**-EPSILON_POWER
            gain = state.epsilon * decay**-STEP_POWER
        else:
            epsilon = gain = state.epsilon * 2 ** (-age / state.pace)
        found = self._next_masses(work, state, epsilon)
        noise = state.noise
        if not math.isnan(found.square):
            share_of_batch = state.batch / (state.averaged + state.batch)
            noise += share_of_batch * (found.variance(work.weights) - noise)
        gain *= min(1.0, self.step_size * math.sqrt(state.batch / noise))
        move = gain * (1 - found.mass / (state.batch * work.weights))
        # One sample in a cell with an expected 1e-6 samples would lower it by thousands of spreads.
        # It would never return, and the precision of all other potentials would be lost.
        potential = state.potential + move.clamp(min=-work.spread)
        weight = state.weight + age  # the t-th iterate weighs t
        return replace(
            state,
            step=state.step + 1,
            samples=state.samples + state.batch,
            age=age,
            potential=potential,
            average=torch.lerp(state.average, potential, age / weight),
            weight=weight,
            averaged=state.averaged + state.batch,
            noise=noise,
        )

    def _begin(
        self,
        work: Workspace,
        start: SemidiscreteSolution | SemidualState | None,
        limit: TimeLimit,
    ) -> tuple[Workspace, SemidualState]:
        """The initial state, and the workspace; with a tree of the atoms if a search pays."""
        if isinstance(start, SemidualState):
            return (with_tree(work) if start.beam else work), start
        if work.group.every(search_pays(work.atoms)):
            searched = with_tree(work)
            state = self.init(searched, start) if start else self._refined(searched, limit)
            if beam := narrowest_beam(searched, state.potential, ENOUGH_TO_BEGIN):
                return searched, replace(state, beam=beam)
        return work, self.init(work, start)

    def _refined(self, work: Workspace, limit: TimeLimit) -> SemidualState:
        """The state to anneal from, given by the solution for the means of the tree's blocks."""
        finer = replace(
            self,
            tolerance=COARSE * self.tolerance,
            max_samples=None,
            max_seconds=limit.left(START_SHARE),
            batch=None,
        )
        potential, epsilon = multiscale_potential(
            work, lambda problem, generator, group: finer.solve(problem, generator, group=group)
        )
        return replace(
            self.init(work),
            level=FIRST_LOOK,
            epsilon=epsilon,
            potential=potential,
            average=potential,
        )

    def _next_masses(self, work: Workspace, state: SemidualState, epsilon: float) -> CellMasses:
        """The masses of the soft cells in the next batch."""
        now = state.samples, state.batch, state.step
        rows = work.rows(*now) if state.averaging else SampleBatch(work.draw(*now))
        return work.cell_masses(rows, state.potential, epsilon, self.backend, state.beam)

    def _solution(
        self, work: Workspace, state: SemidualState, estimate: MassEstimate, status: Status
    ) -> SemidiscreteSolution:
        problem = work.problem
        certain, scored = status is Status.EXACT, estimate.exact
        searched = estimate.samples + estimate.searched_samples
        found = 1.0
        if scored:
            found = search_recall(work, state.average, wider_beam(work, state.beam), state.looks)
        potential = state.average - state.average.mean()
        device = work.atoms.device
        generator = Generator(device=device).manual_seed(state.seed + TEST_SEEDS - 1)
        evidence = Evidence(
            method="semidual",
            status=status,
            cells=work.count,
            chi2=0.0 if certain else estimate.chi2,
            chi2_error=0.0 if certain else estimate.chi2_error,
            dead=estimate.dead,
            untested=estimate.untested,
            samples=state.samples,
            tests=0 if certain else searched + (scored.samples if scored else 0),
            searched=searched if scored else 0,
            recall=found,
            steps=state.step,
            tolerance=self.tolerance,
            smoothing=state.epsilon * work.scale,
            source=getattr(problem.source, "name", type(problem.source).__name__),
            dtype=str(work.atoms.dtype).removeprefix("torch."),
            backend=self.backend,
            redraws=1 if (scored or estimate).square is None else REDRAWS,
            **estimate.errors(),
            **transport_values(problem, work.envelope(potential, self.backend), generator),
        )
        whole = problem.distinct.spread(work.to_problem(potential))
        return SemidiscreteSolution(problem, whole, evidence)


def check_source_extent(work: Workspace) -> None:
    """Refuse a source without extent along the difference of two atoms.

    Raises:
        TransportError: the projections of two atoms onto the span of all samples coincide.
    """
    count = max(PILOT, 4 * work.atoms.shape[1])
    x = work.draw(0, count, -1).double()
    spread = x - x.mean(0)
    _, values, rows = torch.linalg.svd(spread, full_matrices=False)
    if values[0] <= 1e-12 * x.abs().max():
        raise TransportError(
            f"all {count} samples of the source are the same point, which no map can spread over "
            f"{work.count} atoms; choose a source with a density"
        )
    seen = rows[values > 1e-6 * values[0].clamp(min=1e-300)]
    if len(seen) == work.atoms.shape[1]:
        return
    shadow = (work.atoms.double() @ seen.T) / (1e-6 * work.atoms.double().std())
    for shift in (0.0, 0.5):  # equal values may round differently, but not twice
        _, inverse, copies = (
            (shadow + shift).round().unique(dim=0, return_inverse=True, return_counts=True)
        )
        if not (copies > 1).any():
            continue
        place = int((copies > 1).nonzero()[0])
        one, other = (inverse == place).nonzero()[:2, 0].tolist()
        first = work.problem.distinct.first
        raise TransportError(
            f"the source has no extent along the difference of atoms {int(first[one])} and "
            f"{int(first[other])}, so no potential gives both their mass; merge such atoms "
            "or choose a source of full dimension"
        )
