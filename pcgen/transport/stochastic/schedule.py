"""When the stochastic solver tests its average, and what it does after a test.

The next step is another annealing level, averaging, more samples for the average, a correction,
annealing again, or the end. Each decision depends only on the state and on tests whose samples the
state determines, so a resumed solve makes the same ones. For the method see
:mod:`pcgen.transport.stochastic.semidual`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Generator

from pcgen.transport.stochastic.cell_corrections import (
    balance_groups,
    groups_unbalanced,
    revive_dead_cells,
)
from pcgen.transport.stochastic.mass_estimates import MassEstimate, estimate_masses
from pcgen.transport.stochastic.search.beam_width import narrowest_beam, wider_beam
from pcgen.transport.stochastic.search.empty_cells import COUNTED, search_empty_cells
from pcgen.transport.stochastic.search.tree import ENOUGH
from pcgen.transport.stochastic.state import FIRST_LOOK, SemidualState
from pcgen.transport.stochastic.workspace import Workspace

# Fresh samples per cell before a cell without one counts as dead: by chance e^-32, and a cell with
# a third of its mass is still found.
TESTS_PER_CELL = 32

# χ², in units of n / averaged samples, that noise explains: in a level, whose iterates have hardly
# moved with the noise yet, and in the averaging phase, where it stays below 1.1.
LEVEL_NOISE = 0.35
AVERAGE_NOISE = 1.6
LEAST_NOISE = 0.8

# With a cell search, the noise of a level is measured, and annealing begins near its end: at
# 3 · 10⁴ atoms, averaging at once took two thirds of the samples. Averaging outweighs the rest of
# the rough start; annealing again, with as few samples per level, does not.
SEARCHED_LEVEL_NOISE = 1.6
SEARCHED_NOISE = 4.0

# Redrawn rows have less noise, so more of the remaining error is visible.
REDRAWN_NOISE = 3.0

# Rare atoms need more tests, up to this many per cell, or in all: few cells are tested quickly.
MOST_TESTS_PER_CELL = 256
RARE_TESTS = 2**18

# The factor of ε when annealing again.
REHEAT = 8

# χ² of a warm start above which annealing from the beginning is quicker.
COLD = 0.5

# Below this share of the spread of scores, halving ε changes nothing in floating point.
FINEST = 1e-9

# Seeds of the tests, distinct from those of the samples; numbers of batches of redrawn tests.
TEST_SEEDS = 2**41
FIRST_TEST = -(2**38)
MOST_TESTS = 2**20

# If χ² is this many times the search's own estimate, the beam is widened.
MISLED = 1.5

# Samples searched at a time in a test.
SEARCHED_TESTS = 2**16


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The decisions during a solve.

    Attributes:
        work: the problem in working coordinates.
        tolerance, epsilon, level_steps, backend: see :class:`SemidualSolver`.
        over: whether the time is used up, which ends a test with the samples it has.
    """

    work: Workspace
    tolerance: float
    epsilon: float
    level_steps: int
    backend: str = "auto"
    over: Callable[[], bool] = lambda: False

    def due(self, state: SemidualState) -> bool:
        """Whether a level is complete, or the average has reached its goal."""
        return state.age >= (state.goal if state.averaging else state.pace)

    def assess(
        self, state: SemidualState, *, last: bool = False
    ) -> tuple[SemidualState, MassEstimate | None]:
        """Test the average, and choose the next phase: anneal, average, or average more.

        Args:
            last: the budget is used up, so the test is thorough.
        Returns:
            the state to continue from, and a thorough estimate that decides whether to stop; None
            if a quick estimate showed that it is too early.
        """
        if not state.averaging and state.level + 1 < FIRST_LOOK and not last:
            return self._next_level(state), None
        work, n = self.work, self.work.count
        if state.beam:
            beam = narrowest_beam(work, state.average, ENOUGH, state.looks) or work.widest
            state = replace(state, beam=max(beam, state.least))
        level_noise = SEARCHED_LEVEL_NOISE if state.beam else LEVEL_NOISE
        # Noise alone gives a χ² of √(2n) / tests: use enough tests for this decision.
        limit = state.noise / state.averaged if state.averaged else 0.0
        decided = max(self.tolerance, level_noise * limit)
        sharpness = 2.5 if work.leading is None else 5  # these tests are cheap
        fewest = n // 2 if state.beam else 4 * n
        estimate = self.estimate(state, max(fewest, int(sharpness * math.sqrt(2 * n) / decided)))
        state = replace(state, looks=state.looks + 1)
        thorough, lacking = None, False
        least = 0.0 if work.leading is None else LEAST_NOISE * limit
        if max(estimate.chi2, least) <= self.tolerance or last:
            precise = int(5 * math.sqrt(2 * n) / self.tolerance)
            most = max(MOST_TESTS_PER_CELL * n, RARE_TESTS)
            rarest = min(TESTS_PER_CELL / work.weights.min().item(), most)
            tests = max(int(rarest), precise)
            exact = replace(self, work=work.whole) if state.beam else self
            enough = precise if state.beam else tests

            def thorough_estimate(other: SemidualState) -> MassEstimate:
                return exact.estimate(replace(other, beam=0), enough)

            quick, estimate = estimate, thorough_estimate(state)
            state = replace(state, looks=state.looks + 1)
            if state.beam and estimate.chi2 - 3 * estimate.chi2_error > MISLED * quick.chi2:
                state = replace(state, least=wider_beam(work, state.beam))
            state, estimate = self._balance_groups(state, estimate, thorough_estimate)
            passed = complete = estimate.chi2 <= self.tolerance
            if state.beam and (last or passed):
                # The search for dead cells takes no more samples than the solve did. Cells that it
                # did not meet then need more of both, except in the last test.
                few = max(state.samples, n)
                cut = few < tests and not (last and passed)
                estimate = self._with_dead_cells(state, estimate, few if cut else tests)
                state = replace(state, looks=state.looks + 1)
                complete = passed and not (cut and estimate.untested)
            if last or (complete and estimate.dead == 0):
                return state, estimate
            lacking = bool(state.beam) and passed
            thorough = None if passed and not estimate.dead else estimate
            if estimate.dead:
                state = revive_dead_cells(work, state, estimate, self.backend)
        first = math.ceil(0.5 * n / (self.tolerance * state.batch)) if work.leading is None else 0
        first = max(self.level_steps, first)
        if not state.averaged:  # a warm start, before its first step
            cold = replace(state, averaging=False, level=0, epsilon=self.epsilon * work.spread)
            return (cold if estimate.chi2 > COLD else replace(state, goal=first)), thorough
        if state.averaging:
            noisy = AVERAGE_NOISE if work.leading is None else REDRAWN_NOISE
            noisy = SEARCHED_NOISE if state.beam else noisy
            behind = max(noisy * limit, self.tolerance)
            if estimate.chi2 > behind:
                tests = max(4 * n, estimate.samples)
                state, estimate = self._balance_groups(
                    state, estimate, lambda other: self.estimate(other, tests)
                )
            if estimate.chi2 > behind:
                clusters = work.partitions[0]
                if groups_unbalanced(work, state, estimate, clusters, self.tolerance / 40):
                    # Shifted so far that cells at the borders die; annealing repairs these.
                    return self._again(balance_groups(work, state, clusters), REHEAT**2), thorough
                return self._again(state), thorough
            # χ² falls as 1 / samples; a tenth more allows for its noise. A search for dead cells
            # takes as long as half of the samples, so it is not repeated after a few more.
            growth = min(1.5, max(1.1, 1.1 * max(estimate.chi2, limit) / self.tolerance))
            growth = 1.5 if lacking else growth
            return replace(state, goal=math.ceil(growth * state.goal)), thorough
        finest = state.epsilon < 2 * FINEST * work.spread
        if estimate.chi2 > max(level_noise * limit, self.tolerance) and not finest:
            return self._next_level(state), thorough
        begun = replace(self._next_level(state), averaging=True, goal=max(first, state.goal))
        if work.leading is not None:
            begun = replace(begun, batch=max(256, state.batch // 4))
        return begun, thorough

    def estimate(self, state: SemidualState, samples: int) -> MassEstimate:
        """Test the average on fresh samples, a function of the seed and the number of tests.

        Args:
            samples: a number of plain samples; a redrawn one counts as several.
        """
        work = self.work
        if work.leading is None and not state.beam:
            device = work.atoms.device
            generator = Generator(device=device).manual_seed(state.seed + TEST_SEEDS + state.looks)
            envelope = work.envelope(state.average, self.backend)
            group, over = work.group, self.over
            return estimate_masses(work.problem, envelope, samples, generator, group, over)
        potential, found = state.average, None
        size, number = max(256, min(4096, samples // 64)), FIRST_TEST - state.looks * MOST_TESTS
        size = min(SEARCHED_TESTS, samples) if state.beam else size
        while True:
            rows = work.rows(0, size, number)
            number -= 1
            more = work.cell_masses(rows, potential, 0.0, self.backend, state.beam)
            found = more if found is None else found + more
            estimate = MassEstimate(
                counts=found.mass, weights=work.weights, samples=found.rows, square=found.square
            )
            if estimate.effective >= samples or self.over():
                return estimate

    def _with_dead_cells(
        self, state: SemidualState, exact: MassEstimate, tests: int
    ) -> MassEstimate:
        """An estimate that keeps the χ² of ``exact``, with dead cells found by search: it must meet
        each cell once, in at most ``tests`` samples."""
        wide = replace(state, beam=wider_beam(self.work, state.beam))
        counted = self.estimate(wide, min(tests, COUNTED * self.work.count))
        number = FIRST_TEST - state.looks * MOST_TESTS - MOST_TESTS // 2
        every = search_empty_cells(
            self.work, state.average, wide.beam, counted, tests, number, self.over
        )
        return replace(every, exact=exact)

    def _balance_groups(
        self,
        state: SemidualState,
        estimate: MassEstimate,
        test: Callable[[SemidualState], MassEstimate],
    ) -> tuple[SemidualState, MassEstimate]:
        """Shift groups of atoms with wrong masses, if ``test`` shows that it helps."""
        for groups in (self.work.shells, *self.work.partitions):
            # Shells that explain less than a quarter of the χ² are not worth samples and tests.
            enough = self.tolerance / (4 if groups is self.work.shells else 40)
            if groups is None or not groups_unbalanced(self.work, state, estimate, groups, enough):
                continue
            if self.over():
                break
            other = balance_groups(self.work, state, groups)
            tested = test(other)
            state = replace(state, looks=state.looks + 1)
            if tested.chi2 <= estimate.chi2 + estimate.chi2_error:
                state, estimate = replace(other, looks=state.looks), tested
        return state, estimate

    def _again(self, state: SemidualState, reheat: float = REHEAT) -> SemidualState:
        """Anneal again, from a larger ε and at half the pace."""
        back = min(state.epsilon * reheat, self.epsilon * self.work.spread)
        state = replace(state, pace=2 * state.pace, goal=(state.goal + 1) // 2)
        return self._next_level(replace(state, potential=state.average, epsilon=2 * back))

    def _next_level(self, state: SemidualState) -> SemidualState:
        """The state at the start of a level with half the smoothing and an empty average."""
        halved = state.epsilon / 2
        return replace(
            state,
            averaging=False,
            level=state.level + 1,
            age=0,
            epsilon=halved,
            average=state.potential.clone(),
            weight=0.0,
            averaged=0,
            noise=len(state.potential),
        )
