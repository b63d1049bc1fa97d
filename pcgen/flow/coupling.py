"""Pairs (x₀, x₁) of base points and surface points, computed once per shape.

Two finite samples of one surface are further apart (0.06 at 2048 points) than the base, a mixture
on the surface, is from it. For regression, a bijection between them is therefore mostly noise. So
is the nearest of finitely many surface points: both move a point along the surface by about the
distance between samples. The method ``tangent`` removes that noise: a base point goes to the
tangent plane of the nearest surface point, which is the limit of the transport for a thin base
with the right density. See docs/notes/point-flow.md for measurements.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pcgen.errors import InputError
from pcgen.kernels import nearest

METHODS = ("tangent", "nearest", "exact", "bsp", "none")


def surface_targets(
    start: Tensor, surface: Tensor, normals: Tensor | None, method: str = "tangent", seed: int = 0
) -> tuple[Tensor, Tensor | None]:
    """The targets on the surface of the base points of one shape.

    Args:
        start: (n, dim).
        surface: (m, dim) points of the surface, with ``normals`` or None; a bijection needs m ≥ n.
        method: one of METHODS; all but ``tangent`` are described in :func:`match_points`.
    Returns:
        (n, dim) targets and their normals.
    """
    if method == "tangent":
        return project_to_surface(start, surface, normals)
    end = surface if method == "nearest" else surface[: len(start)]
    index = match_points(start, end, method=method, seed=seed)
    return end[index], None if normals is None else normals[index]


def project_to_surface(
    points: Tensor, surface: Tensor, normals: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Move points (n, dim) to the tangent plane of the nearest of many surface points.

    A point beyond the boundary of the surface is also pulled towards it. Without normals, the
    nearest few surface points are averaged instead.

    Returns:
        (n, dim) targets and their normals.
    """
    neighbours = _finder(surface)
    _, index = neighbours(points, min(4, len(surface)))
    if normals is None:
        return surface[index].mean(1), None
    foot, normal = surface[index[:, 0]], normals[index[:, 0]]
    off = points - foot
    along = off - (off * normal).sum(1, keepdim=True) * normal
    between = neighbours(surface[: len(points)], 2)[0][:, 1]
    spacing = between.quantile(0.5) if between.is_cuda else float(np.median(between.numpy()))
    length = along.norm(dim=1, keepdim=True).clamp_min(1e-9)
    return foot + along * (2 * spacing / length).clamp_max(1.0), normal


def _finder(surface: Tensor) -> Callable[[Tensor, int], tuple[Tensor, Tensor]]:
    """Returns a function for distances and indices (n, k) of the surface points nearest to points
    (n, dim). On a CPU it uses float64 and one tree for all calls."""
    if surface.is_cuda:

        def on_device(points: Tensor, k: int) -> tuple[Tensor, Tensor]:
            squared, index = nearest(points[None], surface[None], k=k)
            return squared[0].sqrt(), index[0]

        return on_device
    from scipy.spatial import cKDTree

    tree = cKDTree(surface.double().numpy())

    def by_tree(points: Tensor, k: int) -> tuple[Tensor, Tensor]:
        distance, place = tree.query(points.double().numpy(), k=k)
        shape = len(points), k
        found = np.asarray(distance).reshape(shape), np.asarray(place).reshape(shape)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    return by_tree


def match_points(start: Tensor, end: Tensor, *, method: str = "exact", seed: int = 0) -> Tensor:
    """Match base points to surface points of one shape.

    Args:
        start, end: (n, dim); for ``nearest``, end may have any number of points, the more the
            better.
        method: ``nearest`` projects onto the surface; the others are bijections. ``exact`` is
            SciPy's assignment (O(n³) at worst: 27 ms at 512, 1 s at 2048), ``bsp`` POT's binary
            space partitions (approximate, far faster) and ``none`` a random permutation.
    Returns:
        (n,) int64 with start[i] matched to end[index[i]].
    """
    if method not in METHODS[1:]:
        raise InputError(f"coupling must be one of {', '.join(METHODS[1:])}, got {method!r}")
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
                f"the {name} points contain NaN or infinite values; leave these shapes out"
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
