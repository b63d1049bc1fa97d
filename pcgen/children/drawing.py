"""Children from maps, in batches: a gather, a mask and a blend each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

from pcgen.children.frames import Stretch, mirrored, unit
from pcgen.children.masks import KINDS, draw_masks
from pcgen.errors import InputError
from pcgen.kernels import nearest

MOVED_WITH = 8
"""Matched points whose mean move an unmatched point makes, by inverse squared distance."""
SPACING = 0.003
"""In units of the cube; no matched point has more weight than one at this distance."""


@dataclass(frozen=True, kw_only=True)
class BlendSettings:
    """How children are drawn from maps, and so how far they are from their parents.

    Attributes:
        partners: number of nearest partners of a shape that may be used.
        copies: share of children that are unchanged copies of their parent.
        cuts: range of the share of the shape below a cut; see :func:`draw_masks`.
        width: of the step of a mask, in units of the cube.
        kinds: kinds of masks, all equally likely.
        between: share of children with proportions between those of both parents; the others have
            those of the shape that was cut. See :attr:`.clouds.Clouds.repeats_proportions`.
        left_out: share of the maps to these partners that are not used: those that move points
            farthest.
    """

    partners: int = 12
    copies: float = 0.0
    cuts: tuple[float, float] = (0.45, 0.55)
    width: float = 0.12
    kinds: tuple[str, ...] = ("step", "symmetric")
    between: float = 0.0
    left_out: float = 0.0

    def __post_init__(self) -> None:
        shares = self.copies, self.between, self.left_out
        if self.partners < 1 or not all(0 <= s <= 1 for s in shares) or self.width <= 0:
            raise InputError(
                "children need partners of at least 1, copies, between and left_out in [0, 1] and "
                f"a positive width, got {self.partners}, {self.copies}, {self.between}, "
                f"{self.left_out} and {self.width}"
            )
        if not 0 <= self.cuts[0] <= self.cuts[1] <= 1:
            raise InputError(f"cuts must be increasing within [0, 1], got {self.cuts}")
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise InputError(f"kinds must be some of {', '.join(KINDS)}, got {self.kinds}")


@dataclass(frozen=True)
class Children:
    """New shapes and their parents.

    Attributes:
        points: (count, n, 3) float32 in the box frame.
        normals: (count, n, 3) unit vectors without a meaningful sign, or zero if a parent has none;
            None for a set without normals.
        parent: (count, 2) int64 rows of the training set: the shape that was cut, and the partner
            that provides the rest; equal for a copy.
        mirrored: (count, 2) bool, whether each parent was mirrored.
        symmetry: (count, 3) bool, the axes along which both parents, and so the child, equal their
            mirror images.
        map: (count,) int64 number of the map of each, -1 for a copy.
    """

    points: Tensor
    normals: Tensor | None
    parent: Tensor
    mirrored: Tensor
    symmetry: Tensor
    map: Tensor

    def __len__(self) -> int:
        return len(self.points)

    def with_mirror_images(self) -> Tensor:
        """The points (count, 2n, 3), followed by their images along one axis of symmetry.

        Children without symmetry repeat their points. Gaps between few points are not parts of a
        surface, and an image fills most of them.
        """
        first = self.symmetry & (self.symmetry.cumsum(1) == 1)
        sign = torch.where(first, -1.0, 1.0).to(self.points)
        return torch.cat([self.points, self.points * sign[:, None]], 1)


@dataclass(frozen=True)
class MatchedClouds:
    """Matched points of two parents, in their stored frames.

    Attributes:
        points: of each parent, (batch, n, 3) in its box frame; normals likewise, or None.
        unmatched: other points of each parent, (batch, m, 3), for children of m points; None for
            children of the matched ones.
        stretch: transforms of each parent to the cube.
        flipped: (batch,) bool, whether the second parent was mirrored for the match.
        folded: (batch, 3) bool, the axes along which both parents are symmetric. Matched points
            are on the same side of the planes of these symmetries, so children are symmetric.
    """

    points: tuple[Tensor, Tensor]
    normals: tuple[Tensor, Tensor] | None
    stretch: tuple[Stretch, Stretch]
    flipped: Tensor
    folded: Tensor
    unmatched: tuple[Tensor, Tensor] | None = None

    def in_cube(self) -> tuple[Tensor, Tensor]:
        x, y = self._cubes
        return x, y * self._turn

    def unmatched_in_cube(self) -> tuple[Tensor, Tensor]:
        assert self.unmatched is not None
        return self._aligned(self.unmatched)

    def normals_in_cube(self) -> tuple[Tensor, Tensor]:
        assert self.normals is not None
        x, y = (s.cube_normals(p) for s, p in zip(self.stretch, self.normals, strict=True))
        y = torch.where(self.flipped[:, None, None], mirrored(y), y) * self._turn
        return x, torch.where((x * y).sum(-1, keepdim=True) < 0, -y, y)

    def fold(self, points: Tensor) -> Tensor:
        """Reflect points (batch, n, 3) in the cube to one side of the planes of symmetry."""
        return torch.where(self.folded[:, None], points.abs(), points)

    @cached_property
    def _cubes(self) -> tuple[Tensor, Tensor]:
        return self._aligned(self.points)

    def _aligned(self, points: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Points of each parent in the cube, the second's mirrored if it was for the match."""
        x, y = (s.cube(p) for s, p in zip(self.stretch, points, strict=True))
        return x, torch.where(self.flipped[:, None, None], mirrored(y), y)

    @cached_property
    def _turn(self) -> Tensor:
        """-1 where a point of the second is to be reflected to the side of the first's, else 1."""
        x, y = self._cubes
        return 1 - 2 * (self.folded[:, None] & (x * y < 0)).to(x.dtype)


def blend(
    pairs: MatchedClouds, mask: Tensor, flip: Tensor, between: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Children of matched parents.

    By default in the proportions of the first. Some sets have few proportions and repeat them;
    if all their children have others, they are easily distinguished from test shapes, see
    docs/notes/children.md.

    Normals are those of matched points, so children of unmatched ones have none.

    Args:
        mask: (batch, n), 0 where a point stays with the first parent and 1 where it moves to the
            second.
        flip: (batch,) bool, whether to mirror the child.
        between: (batch,) in [0, 1], interpolates the proportions: 0, or None, for those of the
            first parent.
    Returns:
        points (batch, n or m, 3) in the box frame, and normals or None.
    """
    x, y = pairs.in_cube()
    share = mask[..., None]
    child = x + share * (y - x) if pairs.unmatched is None else _blend_unmatched(pairs, mask)
    # Parts of two shapes need not fill the cube together.
    fitted = Stretch.of(child)
    sizes = pairs.stretch[0].proportions
    if between is not None:
        theirs = pairs.stretch[1].proportions
        sizes = torch.lerp(sizes.log(), theirs.log(), between[:, None]).exp()
    points = fitted.cube(child) * sizes[:, None]
    span = points.amax(1, keepdim=True) - points.amin(1, keepdim=True)
    points = points / (span.amax(2, keepdim=True).clamp_min(1e-6) / 2)
    points = torch.where(flip[:, None, None], mirrored(points), points)
    if pairs.normals is None or pairs.unmatched is not None:
        return points, None
    a, b = pairs.normals_in_cube()
    normals = unit((a + share * (b - a)) * (fitted.half / sizes)[:, None])
    return points, torch.where(flip[:, None, None], mirrored(normals), normals)


def _blend_unmatched(pairs: MatchedClouds, mask: Tensor) -> Tensor:
    """Children (batch, m, 3) of the unmatched points, in the cube.

    A point moves as the nearest matched points of its shape do, in the mean. Each parent gives the
    points that stay nearer to it than to the other, so that most are on its own surface. Both give
    about m points together; if there are fewer, some are repeated.
    """
    x, y = (pairs.fold(points) for points in pairs.in_cube())
    ends = (x, y - x, mask), (y, x - y, 1 - mask)
    moved, nearer = [], []
    for own, (here, way, share) in zip(pairs.unmatched_in_cube(), ends, strict=True):
        folded = pairs.fold(own)
        square, near = nearest(folded, here, k=MOVED_WITH)
        weight = 1 / (square + SPACING**2)
        weight = (weight / weight.sum(2, keepdim=True))[..., None]
        each = torch.arange(len(own), device=own.device)[:, None, None]
        way = (weight * way[each, near]).sum(2)
        part = (weight * share[each, near][..., None]).sum(2)
        # Back to its own side of the planes of symmetry.
        side = torch.where(pairs.folded[:, None] & (own < 0), -1.0, 1.0).to(own)
        moved.append(side * (folded + part * way))
        nearer.append(part[..., 0] <= 0.5)
    # Both parents' points in turns, those that they give first.
    points = torch.stack(moved, 2).flatten(1, 2)
    given = torch.stack(nearer, 2).flatten(1, 2)
    order = (~given).to(torch.int8).sort(stable=True, dim=1).indices
    count = moved[0].shape[1]
    place = torch.arange(count, device=points.device) % given.sum(1, keepdim=True).clamp_min(1)
    return points.gather(1, order.gather(1, place)[..., None].expand(-1, -1, 3))


def draw_blend(
    pairs: MatchedClouds,
    settings: BlendSettings,
    copy: Tensor,
    flip: Tensor,
    generator: Generator,
    between: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """:func:`blend` with random masks; those of ``copy`` (batch,) bool are 0."""
    half = pairs.fold(pairs.in_cube()[0])
    mask = draw_masks(half, settings.kinds, settings.cuts, settings.width, generator)
    return blend(pairs, mask * ~copy[:, None], flip, between)
