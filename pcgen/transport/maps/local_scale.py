"""The local scale of each atom, which distinguishes jumps between modes from steps within one.

The scale σ is the distance to the 7th nearest neighbour (Zelnik-Manor and Perona 2004). If
the distances to the neighbours leap before the 7th, σ is the one before the leap, since the atoms
beyond are in another mode. A pair of atoms closer together than that, and a single atom, which has
no scale of its own, count as part of the nearest mode. Measurements: docs/notes/extended-map.md.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pcgen.transport.maps.best_cells import BestCells
from pcgen.transport.stochastic.search.beam_width import CHECKED
from pcgen.transport.stochastic.search.tree import BlockTree

# The neighbour whose distance is an atom's scale.
SCALE_NEIGHBOUR = 7

# The relative distance of the first neighbour outside a small mode; for a mode of two atoms.
LEAP = 3.0
LEAP_OF_PAIR = 10.0


def local_scales(atoms: Tensor, batch: int, tree: BlockTree | None = None) -> Tensor:
    """The scales σ (n,) float64; 1 for a single atom.

    Args:
        atoms: (n, dim) distinct, about their centre, in a dtype precise enough to distinguish them.
        batch: atoms compared with all others at a time.
        tree: of the atoms, to search for neighbours.
    """
    if len(atoms) < 2:
        return torch.ones(len(atoms), dtype=torch.float64, device=atoms.device)
    near = _distances(atoms, min(SCALE_NEIGHBOUR, len(atoms) - 1), batch, tree)
    usual, scale = near[:, 0].median(), near[:, -1].clone()
    for last in range(near.shape[1] - 1):
        leap = LEAP if last else LEAP_OF_PAIR
        ends = near[:, last + 1] > leap * near[:, last].clamp(min=usual.item())
        scale = torch.where(ends, near[:, last], scale)
    return scale


def _distances(atoms: Tensor, count: int, batch: int, tree: BlockTree | None) -> Tensor:
    """Distances (n, count) float64 to the nearest others, nearest first."""
    # The best scores ⟨p_j, p_i⟩ - ½|p_j|² are the nearest; distances are formed exactly.
    some = atoms[:: max(1, len(atoms) // CHECKED)]
    nearest = BestCells.of(atoms, -0.5 * atoms.square().sum(1), count + 1, tree, some)
    near = torch.empty(len(atoms), count, dtype=torch.float64, device=atoms.device)
    for start in range(0, len(atoms), batch):
        part = atoms[start : start + batch]
        exact = (part[:, None] - atoms[nearest(part)]).norm(dim=2).double()
        near[start : start + batch] = exact.sort(1).values[:, 1:]
    return near
