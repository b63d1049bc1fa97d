"""PyTorch3D, an extra for a separate environment; the only module that imports pytorch3d."""

from __future__ import annotations

import torch
from torch import Tensor

from pcgen.errors import MissingPackage

try:
    from pytorch3d.ops import knn_points
except ImportError as error:
    raise MissingPackage("pytorch3d", "pytorch3d", "the pytorch3d backend") from error


def nearest(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.nearest`."""
    with torch.no_grad():
        found = knn_points(x.contiguous(), y.contiguous(), K=k, return_sorted=True)
    return found.dists, found.idx
