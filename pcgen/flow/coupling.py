"""Pairs (x₀, x₁): base points to surface points, once per shape.

Source of the idea: "Not-So-Optimal Transport Flows for 3D Point Cloud Generation" (ICLR 2025)
computes one transport per shape between dense supersets, offline, and draws subsets in training.
Here the base is a mixture that lies on the surface already, so the transport is short, and a
bijection within it is computed by an assignment or by its fast approximation.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pcgen.errors import InputError

METHODS = ("exact", "bsp", "none")


def match_points(start: Tensor, end: Tensor, *, method: str = "exact", seed: int = 0) -> Tensor:
    """For each base point of one shape the index of its surface point: a bijection.

    Args:
        start, end: (n, dim).
        method: ``exact`` (SciPy's assignment, O(n³) at worst: 27 ms at 512, 1 s at 2048),
            ``bsp`` (POT's binary space partitions, 68 ms at 2048, approximate) or ``none``.
    Returns:
        (n,) int64 with start[i] matched to end[index[i]].
    """
    if start.shape != end.shape or start.ndim != 2:
        raise InputError(
            f"start and end must both be (n, dim), got {tuple(start.shape)} and {tuple(end.shape)}"
        )
    if method not in METHODS:
        raise InputError(f"coupling must be one of {', '.join(METHODS)}, got {method!r}")
    a = start.detach().cpu().double().numpy()
    b = end.detach().cpu().double().numpy()
    index = {"exact": _exact, "bsp": _bsp, "none": _none}[method](a, b, seed)
    return torch.from_numpy(np.ascontiguousarray(index, dtype=np.int64)).to(start.device)


def _exact(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    return linear_sum_assignment(cdist(a, b, "sqeuclidean"))[1]


def _bsp(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    from ot.bsp import compute_bspot_bijection

    return compute_bspot_bijection(a, b, n_plans=64, seed=seed)[1]


def _none(a: NDArray[np.float64], b: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(len(a))
