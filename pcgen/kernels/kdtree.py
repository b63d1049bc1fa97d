"""SciPy's KD-tree: the fastest on a CPU for clouds of a few hundred points and more, in 3D."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pcgen.errors import BackendError


def nearest(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.nearest`."""
    from scipy.spatial import cKDTree

    shape = (*x.shape[:2], k)
    distances, indices = np.empty(shape), np.empty(shape, dtype=np.int64)
    queries, targets = x.detach().cpu().numpy(), y.detach().cpu().numpy()
    for row in range(len(queries)):
        tree = cKDTree(targets[row], compact_nodes=False, balanced_tree=False)
        distance, index = tree.query(queries[row], k=[*range(1, k + 1)])
        distances[row], indices[row] = distance, index
    squared = torch.from_numpy(distances).square().to(x.dtype)
    return squared.to(x.device), torch.from_numpy(indices).to(x.device)


def best_cells(x: Tensor, atoms: Tensor, offset: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Refused: a tree does not help with scores in high dimension."""
    raise BackendError("the kdtree backend has no best_cells; use dense or keops")
