"""Projects noisy clouds, such as generated ones, to the surface about which they scatter.

A triangulation passes through its points, so noise beyond a small share of their spacing tears it
into splinters. Such clouds, and only those, are projected to local planes (moving least squares;
Levin 2003, Alexa et al. 2003) and thinned to an even spacing, which trades points for smoothness:
the more points are sampled, the smoother the result. The cloud is then ``noisy``, and its facets
are closed with larger tolerances. If given normals fit, they decide the planes; measurements:
docs/notes/meshing.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.cloud import CleanCloud, spacing
from pcgen.reconstruct.planes import Rows, estimate_normals, typical_offset

Points = NDArray[np.float64]

# Lengths in spacings. The typical offset from the local planes was at most 0.036 for samples of
# meshes and at least 0.058 for samples of a small run.
NOISY = 0.045
# Points with normals may be noisy below that: bulky seats, 6000 points each, from a run trained for
# an hour had 0.039 to 0.045. When treated as clean, five of these were torn to a genus of 172 to
# 317; smoothed they have 0 to 19. Five of 442 test shapes without normals are in between, and would
# lose a third of their F-score.
NOISY_WITH_NORMALS = 0.037
WORSE = 2.0  # given normals this many times farther off than estimated ones are not used
REACH = 2.0  # reach of the weights for fitting a plane
NEIGHBOURS = 32
ROUNDS = 4
# Side of the cells that keep one point each; with given normals, the distance between kept points.
# With normals and 6000 points, 1.15 has fewer holes (genus 36 on average, not 47) and F 0.407, not
# 0.426.
KEPT = 1.0
# With given normals:
AROUND = 48  # number of neighbours
ALIKE = 0.1  # 1 - cosine at which a neighbour's weight is a third
ACROSS = 1.0  # distance from the plane, in spacings, at which it is a third too
SAME = 0.5  # cosine of normals above which near points belong to one layer
# Mean square offset over that of uninformative normals. It was at most 0.81 for normals that a run
# predicts, and at least 0.91 for random or equal normals on the same points.
MISFIT = 0.87
MANY = 8000  # points, from which an implicit surface averages their noise instead
JUDGED = 1000  # points


def denoise(cloud: CleanCloud) -> CleanCloud:
    """Smooth the cloud if it is noisy, and find planes it can trust; notes describe what was done.

    Given normals are kept if the points lie in their planes. For noisy points they guide the
    smoothing and are returned as ``planes``, without orientation. Otherwise estimated ones decide.
    """
    if cloud.rank == 2:
        return cloud
    points, notes = cloud.points, list(cloud.notes)
    most = NOISY if cloud.normals is None else NOISY_WITH_NORMALS
    if cloud.normals is not None:
        given = typical_offset(points, cloud.normals) / cloud.spacing
        if given <= most:
            return cloud
    planes: Points | None = estimate_normals(points, cloud.spacing)
    noise = typical_offset(points, planes) / cloud.spacing  # type: ignore[arg-type]
    normals = cloud.normals
    noisy = noise > most
    unfit = normals is not None and (
        misfit(points, normals, cloud.spacing) > MISFIT if noisy else given > WORSE * noise
    )
    if unfit:
        notes.append("the normals do not fit the points; estimated ones were used instead")
        normals = None
    if not noisy:
        return replace(cloud, normals=normals, planes=planes, notes=tuple(notes))
    if normals is None:
        smooth = _thinned(_projected(points, REACH * cloud.spacing), KEPT * cloud.spacing)
        planes = None
    else:
        smooth, planes = _led(points, normals, cloud.spacing)
    notes.append(f"noisy points were smoothed and thinned to {len(smooth)} for the mesh")
    return replace(
        cloud, points=smooth, normals=None, planes=planes, spacing=spacing(smooth),
        notes=tuple(notes), noisy=True,
    )  # fmt: skip


def noisy_with_normals(cloud: CleanCloud) -> bool:
    """Whether the points are many and noisy, and their normals fit: as a run draws them.

    Judged by ``JUDGED`` of the points, as :func:`denoise` judges all of them.
    """
    points, normals, spacing = cloud.points, cloud.normals, cloud.spacing
    if normals is None or cloud.rank == 2 or len(points) < MANY:
        return False
    rows = np.linspace(0, len(points) - 1, JUDGED).astype(np.int64)
    most = NOISY_WITH_NORMALS * spacing
    if typical_offset(points, normals[rows], rows) <= most:
        return False
    planes = estimate_normals(points, spacing, rows=rows)
    if typical_offset(points, planes, rows) <= most:
        return False
    return misfit(points, normals, spacing, rows) <= MISFIT


def misfit(points: Points, normals: Points, spacing: float, rows: Rows = slice(None)) -> float:
    """The misfit of neighbours to the planes of normals: 0 in them, 1 for random normals."""
    index, weight = _kin(points, normals, REACH * spacing, rows)
    arms = points[index] - points[rows][:, None]
    off = (weight * np.einsum("pkd,pd->pk", arms, normals[rows]) ** 2).sum(axis=1)
    far = (weight * (arms**2).sum(axis=2)).sum(axis=1) / 3
    return float(np.median(off / np.maximum(far, 1e-300)))


def _led(points: Points, normals: Points, spacing: float) -> tuple[Points, Points]:
    """Smooth points along given normals and thin them; returns points and normals."""
    reach = REACH * spacing
    normals = _agreed(points, _agreed(points, normals, reach), reach)
    for _ in range(ROUNDS):
        index, weight = _kin(points, normals, reach)
        off = np.einsum("pkd,pd->pk", points[index] - points[:, None], normals)
        weight = weight * np.exp(-((off / (ACROSS * spacing)) ** 2))
        points = points + ((weight * off).sum(axis=1) / weight.sum(axis=1))[:, None] * normals
    normals = _agreed(points, normals, reach)
    kept = _spread(points, normals, KEPT * spacing)
    return points[kept], normals[kept]


def _kin(
    points: Points, normals: Points, reach: float, rows: Rows = slice(None)
) -> tuple[NDArray[np.intp], Points]:
    """Neighbours (P, k), including the point itself, and their weights for its plane."""
    from scipy.spatial import cKDTree

    distance, index = cKDTree(points).query(points[rows], min(AROUND, len(points)))
    bend = 1 - np.abs(np.einsum("pd,pkd->pk", normals[rows], normals[index]))
    return index, np.exp(-((distance / reach) ** 2) - (bend / ALIKE) ** 2)


def _agreed(points: Points, normals: Points, reach: float) -> Points:
    """The mean direction of the normals around each point, ignoring signs."""
    index, weight = _kin(points, normals, reach)
    near = normals[index]
    return np.linalg.eigh(np.einsum("pk,pki,pkj->pij", weight, near, near, optimize=True))[1][
        :, :, 2
    ]


def _spread(points: Points, normals: Points, apart: float) -> NDArray[np.intp]:
    """Greedily keep points such that no two of one layer are closer than ``apart``."""
    from scipy.sparse import coo_array
    from scipy.spatial import cKDTree

    one, two = cKDTree(points).query_pairs(apart, output_type="ndarray").T
    alike = np.abs((normals[one] * normals[two]).sum(axis=1)) > SAME
    # Pairs have the smaller index first, so a point only checks those after it.
    ends = one[alike].astype(np.int32), two[alike].astype(np.int32)
    after = coo_array((np.ones(alike.sum()), ends), shape=(len(points), len(points))).tocsr()
    gone = np.zeros(len(points), bool)
    for point in range(len(points)):
        if not gone[point]:
            gone[after.indices[after.indptr[point] : after.indptr[point + 1]]] = True
    return np.flatnonzero(~gone)


def _projected(points: Points, reach: float) -> Points:
    """Move each point to the plane of the points around it, a few times."""
    from scipy.spatial import cKDTree

    count = min(NEIGHBOURS, len(points))
    for _ in range(ROUNDS):
        distance, index = cKDTree(points).query(points, count)
        weight = np.exp(-((distance / reach) ** 2))[..., None]
        around = points[index]
        middle = (weight * around).sum(axis=1) / weight.sum(axis=1)
        arms = around - middle[:, None]
        spread = np.einsum("pki,pkj->pij", weight * arms, arms)
        normal = np.linalg.eigh(spread)[1][:, :, 0]
        points = points - ((points - middle) * normal).sum(axis=1, keepdims=True) * normal
    return points


def _thinned(points: Points, cell: float) -> Points:
    """The mean of the points in each cell of a grid."""
    place = np.floor((points - points.min(axis=0)) / cell).astype(np.int64)
    _, inverse, count = np.unique(place, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    sums = [np.bincount(inverse, points[:, axis]) for axis in range(3)]
    return np.stack(sums, axis=1) / count[:, None]
