"""Two corrections of a stochastic iterate, each from one sample of scores.

Groups of atoms with the wrong mass are shifted as a whole, and dead cells are raised to the height
at which they get their mass. Both are cheap beside the steps they replace, as such errors lie in
directions in which the semi-dual is nearly flat.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from pcgen import kernels
from pcgen.transport.chunking import batches
from pcgen.transport.stochastic.group_corrections import Groups, best_group_scores, group_shifts
from pcgen.transport.stochastic.mass_estimates import MassEstimate
from pcgen.transport.stochastic.state import SemidualState
from pcgen.transport.stochastic.workspace import Workspace

# The number of dead cells raised at a time, the largest rank of the quantile that raises one, and
# the number of the batch (negative: outside the stream) from which these samples are drawn.
MOST_REVIVED = 1024
MOST_RANKS = 256
FIRST_REVIVAL = -2

# Plain samples to revive dead cells: as many as the tests count for, up to this number; for many
# cells, enough that the quantile of a dead cell is the second smallest. The 32 tests per cell, ten
# times cheaper with redrawn rows, would be twice the rows of a whole solve of 10⁵ cells.
REVIVAL_ENOUGH = 2**18
REVIVAL_RANK = 2

# Samples for balancing groups of atoms, and the number of their first batch.
BALANCE_PER_CELL = 16
BALANCE_PER_GROUP = 2500  # a relative error of 2 %
BALANCE_ENOUGH = 2**16  # the number of groups does not grow with that of the cells
SHELLS_ENOUGH = 2**14  # there are few shells, and their correction is smooth
BALANCE_ENTRIES = 2**24  # scores of samples for groups, 128 MiB
FIRST_BALANCE = -(2**20)


def groups_unbalanced(
    work: Workspace,
    state: SemidualState,
    estimate: MassEstimate,
    groups: Groups,
    tolerance: float = 0.0,
) -> bool:
    """Whether the mass errors of groups of atoms exceed sampling noise.

    Args:
        tolerance: largest χ² over the groups that is ignored.
    """
    if groups.count < 2 or not state.averaged:
        return False
    whole = MassEstimate(
        counts=groups.masses(estimate.counts), weights=groups.weights, samples=estimate.samples
    )
    noise = groups.count / work.count * state.noise / state.averaged
    noise += 2 * math.sqrt(2 * groups.count) / estimate.effective
    return whole.chi2 > max(noise, tolerance)


def balance_groups(work: Workspace, state: SemidualState, groups: Groups) -> SemidualState:
    """Shift the potential of each group so that it has its mass on fresh samples."""
    samples = min(BALANCE_PER_CELL * work.count, BALANCE_ENOUGH)
    samples = max(samples, BALANCE_PER_GROUP * groups.count)
    samples = min(samples, BALANCE_ENTRIES // groups.count)
    if groups.place is not None:
        samples = min(samples, SHELLS_ENOUGH)
    parts = []

    def best(x: Tensor) -> Tensor:
        return best_group_scores(x, work.atoms, state.average, groups)

    for number, size in enumerate(batches(samples)):
        x = work.draw(0, size, FIRST_BALANCE - state.looks * samples - number)
        parts.append(work.group.by_rows(best, x))
    shift = groups.spread(group_shifts(torch.cat(parts), groups.weights))
    return replace(state, average=state.average + shift, potential=state.potential + shift)


def revive_dead_cells(
    work: Workspace, state: SemidualState, estimate: MassEstimate, backend: str = "auto"
) -> SemidualState:
    """Raise each dead cell to the height at which it alone would take its mass.

    Stochastic steps raise a dead cell by one small step per batch, and by ever smaller ones in the
    averaging phase. But the shortfall of its score from the best is known for each sample: raised
    by the ν-quantile of the shortfalls, the cell wins a share ν of the samples.
    """
    dead = estimate.dead_cells.nonzero()[:MOST_REVIVED, 0]
    rare = math.ceil(REVIVAL_RANK / work.weights[dead].min().item())
    samples = min(math.ceil(estimate.effective), max(REVIVAL_ENOUGH, rare))
    ranks = (work.weights[dead] * samples).ceil().long().clamp(max=MOST_RANKS)
    offset = state.average.to(work.atoms.dtype)
    shortest = offset.new_empty(0, len(dead))

    def best_of_all(x: Tensor) -> Tensor:
        return kernels.best_cells(x, work.atoms, state.average, backend=backend)[0]

    for number, size in enumerate(batches(samples)):
        x = work.draw(0, size, FIRST_REVIVAL - number)
        best = work.group.by_rows(best_of_all, x)
        short = best - torch.addmm(offset[dead], x, work.atoms[dead].T)
        shortest = torch.cat([shortest, short]).sort(0).values[: int(ranks.max())]
    raised = state.average.clone()
    raised[dead] += shortest.gather(0, ranks[None] - 1)[0].double()
    potential = state.potential.clone()
    potential[dead] = torch.maximum(potential[dead], raised[dead])
    return replace(state, average=raised, potential=potential)
