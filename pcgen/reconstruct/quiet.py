"""Noisy clouds, such as generated ones, brought onto the surface that they scatter about.

A triangulation passes through its points, so noise beyond a small share of their spacing tears it
into splinters. Such clouds, and only those, are projected onto local planes (moving least squares;
Levin 2003, Alexa et al. 2003) and thinned to an even spacing, which spends points on smoothness:
the more points the generator draws, the more there is to spend.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.cloud import Cloud, spacing
from pcgen.reconstruct.planes import estimate_normals, typical_offset

Points = NDArray[np.float64]

# Lengths in spacings. The typical offset from the local planes was at most 0.036 on samples of
# meshes and at least 0.058 on what a small run generated.
NOISY = 0.045
WORSE = 2.0  # given normals this many times farther off than estimated ones are not used
REACH = 2.0  # of the weights that fit a plane
NEIGHBOURS = 32
ROUNDS = 4
KEPT = 1.0  # side of the cells of which one point each is kept


def quiet(cloud: Cloud) -> Cloud:
    """The cloud with planes it can trust, smoothed where it is noisy; what was done is noted.

    Given normals stay where the points lie in their planes. Otherwise estimated ones decide.
    """
    if cloud.rank == 2:
        return cloud
    points, notes = cloud.points, list(cloud.notes)
    if cloud.normals is not None:
        given = typical_offset(points, cloud.normals) / cloud.spacing
        if given <= NOISY:
            return cloud
    planes = estimate_normals(points, cloud.spacing)
    noise = typical_offset(points, planes) / cloud.spacing
    normals = cloud.normals
    if normals is not None and given > WORSE * noise:
        notes.append("the normals do not fit the points; estimated ones were used instead")
        normals = None
    if noise <= NOISY:
        return replace(cloud, normals=normals, planes=planes, notes=tuple(notes))
    smooth = _thinned(_projected(points, REACH * cloud.spacing), KEPT * cloud.spacing)
    notes.append(f"noisy points were smoothed and thinned to {len(smooth)} for the mesh")
    return replace(cloud, points=smooth, normals=None, spacing=spacing(smooth), notes=tuple(notes))


def _projected(points: Points, reach: float) -> Points:
    """Each point moved into the plane of the points around it, a few times."""
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
