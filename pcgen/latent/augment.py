"""Plausible variants of a shape: stretched along the axes, sheared, reflected.

Few data sets have thousands of shapes, and a stretched chair is still a chair. All functions act on
clouds in the box frame and return the result to the box.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from pcgen.batch_random import mine, whole
from pcgen.runtime import staged


def augment(
    points: Tensor, amount: float, generator: Generator, normals: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Stretch each axis by exp(amount · N(0, 1)), shear by half of it, reflect x at random.

    Args:
        points: (batch, n, dim) in the box frame; normals: of the same shape, unit vectors, or None.
        amount: 0 returns the points unchanged, also without reflection.
    Returns:
        points and normals; normals transform by the inverse transpose.
    """
    if amount == 0:
        return points, normals
    dim, batch = points.shape[2], whole(len(points), generator)
    stretch = torch.exp(amount * mine(torch.randn(batch, dim, generator=generator), generator))
    shear = 0.5 * amount * mine(torch.randn(batch, generator=generator), generator)
    chance = mine(torch.rand(batch, generator=generator), generator)
    mirror = torch.where(chance < 0.5, -1.0, 1.0)
    matrix = torch.diag_embed(stretch)
    matrix[:, :, 0] *= mirror[:, None]
    if dim >= 3:
        matrix[:, 2, 1] = shear  # z leans with height: a reclined back rest
    moved = points @ staged(matrix.to(points.dtype), points.device).transpose(1, 2)
    low, high = moved.amin(1, keepdim=True), moved.amax(1, keepdim=True)
    size = (high - low).amax(2, keepdim=True).clamp_min(1e-6)
    moved = (moved - (low + high) / 2) / (size / 2)
    if normals is None:
        return moved, None
    turned = normals @ staged(torch.linalg.inv(matrix).to(points.dtype), points.device)
    return moved, torch.nn.functional.normalize(turned, dim=-1)
