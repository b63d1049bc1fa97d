"""Children of maps, in batches: gathers, one mask and one blend each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from pcgen.children.frames import Stretch, mirrored, unit
from pcgen.children.masks import KINDS, draw_masks
from pcgen.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far children go from their parents.

    Attributes:
        partners: the nearest so many of a shape's partners are taken.
        copies: share of children that are their parent as it is, with no partner.
        cuts: range of the share of the shape below a cut; see :func:`draw_masks`.
        width: of the step of a mask, in units of the cube.
        kinds: of masks, each as likely as the others.
    """

    partners: int = 12
    copies: float = 0.0
    cuts: tuple[float, float] = (0.45, 0.55)
    width: float = 0.12
    kinds: tuple[str, ...] = ("step", "symmetric")

    def __post_init__(self) -> None:
        if self.partners < 1 or not 0 <= self.copies <= 1 or self.width <= 0:
            raise InputError(
                "reach needs partners of at least 1, copies in [0, 1] and a positive width, got "
                f"{self.partners}, {self.copies} and {self.width}"
            )
        if not 0 <= self.cuts[0] <= self.cuts[1] <= 1:
            raise InputError(f"cuts must rise within [0, 1], got {self.cuts}")
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise InputError(f"kinds must be some of {', '.join(KINDS)}, got {self.kinds}")


@dataclass(frozen=True)
class Children:
    """Shapes that were not there, and whose they are.

    Attributes:
        points: (count, n, 3) float32 in the box frame.
        normals: (count, n, 3) unit vectors without a meaningful sign, or zero where a parent has
            none; None for a set without normals.
        parent: (count, 2) int64 rows of the training set: the shape that was cut, and the partner
            that the rest comes from; twice the same for a copy.
        mirrored: (count, 2) bool, whether the mirror image of each parent was taken.
    """

    points: Tensor
    normals: Tensor | None
    parent: Tensor
    mirrored: Tensor

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class MatchedClouds:
    """Points of two parents that a map has matched, both as they are stored.

    Attributes:
        points: of each parent, (batch, n, 3) in its box frame; normals likewise, or None.
        stretch: of each parent, to the cube.
        flipped: (batch,) bool, whether the second parent's mirror image was matched.
    """

    points: tuple[Tensor, Tensor]
    normals: tuple[Tensor, Tensor] | None
    stretch: tuple[Stretch, Stretch]
    flipped: Tensor

    def in_cube(self) -> tuple[Tensor, Tensor]:
        x, y = (s.cube(p) for s, p in zip(self.stretch, self.points, strict=True))
        return x, torch.where(self.flipped[:, None, None], mirrored(y), y)

    def normals_in_cube(self) -> tuple[Tensor, Tensor]:
        assert self.normals is not None
        x, y = (s.cube_normals(p) for s, p in zip(self.stretch, self.normals, strict=True))
        y = torch.where(self.flipped[:, None, None], mirrored(y), y)
        return x, torch.where((x * y).sum(-1, keepdim=True) < 0, -y, y)


def blend(
    pairs: MatchedClouds, mask: Tensor, flip: Tensor, between: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Children of matched parents.

    By default in the proportions of the first. A set has few proportions and repeats them, so
    children with others are told from test shapes more easily, see docs/notes/children.md.

    Args:
        mask: (batch, n), 0 where a point stays with the first parent and 1 where it moves to the
            second.
        flip: (batch,) bool, whether to mirror the child.
        between: (batch,) in [0, 1], whose proportions: 0, or None, for the first parent's.
    Returns:
        points (batch, n, 3) in the box frame, and normals or None.
    """
    x, y = pairs.in_cube()
    share = mask[..., None]
    child = x + share * (y - x)
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
    if pairs.normals is None:
        return points, None
    a, b = pairs.normals_in_cube()
    normals = unit((a + share * (b - a)) * (fitted.half / sizes)[:, None])
    return points, torch.where(flip[:, None, None], mirrored(normals), normals)


def draw_blend(
    pairs: MatchedClouds, reach: Reach, copy: Tensor, flip: Tensor, generator: Generator
) -> tuple[Tensor, Tensor | None]:
    """:func:`blend` under masks that are drawn; those of ``copy`` (batch,) bool are 0."""
    mask = draw_masks(pairs.in_cube()[0], reach.kinds, reach.cuts, reach.width, generator)
    return blend(pairs, mask * ~copy[:, None], flip)
