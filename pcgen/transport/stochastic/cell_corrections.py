"""Two corrections of a stochastic iterate, from one sample of scores.

Groups of atoms that miss their mass are shifted as a whole; dead cells are raised to the height at
which they win their mass. Both are cheap beside the steps that they replace: such errors lie in
directions in which the semi-dual is nearly flat.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from pcgen import kernels
from pcgen.transport.chunking import batches
from pcgen.transport.stochastic.group_corrections import Groups, best_of_groups, group_shifts
from pcgen.transport.stochastic.mass_estimates import MassEstimate
from pcgen.transport.stochastic.state import SemidualState
from pcgen.transport.stochastic.workspace import Workspace

# Dead cells raised at once, the rank of the quantile that raises one, and the number of the batch
# (negative: outside the stream) from which these samples are drawn.
MOST_REVIVED = 1024
MOST_RANKS = 256
FIRST_REVIVAL = -2

# Plain samples for the revival of dead cells: as many as the tests count for, up to this number; of
# many cells, enough that the quantile of a dead cell is the second least. The 32 tests a cell, ten
# times cheaper with redrawn rows, would be twice the rows of a whole solve of 10⁵ cells.
REVIVAL_ENOUGH = 2**18
REVIVAL_RANK = 2

# Samples to balance groups of atoms on, and the number of their first batch.
BALANCE_PER_CELL = 16
BALANCE_PER_GROUP = 2500  # a relative error of 2 %
BALANCE_ENOUGH = 2**16  # the number of groups does not grow with that of the cells
SHELLS_ENOUGH = 2**14  # they are few, and what they correct is smooth
BALANCE_ENTRIES = 2**24  # scores of samples for groups, 128 MiB
FIRST_BALANCE = -(2**20)


def groups_unbalanced(
    work: Workspace,
    state: SemidualState,
    estimate: MassEstimate,
    groups: Groups,
    tolerance: float = 0.0,
) -> bool:
    """Whether groups of atoms miss their masses by more than sampling noise explains.

    Args:
        tolerance: χ² over the groups that is ignored.
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
    """Shift the potential of each group so that it gets its mass on fresh samples."""
    samples = min(BALANCE_PER_CELL * work.count, BALANCE_ENOUGH)
    samples = max(samples, BALANCE_PER_GROUP * groups.count)
    samples = min(samples, BALANCE_ENTRIES // groups.count)
    if groups.place is not None:
        samples = min(samples, SHELLS_ENOUGH)
    parts = []

    def best(x: Tensor) -> Tensor:
        return best_of_groups(x, work.atoms, state.average, groups)

    for number, size in enumerate(batches(samples)):
        x = work.draw(0, size, FIRST_BALANCE - state.looks * samples - number)
        parts.append(work.group.by_rows(best, x))
    shift = groups.spread(group_shifts(torch.cat(parts), groups.weights))
    return replace(state, average=state.average + shift, potential=state.potential + shift)


def revive_dead_cells(
    work: Workspace, state: SemidualState, estimate: MassEstimate, backend: str = "auto"
) -> SemidualState:
    """Raise each dead cell to the height at which it alone would take its mass.

    A dead cell rises by one small step per batch, in the averaging phase by ever smaller
    ones. But how far its score falls short of the best, sample by sample, is known: raised
    by the ν-quantile of that, it wins a share ν of the samples.
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
