"""Pairs (x₀, x₁): base points to surface points, once per shape.

Source of the idea: "Not-So-Optimal Transport Flows for 3D Point Cloud Generation" (ICLR 2025)
computes one transport per shape between dense supersets, offline, and draws subsets in training.
Here the base is a mixture that lies on the surface already, with the density of the points right.
Two finite samples of one surface are further apart (0.06 at 2048 points) than the mixture is from
it, so a bijection between them is mostly noise to a regression; the projection to the nearest
surface point has none, and is the limit of the transport when the base is thin.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pcgen.errors import InputError

METHODS = ("nearest", "exact", "bsp", "none")


def match_points(start: Tensor, end: Tensor, *, method: str = "exact", seed: int = 0) -> Tensor:
    """For each base point of one shape the index of its surface point.

    Args:
        start, end: (n, dim); for ``nearest`` end may have any number of points, the more the
            better.
        method: ``nearest`` projects onto the surface; ``exact`` is SciPy's assignment (O(n³) at
            worst: 27 ms at 512, 1 s at 2048), ``bsp`` POT's binary space partitions (68 ms at
            2048, approximate) and ``none`` a random permutation, all three bijections.
    Returns:
        (n,) int64 with start[i] matched to end[index[i]].
    """
    if method not in METHODS:
        raise InputError(f"coupling must be one of {', '.join(METHODS)}, got {method!r}")
    fits = start.shape == end.shape or method == "nearest"
    if start.ndim != 2 or end.ndim != 2 or start.shape[1] != end.shape[1] or not fits:
        raise InputError(
            f"start and end must both be (n, dim), got {tuple(start.shape)} and {tuple(end.shape)}"
        )
    if len(end) == 0 and len(start):
        raise InputError("there are no end points to match; got 0 of them")
    for name, points in (("start", start), ("end", end)):
        if not points.isfinite().all():
            raise InputError(
                f"the {name} points hold NaN or infinite values; leave these shapes out"
            )
    a = start.detach().cpu().double().numpy()
    b = end.detach().cpu().double().numpy()
    index = {"nearest": _nearest, "exact": _exact, "bsp": _bsp, "none": _none}[method](a, b, seed)
    return torch.from_numpy(np.ascontiguousarray(index, dtype=np.int64)).to(start.device)


def _nearest(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    from scipy.spatial import cKDTree

    return cKDTree(b).query(a)[1]


def _exact(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    return linear_sum_assignment(cdist(a, b, "sqeuclidean"))[1]


def _bsp(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    from ot.bsp import compute_bspot_bijection

    return compute_bspot_bijection(a, b, n_plans=64, seed=seed)[1]


def _none(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(len(a))
