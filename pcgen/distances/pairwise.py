"""Distances between two clouds, by name; the name is part of every output.

==================  ===========================================================================
cd                  mean_i min_j |x_i − y_j|² + mean_j min_i |x_i − y_j|²
emd_pointflow       annealed soft assignment with cost d; see :mod:`pcgen.distances.annealed_emd`
emd_pytorchemd      annealed soft assignment with cost d²; likewise
emd_exact           the exact optimal assignment (POT), mean Euclidean distance: W₁
dcd                 density-aware CD of Wu et al. (2021), squared distances, α = 1000, in [0, 1];
                    for clouds of about unit size, so an evaluation scales them
normals             1 − mean |⟨n, n'⟩| over nearest points in both directions, in [0, 1]
==================  ===========================================================================

CD and density-aware CD miss different defects, and normals show roughness that both miss
(arXiv 2511.05308). Each value depends on its pair only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.distances.annealed_emd import annealed_table
from pcgen.errors import BackendError, InputError

Clouds = NDArray[np.float32]
Table = NDArray[np.float64]
DCD_ALPHA = 1000.0


@dataclass(frozen=True, kw_only=True)
class Distance:
    """One distance.

    Attributes:
        table: maps clouds (a, n, C) and (b, m, C) and the name of a backend to (a, b) values.
        channels: 3, or 6 with normals after the coordinates.
        symmetric: whether d(x, y) = d(y, x), so that half of a matrix suffices.
        backends: those it supports, the reference implementation last.
        block: side of a resumable block in clouds, for seconds of work.
    """

    table: Callable[[Clouds, Clouds, str], Table]
    channels: int = 3
    symmetric: bool = True
    backends: tuple[str, ...]
    block: int


def pick_backend(distance: str, points: int, backend: str = "auto") -> str:
    """The backend to compute ``distance`` with: the named one, or the fastest in measurements.

    Raises:
        InputError: an unknown distance. BackendError: the distance has no such backend.
    """
    if distance not in DISTANCES:
        raise InputError(f"distance must be one of {', '.join(DISTANCES)}, got {distance!r}")
    known = DISTANCES[distance].backends
    if backend == "auto":
        from pcgen.kernels import backends

        small = points * points <= backends.NATIVE_PAIRS or "kdtree" not in known
        usable = "native" in known and small and backends.native_usable()
        return "native" if usable else next(name for name in known if name != "native")
    if split_backend(backend)[0] not in known:
        raise BackendError(f"{distance} runs on {', '.join(known)}, not on {backend!r}")
    return backend


def device_backend(device: str) -> str:
    """The backend for a CUDA device, with its device: ``keops@cuda:0``."""
    from pcgen.kernels import backends

    return f"{'keops' if backends.keops_usable_on_cuda() else 'dense'}@{device}"


def split_backend(backend: str) -> tuple[str, str]:
    """Split ``keops@cuda:0`` into backend and device; the default device is ``cpu``."""
    name, _, device = backend.partition("@")
    return name, device or "cpu"


def chamfer_table(x: Clouds, y: Clouds, backend: str) -> Table:
    """Chamfer distances between all clouds of two blocks."""
    if backend == "native":
        from pcgen.kernels import native

        return native.chamfer_table(native.prepare(x), native.prepare(y))
    if backend == "kdtree":
        from pcgen.kernels import kdtree

        return kdtree.chamfer_table(x, y)
    import torch

    from pcgen import kernels

    name, device = split_backend(backend)
    others = torch.from_numpy(np.ascontiguousarray(y)).to(device)
    rows = [torch.from_numpy(np.array(cloud)).to(device).expand(len(y), -1, -1) for cloud in x]
    found = torch.stack([kernels.chamfer(row, others, backend=name) for row in rows])
    return found.cpu().numpy().astype(float)


def density_aware(x: Clouds, y: Clouds, backend: str) -> Table:
    """Density-aware CD: a point that is nearest to n others counts 1/n for each."""

    def side(squared: Table, index: NDArray[np.int64], sizes: tuple[int, int]) -> float:
        served = np.bincount(index, minlength=sizes[1])[index]
        share = sizes[1] / sizes[0] / served  # on average, n points are nearest to m: m / n each
        return float((1 - np.exp(-DCD_ALPHA * squared) * share).mean())

    def pair(a: Clouds, b: Clouds, there, back) -> float:  # type: ignore[no-untyped-def]
        forward = side(there[0], there[1], (len(a), len(b)))
        return (forward + side(back[0], back[1], (len(b), len(a)))) / 2

    return _by_neighbours(pair, x, y, backend)


def normal_disagreement(x: Clouds, y: Clouds, backend: str) -> Table:
    """1 − mean |⟨n, n'⟩| of the unit normals of nearest points, averaged over both directions."""

    def pair(a: Clouds, b: Clouds, there, back) -> float:  # type: ignore[no-untyped-def]
        forward = np.abs((a[:, 3:] * b[there[1], 3:]).sum(1)).mean()
        backward = np.abs((b[:, 3:] * a[back[1], 3:]).sum(1)).mean()
        return float(1 - (forward + backward) / 2)

    return _by_neighbours(pair, x, y, backend)


def exact_assignment(x: Clouds, y: Clouds) -> Table:
    """W₁ by POT's network simplex: mean Euclidean distance of the optimal assignment."""
    import ot

    def pair(a: Clouds, b: Clouds) -> float:
        cost = ot.dist(a.astype(np.float64), b.astype(np.float64), "euclidean")
        return float(ot.emd2([], [], cost, numItermax=10_000_000))

    return np.array([[pair(a, b) for b in y] for a in x])


def estimate_normals(points: Clouds, neighbours: int = 16) -> Clouds:
    """Unit normals (N, P, 3) of clouds by PCA of nearest points.

    Their sign is arbitrary; :func:`normal_disagreement` ignores it.
    """
    from scipy.spatial import cKDTree

    normals = np.empty_like(points)
    for row, cloud in enumerate(points):
        _, index = cKDTree(cloud).query(cloud, min(neighbours, len(cloud)))
        local = cloud[index.reshape(len(cloud), -1)].astype(np.float64)
        local -= local.mean(1, keepdims=True)
        _, vectors = np.linalg.eigh(np.einsum("pki,pkj->pij", local, local))
        normals[row] = vectors[:, :, 0]
    return normals


def _by_neighbours(pair: Callable[..., float], x: Clouds, y: Clouds, backend: str) -> Table:
    import torch

    from pcgen import kernels

    def nearest(a: Clouds, b: Clouds) -> tuple[Table, NDArray[np.int64]]:
        name, device = split_backend(backend)
        first, second = (
            torch.from_numpy(np.ascontiguousarray(c[None, :, :3])).to(device) for c in (a, b)
        )
        squared, index = kernels.nearest(first, second, backend=name)
        return squared[0, :, 0].cpu().double().numpy(), index[0, :, 0].cpu().numpy()

    return np.array([[pair(a, b, nearest(a, b), nearest(b, a)) for b in y] for a in x])


_ALL = ("native", "kdtree", "keops", "pytorch3d", "dense")
DISTANCES = {
    "cd": Distance(table=chamfer_table, backends=_ALL, block=64),
    "emd_pointflow": Distance(
        table=lambda x, y, backend: annealed_table(x, y, "emd_pointflow", backend),
        symmetric=False,
        backends=("native", "dense"),
        block=12,
    ),
    "emd_pytorchemd": Distance(
        table=lambda x, y, backend: annealed_table(x, y, "emd_pytorchemd", backend),
        symmetric=False,
        backends=("native", "dense"),
        block=12,
    ),
    "emd_exact": Distance(
        table=lambda x, y, backend: exact_assignment(x, y), backends=("pot",), block=4
    ),
    "dcd": Distance(table=density_aware, backends=_ALL, block=32),
    "normals": Distance(table=normal_disagreement, channels=6, backends=_ALL, block=32),
}
