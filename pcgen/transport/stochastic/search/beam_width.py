"""The beam width of a search, chosen on samples that are scored against all atoms."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from pcgen import kernels
from pcgen.transport.stochastic.search.tree import MOST_BLOCKS, NARROWEST, BlockTree
from pcgen.transport.stochastic.workspace import Workspace

# Samples scored against all atoms, and the number of their first batch.
CHECKED = 1024
FIRST_CHECK = -(2**24)
WIDER = 1.25


def with_tree(work: Workspace) -> Workspace:
    """``work`` with the tree of its atoms."""
    return replace(work, tree=BlockTree.of(work.atoms))


def wider_beam(work: Workspace, beam: int) -> int:
    """A wider beam, for a final test and after a misleading one."""
    return min(work.widest, 2 * beam)


def search_recall(work: Workspace, potential: Tensor, beam: int, looks: int = 0) -> float:
    """The share of :data:`CHECKED` samples whose cell is found; ``looks`` selects them."""
    return _found(work, potential, beam, *_checked(work, potential, looks))


def narrowest_beam(work: Workspace, potential: Tensor, enough: float, looks: int = 0) -> int:
    """The narrowest beam that finds a share ``enough`` of cells; 0 if scoring all is as fast.

    Args:
        potential: (n,) in working units; looks: selects the set of samples.
    """

    def measured() -> int:
        assert work.tree is not None
        x, cell = _checked(work, potential, looks)
        beam = NARROWEST
        while beam < MOST_BLOCKS * work.tree.widest:
            if _found(work, potential, beam, x, cell) >= enough:
                return beam
            beam = int(WIDER * beam)
        return 0

    return work.group.value(measured)


def _checked(work: Workspace, potential: Tensor, looks: int) -> tuple[Tensor, Tensor]:
    x = work.draw(0, CHECKED, FIRST_CHECK - looks)
    return x, kernels.best_cells(x, work.atoms, potential)[1][:, 0]


def _found(work: Workspace, potential: Tensor, beam: int, x: Tensor, cell: Tensor) -> float:
    return (work.searched(x, potential, beam)[1] == cell).double().mean().item()
