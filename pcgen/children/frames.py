"""The cube to which the box of a cloud is stretched.

The *box* frame has one scale for all axes; the longest side is [-1, 1]. In the *cube* frame each
axis has its own scale and fills [-1, 1], so that a stretched copy coincides with its original; see
:func:`pcgen.shapes.normalise.cube_frame`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pcgen.shapes.normalise import FLAT


@dataclass(frozen=True)
class Stretch:
    """The transform of clouds to the cube: ``(x - centre) / half``.

    Attributes:
        centre, half: (batch, dim) middle and half extent along each axis.
    """

    centre: Tensor
    half: Tensor

    @classmethod
    def of(cls, points: Tensor) -> Stretch:
        """The transform of clouds (batch, n, dim) in any frame."""
        low, high = points.amin(1), points.amax(1)
        extents = high - low
        longest = extents.amax(1, keepdim=True).clamp_min(1e-6)
        return cls((low + high) / 2, torch.maximum(extents, FLAT * longest) / 2)

    @property
    def proportions(self) -> Tensor:
        """Extents (batch, dim) relative to the longest one."""
        return self.half / self.half.amax(1, keepdim=True)

    def __getitem__(self, rows: Tensor) -> Stretch:
        return Stretch(self.centre[rows], self.half[rows])

    def cube(self, points: Tensor) -> Tensor:
        """Transform clouds (batch, n, dim) to the cube frame."""
        return (points - self.centre[:, None]) / self.half[:, None]

    def cube_normals(self, normals: Tensor) -> Tensor:
        """Transform unit normals (batch, n, dim) by the inverse transpose."""
        return unit(normals * self.half[:, None])


def mirrored(points: Tensor) -> Tensor:
    """Reflect clouds or normals (..., dim) in x."""
    return torch.cat([-points[..., :1], points[..., 1:]], dim=-1)


def unit(vectors: Tensor) -> Tensor:
    """Normalise vectors (..., dim); zero stays zero."""
    return torch.nn.functional.normalize(vectors, dim=-1)
