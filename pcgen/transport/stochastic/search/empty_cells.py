"""Cells without a test sample yet: further samples are only tested for these.

After the first few samples of a test are counted, each further one is only asked whether it is in
one of the few cells that are left. Two cheap bounds decide that for nearly all samples: the best
score of the atoms left, and the best score that a narrow search finds among all. Measurements:
docs/notes/search.md.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pcgen import kernels
from pcgen.kernels.native import LANES
from pcgen.transport.stochastic.mass_estimates import MassEstimate
from pcgen.transport.stochastic.search.tree import NARROWEST
from pcgen.transport.stochastic.workspace import Workspace

# Samples a cell that are counted before those without one are looked for: 5 % of the cells then.
COUNTED = 3

# The narrow search, as a share of the usual one.
NARROW = 16

# SampleBatch at once.
BATCH = 2**16

# Scores closer than this share of the largest score may be equal but for rounding.
ROUNDING = 1e-5


def search_empty_cells(
    work: Workspace, potential: Tensor, beam: int, estimate: MassEstimate, most: int, number: int
) -> MassEstimate:
    """``estimate`` with the cells without a sample looked for in up to ``most`` samples in all.

    Args:
        potential: (n,) in working units; beam: of the usual search.
        estimate: of plain samples, some for each cell.
        number: of the first batch, negative; others count down from it.
    """
    left = torch.nonzero(estimate.counts == 0)[:, 0]
    found = torch.zeros_like(estimate.counts)
    narrow, more = max(NARROWEST, beam // NARROW), 0

    def close(x: Tensor) -> Tensor:
        """(m,) bool, rows x (m, r) that may be in a cell that is left."""
        if len(left) > LANES * beam:  # of many rare atoms: the usual search takes less
            return torch.ones(len(x), dtype=torch.bool)
        score = kernels.best_cells(x, work.atoms[left], potential[left])[0][:, 0]
        rival = work.searched(x, potential, narrow)[2]
        return score >= rival - ROUNDING * rival.abs().max()

    def cells(x: Tensor) -> Tensor:
        """Of rows x (m, r): where one is in a cell that is left, that; elsewhere -1."""
        mine, some = torch.full((len(x),), -1), close(x)
        if some.any():
            best = work.searched(x[some], potential, beam)[1]
            mine[some] = torch.where(torch.isin(best, left), best, -1)
        return mine

    while len(left) and estimate.samples + more < most:
        size = min(BATCH, most - estimate.samples - more)
        x = work.rows(0, size, number).x
        number, more = number - 1, more + size
        inside = work.group.by_rows(cells, x)
        found.index_add_(0, inside[inside >= 0], found.new_ones(int((inside >= 0).sum())))
        left = left[found[left] == 0]
    return replace(estimate, searched_counts=found, searched_samples=more)
