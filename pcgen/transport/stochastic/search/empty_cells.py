"""Cells without a test sample so far: further samples are only tested for these.

After the first few samples per cell of a test are counted, each further one is only checked for
whether it is in one of the few remaining cells. Two cheap bounds decide that for nearly all
samples: the best score of the remaining atoms, and the best score that a narrow search finds among
    all.
Measurements: docs/notes/search.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from pcgen import kernels
from pcgen.kernels.native import LANES
from pcgen.transport.stochastic.mass_estimates import MassEstimate
from pcgen.transport.stochastic.search.tree import NARROWEST
from pcgen.transport.stochastic.workspace import Workspace

# Samples per cell that are counted first; then 5 % of the cells are without one.
COUNTED = 3

# The beam of the usual search over that of the narrow one.
NARROW = 16

# Samples processed at a time.
BATCH = 2**16

# Scores closer than this share of the largest score may be equal up to rounding.
ROUNDING = 1e-5


def search_empty_cells(
    work: Workspace,
    potential: Tensor,
    beam: int,
    estimate: MassEstimate,
    most: int,
    number: int,
    over: Callable[[], bool] = lambda: False,
) -> MassEstimate:
    """Extend ``estimate``: look for cells without a sample in up to ``most`` samples in all.

    Args:
        potential: (n,) in working units; beam: of the usual search.
        estimate: from plain samples, several per cell.
        number: of the first batch, negative; others count down from it.
        over: asked before each batch; True ends the search.
    """
    left = torch.nonzero(estimate.counts == 0)[:, 0]
    found = torch.zeros_like(estimate.counts)
    narrow, more = max(NARROWEST, beam // NARROW), 0

    def close(x: Tensor) -> Tensor:
        """Which rows x (m, r) may be in a remaining cell, (m,) bool."""
        if len(left) > LANES * beam:  # with many rare atoms the usual search is faster
            return torch.ones(len(x), dtype=torch.bool)
        score = kernels.best_cells(x, work.atoms[left], potential[left])[0][:, 0]
        rival = work.searched(x, potential, narrow)[2]
        return score >= rival - ROUNDING * rival.abs().max()

    def cells(x: Tensor) -> Tensor:
        """The remaining cell of each row x (m, r), or -1 if it is in none."""
        mine, some = torch.full((len(x),), -1), close(x)
        if some.any():
            best = work.searched(x[some], potential, beam)[1]
            mine[some] = torch.where(torch.isin(best, left), best, -1)
        return mine

    while len(left) and estimate.samples + more < most and not over():
        size = min(BATCH, most - estimate.samples - more)
        x = work.rows(0, size, number).x
        number, more = number - 1, more + size
        inside = work.group.by_rows(cells, x)
        found.index_add_(0, inside[inside >= 0], found.new_ones(int((inside >= 0).sum())))
        left = left[found[left] == 0]
    return replace(estimate, searched_counts=found, searched_samples=more)
