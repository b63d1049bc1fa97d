"""Partners of a shape: those of its category, mirrored or not, that fill the cube similarly.

They have all symmetries of the shape, as nearly all chairs and vehicles equal their mirror image,
and a child of two shapes has only the symmetries of both.

Similarity is deliberately coarse. The cube is divided into 8³ cells, and two shapes differ by the
number of cells that only one of them occupies. That suffices to see that two seats both stand on a
foot, which is what a map between them needs, and all pairs of fifty thousand shapes are compared in
a minute or two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pcgen.children.frames import mirrored

CELLS = 8  # per side of the cube
#: A category with fewer shapes than this borrows partners from others, to have one fewer than this
#: number in all: the children of a lone shape would be copies.
FEW = 4
#: Entries of a block of the similarity table: 16 MiB of float32, twice as much for sorting keys.
ENTRIES = 2**22


@dataclass(frozen=True)
class Partners:
    """The nearest other shapes of each of N shapes, best first.

    Attributes:
        row: (N, K) int64 their rows, -1 if there are no more.
        mirror: (N, K) bool, whether the partner is mirrored in x.
        differing: (N, K) int64 number of cells that only one of the two occupies.
    """

    row: Tensor
    mirror: Tensor
    differing: Tensor

    @property
    def counts(self) -> Tensor:
        """The number of partners of each shape, (N,)."""
        return (self.row >= 0).sum(1)

    def spread(self, rows: Tensor, count: int) -> Partners:
        """The partners of ``count`` shapes, of which ``rows`` (N,) are these; others have none."""
        row = torch.full((count, self.row.shape[1]), -1)
        mirror, differing = torch.zeros_like(row, dtype=torch.bool), torch.zeros_like(row)
        row[rows] = torch.where(self.row >= 0, rows[self.row], -1)
        mirror[rows], differing[rows] = self.mirror, self.differing
        return Partners(row, mirror, differing)


def occupied(points: Tensor) -> Tensor:
    """The cells (batch, CELLS³) float32, 0 or 1, that clouds (batch, n, 3) in the cube occupy."""
    place = ((points + 1) * (CELLS / 2)).long().clamp(0, CELLS - 1)
    flat = place[..., 0] * CELLS**2 + place[..., 1] * CELLS + place[..., 2]
    return torch.zeros(len(points), CELLS**3).scatter_(1, flat, 1.0)


def find_partners(blocks: Iterator[Tensor], label: Tensor, symmetry: Tensor, most: int) -> Partners:
    """Find the partners of all shapes within each category.

    Args:
        blocks: clouds (batch, n, 3) in the cube frame, a batch at a time.
        label: (N,) category of each shape. symmetry: (N, 3) bool, whether each is its own mirror
            image along each axis.
        most: partners per shape, K.
    """
    if not len(label):
        nothing = torch.zeros(0, most).long()
        return Partners(nothing, nothing.bool(), nothing)
    pairs = [(occupied(part), occupied(mirrored(part))) for part in blocks]
    plain, mirror = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    count = len(plain)
    row = torch.full((count, most), -1)
    flag = torch.zeros(count, most, dtype=torch.bool)
    differing = torch.zeros(count, most, dtype=torch.long)
    for name in label.unique():
        members = (label == name).nonzero()[:, 0]
        lacking = min(FEW, count) - len(members)
        own = _Filled(members, plain[members], mirror[members], symmetry[members])
        others = (label != name).nonzero()[:, 0]
        borrowed = None
        if lacking > 0:
            borrowed = _Filled(others, plain[others], mirror[others], symmetry[others])
        for part in members.split(max(1, ENTRIES // len(members))):
            query = _Filled(part, plain[part], mirror[part], symmetry[part])
            found = _nearest(query, own, most)
            if borrowed is not None:
                found = _joined(found, _nearest(query, borrowed, lacking), most)
            for all_, here in zip((row, flag, differing), found, strict=True):
                all_[part, : here.shape[1]] = here
    return Partners(row, flag, differing)


@dataclass(frozen=True)
class _Filled:
    """Some rows, ascending, the cells that they and their mirror images fill, (n, CELLS³), and
    their symmetries (n, 3)."""

    rows: Tensor
    plain: Tensor
    mirror: Tensor
    symmetry: Tensor


Found = tuple[Tensor, Tensor, Tensor]


def _nearest(query: _Filled, among: _Filled, most: int) -> Found:
    """(n, up to ``most``) partners of n shapes among others, never a shape itself."""
    rows = query.rows
    both = query.plain.sum(1, keepdim=True) + among.plain.sum(1)
    straight = both - 2 * query.plain @ among.plain.T
    turned = both - 2 * query.plain @ among.mirror.T
    # Where both fit alike, as with symmetric shapes, each is taken for half of the pairs.
    even = (rows[:, None] + among.rows) % 2 == 0
    flag = (turned < straight) | ((turned == straight) & even)
    cells = torch.minimum(straight, turned).long()
    itself = rows[:, None] == among.rows
    # Ties, of which coarse cells have many, fall to the earlier row on every machine. To find the
    # best by keys without ties takes a tenth of the time of sorting all.
    count = len(among.rows)
    key = cells * count + torch.arange(count)
    none = torch.iinfo(key.dtype).max
    lacks = (query.symmetry[:, None] & ~among.symmetry).any(2)
    few = (~lacks & ~itself).sum(1) < FEW - 1  # a shape of a symmetry that others hardly have
    key[itself | (lacks & ~few[:, None])] = none
    many = min(most, count - int(itself.any()))
    key, order = key.topk(many, dim=1, largest=False)
    found = torch.where(key < none, among.rows[order], -1)
    return found, flag.gather(1, order), cells.gather(1, order)


def _joined(first: Found, second: Found, most: int) -> Found:
    a, b, c = (torch.cat(parts, 1)[:, :most] for parts in zip(first, second, strict=True))
    return a, b, c
