"""SciPy's KD-tree: fastest on a CPU for clouds of a few hundred points or more, in 3D."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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


def chamfer_table(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """All Chamfer distances between clouds (a, n, 3) and (b, m, 3): (a, b).

    Each tree is built once. Querying the points in the order of their own tree keeps the other
    tree's nodes in the processor's cache: 3.1 ms instead of 3.8 for a pair of 2048 points.
    """
    from scipy.spatial import cKDTree

    first, second = ([cKDTree(cloud, leafsize=32) for cloud in clouds] for clouds in (x, y))
    rows, columns = ([tree.data[tree.indices] for tree in trees] for trees in (first, second))
    out = np.empty((len(x), len(y)))
    for a, tree in enumerate(first):
        for b, other in enumerate(second):
            there, _ = other.query(rows[a])
            back, _ = tree.query(columns[b])
            out[a, b] = np.square(there).mean() + np.square(back).mean()
    return out
