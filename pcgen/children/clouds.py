"""Training clouds with what maps need of them: extents and symmetries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcgen.children.frames import Stretch
from pcgen.distances.symmetry import SYMMETRIC, mirror_ratios
from pcgen.errors import InputError, TrainingError

FEWEST = 16  # points of a map
EXTENT_POINTS = 4096  # of a shape, for its extents
SYMMETRY_POINTS = 1024  # compared with as many mirrored ones
SAME, SIMILAR = 0.01, 0.04  # differences of log proportions
REPEATED = 0.4  # of similar pairs, the least share of same ones where proportions repeat
BLOCK = 128  # shapes read at a time


@dataclass(frozen=True)
class Clouds:
    """Training clouds, with their extents and symmetries.

    Attributes:
        points: (N, P, 3) float32 in the box frame, a tensor or indexed like one by
            ``[shapes, points]``; the points of a shape are independent draws.
        normals: likewise, float16 or float32, or None.
        label: (N,) int64 category of each.
        stretch: of each to the cube.
        symmetry: (N, 3) bool, whether each is its own mirror image along each axis of its box.
    """

    points: Any
    normals: Any
    label: Tensor
    stretch: Stretch
    symmetry: Tensor

    @classmethod
    def of(cls, points: Any, normals: Any, label: Tensor) -> Clouds:
        """Check them, and find their extents.

        Raises:
            InputError: wrong shapes; TrainingError: too few points for a map.
        """
        if len(points.shape) != 3 or points.shape[2] != 3:
            raise InputError(f"points must be (shapes, n, 3), got {tuple(points.shape)}")
        if normals is not None and tuple(normals.shape) != tuple(points.shape):
            raise InputError(
                f"normals must be as the points, {tuple(points.shape)}, got {tuple(normals.shape)}"
            )
        if label.shape != (points.shape[0],):
            raise InputError(
                f"label must have one entry for each of {points.shape[0]} shapes, got "
                f"{tuple(label.shape)}"
            )
        if points.shape[0] and points.shape[1] < FEWEST:
            raise TrainingError(
                f"a map needs {FEWEST} points of each shape, got {points.shape[1]}; prepare the "
                "data set again with more --points"
            )
        parts = [Stretch.of(p) for p in _blocks(points, EXTENT_POINTS)]
        empty = [torch.zeros(0, 3)]
        stretch = Stretch(
            torch.cat([part.centre for part in parts] or empty),
            torch.cat([part.half for part in parts] or empty),
        )
        return cls(points, normals, label, stretch, symmetries(points, stretch))

    def __len__(self) -> int:
        return len(self.label)

    @cached_property
    def repeats_proportions(self) -> bool:
        """Whether many shapes of a category have the same proportions, as parts of one system do.

        If they do not, 1 in 16 pairs that differ by up to 4 % also differ by at most 1 %, for any
        number of shapes, and 1 in 4 if two sides are always equal.
        """
        from scipy.spatial import cKDTree

        near = far = 0
        logs = self.stretch.proportions.log().numpy()
        for category in self.label.unique():
            some = logs[(self.label == category).numpy()]
            tree = cKDTree(some)
            same, similar = tree.count_neighbors(tree, (SAME, SIMILAR), p=np.inf) - len(some)
            near, far = near + same, far + similar
        return bool(near > REPEATED * far)

    @property
    def nbytes(self) -> int:
        """Bytes of points and normals."""
        both = [values for values in (self.points, self.normals) if values is not None]
        return sum(values.shape.numel() * values[:0].element_size() for values in both)

    def gather(self, rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor | None]:
        """Points ``places`` (batch, n), taken cyclically, of ``rows`` (batch,); and normals."""
        places = places % self.points.shape[1]
        normals = None
        if self.normals is not None:
            normals = self.normals[rows[:, None], places].float()
        return self.points[rows[:, None], places].float(), normals

    def cubes(self, count: int, rows: Tensor) -> Iterator[Tensor]:
        """The first ``count`` points of ``rows`` (m,) in the cube frame, some shapes at a time."""
        for part in rows.split(BLOCK):
            yield self.stretch[part].cube(self.points[part, slice(0, count)].float())


def symmetries(points: Any, stretch: Stretch) -> Tensor:
    """(N, 3) bool, whether clouds (N, P, 3) equal their mirror images along each axis.

    Args:
        stretch: of each to the cube; mirrors pass through its centre.
    """
    half = min(SYMMETRY_POINTS, points.shape[1] // 2) if len(points) else 0
    found = [torch.zeros(0, 3, dtype=torch.bool)]
    start = 0
    for part in _blocks(points, 2 * half):
        cubes = stretch[torch.arange(start, start + len(part))].cube(part).numpy()
        first, second = (np.ascontiguousarray(c) for c in (cubes[:, :half], cubes[:, half:]))
        found.append(torch.from_numpy(mirror_ratios(first, second) <= SYMMETRIC))
        start += len(part)
    return torch.cat(found)


def _blocks(points: Any, most: int) -> Iterator[Tensor]:
    """The first ``most`` points of all shapes, some shapes at a time."""
    for start in range(0, points.shape[0], BLOCK):
        part = points[slice(start, start + BLOCK), slice(0, most)]
        yield part.float()


def placed(values: Any, device: str) -> Tensor:
    """Points or normals of :class:`Clouds` on a device, copied some shapes at a time."""
    there = torch.empty(values.shape, dtype=values[:0].dtype, device=device)
    for start in range(0, values.shape[0], BLOCK):
        part = slice(start, start + BLOCK)
        there[part] = values[part].to(device)
    return there
