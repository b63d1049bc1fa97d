"""A multiscale start for very many atoms: solve the problem of their block means first.

The means of blocks of 16 atoms form a problem with a sixteenth of the atoms. It is solved first,
recursively if it is large. Its potential is extended to the atoms to first order: -h is the
conjugate of the potential, a convex function of the atom, and its gradient at a mean is the
barycentre b of that mean's cell::

    h_i = h_k - ⟨b_k, p_i - c_k⟩

The neglected second order is as large as the scores vary in a block: annealing starts at this ε.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Generator, Tensor

from pcgen import kernels
from pcgen.kernels.native import LANES
from pcgen.processes import Group
from pcgen.transport.chunking import batches, centred_blocks
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.solution import SemidiscreteSolution
from pcgen.transport.stochastic.search.beam_width import narrowest_beam, with_tree
from pcgen.transport.stochastic.search.tree import ENOUGH, BlockTree, search_pays
from pcgen.transport.stochastic.workspace import Workspace

Solve = Callable[[SemidiscreteProblem, Generator, Group], SemidiscreteSolution]

# The coarse problem's share of the tolerance: all atoms of a block share its error, and steps among
# the atoms correct it last. For 10⁵ atoms and a full share of 0.02, 0.01 remained.
COARSE = 0.25

# Samples per cell of the coarse problem for its barycentre: their noise changes a score by a third
# of the initial smoothing.
BARYCENTRE = 8

FIRST_BARYCENTRE = -(2**25)


def multiscale_potential(work: Workspace, solve: Solve) -> tuple[Tensor, float]:
    """A potential (n,) in working units from the block means, and the ε to anneal from.

    Args:
        solve: solves the problem of the means to :data:`COARSE` times the tolerance.
    """
    tree = work.tree
    assert isinstance(tree, BlockTree)
    order, problem = tree.order, work.problem
    owner = torch.empty_like(order)
    owner[order] = torch.arange(work.count) // LANES
    weights = torch.zeros(tree.widest, dtype=torch.float64).index_add_(0, owner, work.weights)
    means = torch.zeros(tree.widest, work.atoms.shape[1], dtype=torch.float64)
    means.index_add_(0, owner, work.atoms.double() * work.weights[:, None])
    means /= weights[:, None]
    there = (means @ (work.basis.T * work.scale) + problem.centre).to(problem.atoms.dtype)
    coarse = SemidiscreteProblem(problem.source, there, weights)
    generator = Generator().manual_seed(work.seed)
    solution = solve(coarse, generator, work.group)
    height = solution.potential / work.scale + work.tilt(means)
    barycentre = _barycentres(work, means, height, weights)
    potential = height[owner]
    for part, block in centred_blocks(work.atoms):
        of = owner[part]
        potential[part] -= ((block - means[of]) * barycentre[of]).sum(1)
    potential -= potential.mean()
    within = (tree.radius[0] * weights).sum().item()
    return potential, work.spread * within


def _barycentres(work: Workspace, means: Tensor, height: Tensor, weights: Tensor) -> Tensor:
    """The mean sample (K, r) float64 in the cell of each mean, in working coordinates."""
    few = replace(work, atoms=means.to(work.atoms.dtype), weights=weights, tree=None)
    beam = 0
    if work.group.every(search_pays(few.atoms)):
        searched = with_tree(few)
        beam = narrowest_beam(searched, height, ENOUGH)
        few = searched if beam else few

    def cell(x: Tensor) -> Tensor:
        if beam:
            return few.searched(x, height, beam)[1]
        return kernels.best_cells(x, few.atoms, height)[1][:, 0]

    total, count = torch.zeros_like(means), torch.zeros(len(means), dtype=torch.float64)
    for number, size in enumerate(batches(BARYCENTRE * len(means), 2**16)):
        x = work.draw(0, size, FIRST_BARYCENTRE - number)
        found = work.group.by_rows(cell, x)
        total.index_add_(0, found, x.double())
        count.index_add_(0, found, torch.ones(size, dtype=torch.float64))
    # A cell without a sample gets the barycentre of its neighbours in the order of the blocks.
    group = torch.arange(len(means)) // LANES
    around = torch.zeros(int(group[-1]) + 1, means.shape[1], dtype=torch.float64)
    near = around.new_zeros(len(around)).index_add_(0, group, count).clamp(min=1)
    around.index_add_(0, group, total)
    sampled = (count > 0)[:, None]
    return torch.where(
        sampled, total / count.clamp(min=1)[:, None], (around / near[:, None])[group]
    )
