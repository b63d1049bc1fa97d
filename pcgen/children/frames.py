"""The cube that the box of a cloud is stretched to, and back.

In the *box* frame one scale holds for all axes, and the longest side is [-1, 1]. In the *cube*
frame each axis fills [-1, 1], as in :func:`pcgen.shapes.normalise.proportion_free`, so that a
stretched copy falls onto its original.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pcgen.shapes.normalise import FLAT


@dataclass(frozen=True)
class Stretch:
    """What takes clouds from where they are to the cube: ``(x - centre) / half``.

    Attributes:
        centre, half: (batch, dim) middle and half extent along each axis.
    """

    centre: Tensor
    half: Tensor

    @classmethod
    def of(cls, points: Tensor) -> Stretch:
        """That of clouds (batch, n, dim) in any frame."""
        low, high = points.amin(1), points.amax(1)
        extents = high - low
        longest = extents.amax(1, keepdim=True).clamp_min(1e-6)
        return cls((low + high) / 2, torch.maximum(extents, FLAT * longest) / 2)

    @property
    def proportions(self) -> Tensor:
        """(batch, dim) extents over the longest one."""
        return self.half / self.half.amax(1, keepdim=True)

    def __getitem__(self, rows: Tensor) -> Stretch:
        return Stretch(self.centre[rows], self.half[rows])

    def cube(self, points: Tensor) -> Tensor:
        """Clouds (batch, n, dim) in the cube frame."""
        return (points - self.centre[:, None]) / self.half[:, None]

    def cube_normals(self, normals: Tensor) -> Tensor:
        """Their unit normals (batch, n, dim) likewise: by the inverse transpose of the stretch."""
        return unit(normals * self.half[:, None])


def mirrored(points: Tensor) -> Tensor:
    """Mirror images in x of clouds, or of normals, (..., dim)."""
    return torch.cat([-points[..., :1], points[..., 1:]], dim=-1)


def unit(vectors: Tensor) -> Tensor:
    """Vectors (..., dim) at length one; zero stays zero."""
    return torch.nn.functional.normalize(vectors, dim=-1)
