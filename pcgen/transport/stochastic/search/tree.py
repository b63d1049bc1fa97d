"""A tree of blocks of atoms, and a beam search in it for the cells of samples.

The cell of a sample belongs to an atom near others with large scores. So nearby atoms are put in
blocks of 16, these in blocks of 16 again, and a sample visits, from the top down, the blocks whose
mean members have the best scores. The mean's potential underestimates the best member; a multiple
of the block's radius compensates for that. The beam is the narrowest one that finds the cells of
:data:`ENOUGH` of some samples; measurements and alternatives: docs/notes/search.md.

"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from pcgen import kernels
from pcgen.kernels.backends import native_usable
from pcgen.kernels.native import LANES
from pcgen.transport.stochastic.cell_masses import CellMasses

# Number of atoms above which the search takes less time than redrawn rows with all scores: a third
# of it at 10⁵ atoms, as much at 3 · 10⁴.
SEARCH_FROM = 50_000

# Share of the cells that must be found, and the share of the blocks at which the search stops:
# scoring all atoms by a matrix product is then no slower.
ENOUGH = 0.97
# In the first level after refinement, whose potential is rough: there 0.97 took a sixth of all
# blocks of 10⁶ atoms. Used throughout annealing, this left errors that averaging did not remove.
ENOUGH_TO_BEGIN = 0.8
MOST_BLOCKS = 0.5

# The size of the last level, all of whose blocks are visited, and the narrowest beam.
LAST_LEVEL = 32
NARROWEST = 48
# Each level visits a third of the number of blocks of the one below.
NARROWING = 3
# Radii added to a block's mean score: 2 and 3 find the same, 0 and 1 find less.
RADII = 2.5

ABSENT = -1e30  # the offset of a lane without a member
SPLIT_SAMPLE = 4096
POWER_STEPS = 6


@dataclass(frozen=True, eq=False)
class BlockTree:
    """Nested blocks of nearby atoms.

    Attributes:
        order: (n,) int64, the atoms in the order of the blocks of level 0.
        blocks: (B, dim, 16) float32, level by level; above level 0 the means of blocks.
        starts: the first block of each level, and B.
        radius: for each level above 0, (members,) float64: the root mean square distance of the
            atoms below a member from their mean.
        counts: for each level, (members,) float64: the number of atoms below each member.
    """

    order: Tensor
    blocks: Tensor
    starts: tuple[int, ...]
    radius: tuple[Tensor, ...]
    counts: tuple[Tensor, ...]

    @classmethod
    def of(cls, atoms: Tensor) -> BlockTree:
        """Build the tree of atoms (n, dim); it depends on nothing else."""
        order = block_order(atoms)
        places = atoms[order].float()
        members, counts = places, torch.ones(len(atoms), dtype=torch.float64)
        blocks, radii, sizes = [], [], [counts]
        owner = torch.arange(len(atoms))
        while True:
            block = math.ceil(len(members) / LANES)
            blocks.append(_padded(members, block, 0.0).view(block, LANES, -1).transpose(1, 2))
            if block <= LAST_LEVEL:
                break
            total = _summed(members.double() * counts[:, None], block)
            counts = _summed(counts, block)
            members = (total / counts[:, None]).float()
            owner = owner // LANES
            radii.append(_radius(places, members, owner, counts))
            sizes.append(counts)
        starts = [0]
        for level in blocks:
            starts.append(starts[-1] + len(level))
        whole = torch.cat(blocks).contiguous()
        return cls(order, whole, tuple(starts), tuple(radii), tuple(sizes))

    @property
    def widest(self) -> int:
        """The beam width that visits all atoms."""
        return self.starts[1]

    def offset(self, potential: Tensor, reach: float) -> Tensor:
        """The offsets (B, 16) float32 that are added to the scores of the members.

        Args:
            potential: (n,) float64, of the atoms; reach: the deviation of a source coordinate.
        """
        mean, levels = potential[self.order], []
        for level, counts in enumerate(self.counts):
            block = self.starts[level + 1] - self.starts[level]
            raised = mean if level == 0 else mean + RADII * reach * self.radius[level - 1]
            levels.append(_padded(raised.float(), block, ABSENT).view(block, LANES))
            mean = _summed(mean * counts, block) / _summed(counts, block)
        return torch.cat(levels)

    def beams(self, beam: int) -> list[int]:
        """The number of blocks to visit on each level but the last, given ``beam`` on level 0."""
        found = []
        for level in range(len(self.starts) - 2):
            there = self.starts[level + 1] - self.starts[level]
            wide = max(NARROWEST, beam // NARROWING**level) if level else beam
            found.append(there if beam >= self.widest else min(there, wide))
        return found

    def cells(
        self,
        x: Tensor,
        potential: Tensor,
        epsilon: float,
        weights: Tensor,
        *,
        beam: int,
        reach: float,
    ) -> tuple[CellMasses, Tensor, Tensor]:
        """The masses of the cells in rows x (count, dim), and each row's cell and score.

        Args:
            potential, weights: (n,) float64; epsilon: see
                :func:`pcgen.transport.stochastic.cell_masses.cell_masses`.
            beam: number of leaf blocks that a row visits.
        """
        importance = torch.zeros(LANES * self.widest)
        importance[: len(self.order)] = (1 / weights[self.order]).float()
        mass, square, best, score = kernels.searched_cells(
            x,
            self.blocks,
            self.offset(potential, reach),
            self.starts,
            self.beams(beam),
            epsilon,
            importance=importance,
        )
        own = torch.empty_like(potential)
        own[self.order] = mass[: len(own)]
        return CellMasses(own, square, len(x)), self.order[best], score


def search_pays(atoms: Tensor) -> bool:
    """Whether a search is worthwhile for this many atoms, and this machine supports it."""
    many = len(atoms) >= SEARCH_FROM
    return many and atoms.dtype == torch.float32 and not atoms.is_cuda and native_usable()


def block_order(atoms: Tensor) -> Tensor:
    """The atoms (n, dim) in the order of blocks: halved repeatedly across their longest axis.

    Halves contain a multiple of the largest possible power of 16, so that nested blocks are full.
    """
    random = Generator().manual_seed(0)
    order, todo = torch.arange(len(atoms)), [(0, len(atoms))]
    while todo:
        start, end = todo.pop()
        count, unit = end - start, LANES
        if count <= LANES:
            continue
        while unit * LANES < count:
            unit *= LANES
        half = start + unit * (math.ceil(count / unit) // 2)
        index = order[start:end]
        there = atoms[index]
        sample = there
        if count > SPLIT_SAMPLE:
            sample = there[torch.randint(count, (SPLIT_SAMPLE,), generator=random)]
        sample = sample - sample.mean(0)
        axis = torch.randn(atoms.shape[1], generator=random, dtype=atoms.dtype)
        for _ in range(POWER_STEPS):
            axis = sample.T @ (sample @ axis)
            axis /= axis.norm().clamp(min=1e-30)
        order[start:end] = index[(there @ axis).argsort(stable=True)]
        todo += [(start, half), (half, end)]
    return order


def _padded(values: Tensor, blocks: int, fill: float) -> Tensor:
    """Pad (count, ...) to the length of ``blocks`` blocks."""
    out = values.new_full((LANES * blocks, *values.shape[1:]), fill)
    out[: len(values)] = values
    return out


def _summed(values: Tensor, blocks: int) -> Tensor:
    """Sum (count, ...) over blocks, (blocks, ...)."""
    return _padded(values, blocks, 0.0).view(blocks, LANES, *values.shape[1:]).sum(1)


def _radius(places: Tensor, centres: Tensor, owner: Tensor, counts: Tensor) -> Tensor:
    squares = torch.zeros(len(centres), dtype=torch.float64)
    rows = 2**18
    for part, of in zip(places.split(rows), owner.split(rows), strict=True):
        squares.index_add_(0, of, (part - centres[of]).square().sum(1).double())
    return (squares / counts).sqrt()
