"""The best cells of points: by all scores, or among very many atoms by a search in a tree.

The beam is the narrowest one that finds the share :data:`FOUND` of the best cells of some points.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pcgen import kernels
from pcgen.transport.stochastic.search.beam_width import CHECKED, WIDER
from pcgen.transport.stochastic.search.tree import MOST_BLOCKS, NARROWEST, BlockTree

FOUND = 0.97


@dataclass(frozen=True, eq=False)
class BestCells:
    """Finds the k best cells of points; see :meth:`of`.

    Attributes:
        atoms: (n, dim); offset: (n,) float64.
        tree: of the atoms, or None to score all.
        heights: of the members of its blocks; beams: blocks to visit on each level.
    """

    atoms: Tensor
    offset: Tensor
    k: int
    tree: BlockTree | None = None
    heights: Tensor | None = None
    beams: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, atoms: Tensor, offset: Tensor, k: int, tree: BlockTree | None, points: Tensor
    ) -> BestCells:
        """Choose how to find the k largest of ⟨atom_i, x⟩ + offset_i.

        Args:
            tree: of the atoms, if a search may pay; points: (m, dim), typical x.
        """
        every = cls(atoms, offset, k)
        if tree is None:
            return every
        x = points[:CHECKED]
        # The deviation of a coordinate of x, along the atoms.
        inner, outer = torch.cov(atoms.T), torch.cov(x.T)
        reach = ((inner * outer).sum() / inner.trace()).sqrt().item()
        heights, wanted = tree.offset(offset, reach), every(x)
        beam = NARROWEST
        while beam < MOST_BLOCKS * tree.widest:
            searched = cls(atoms, offset, k, tree, heights, tuple(tree.beams(beam)))
            found = (searched(x)[:, :, None] == wanted[:, None]).any(1)
            if found.double().mean() >= FOUND:
                return searched
            beam = int(WIDER * beam)
        return every

    def __call__(self, x: Tensor) -> Tensor:
        """The cells of points (m, dim), as atom indices (m, k) int64, best first."""
        if self.tree is None or self.heights is None:
            return kernels.best_cells(x, self.atoms, self.offset, k=self.k)[1]
        tree = self.tree
        found = kernels.searched_best(
            x, tree.blocks, self.heights, tree.starts, self.beams, self.k
        )[1]
        return tree.order[found]
