"""Normals of a cloud: the given ones if they fit its points, otherwise estimated; and its noise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.cloud import CleanCloud
from pcgen.reconstruct.planes import Rows, estimate_normals, typical_offset

Points = NDArray[np.float64]

JUDGED = 1000  # points by which noise and normals are judged
REACH = 2.0  # spacings: reach of the weights of neighbours
AROUND = 48  # number of neighbours
ALIKE = 0.1  # 1 - cosine at which a neighbour's weight is a third
# Mean square offset over that of uninformative normals. It was at most 0.81 for normals that a run
# predicts, and at least 0.91 for random or equal normals on the same points.
MISFIT = 0.87


def with_normals(cloud: CleanCloud) -> CleanCloud:
    """The cloud with normals (P, 3) of any sign, and with its noise; notes say if it had others."""
    points, normals, notes = cloud.points, cloud.normals, cloud.notes
    rows = np.unique(np.linspace(0, len(points) - 1, JUDGED).astype(np.int64))
    if normals is not None and misfit(points, normals, cloud.spacing, rows) > MISFIT:
        normals = None
        notes = (*notes, "the normals do not fit the points; estimated ones were used instead")
    if normals is None:
        normals = estimate_normals(points, cloud.spacing)
        planes = normals[rows]
    else:
        planes = estimate_normals(points, cloud.spacing, rows=rows)
    noise = typical_offset(points, planes, rows) / cloud.spacing
    return replace(cloud, normals=normals, noise=noise, notes=notes)


def misfit(points: Points, normals: Points, spacing: float, rows: Rows = slice(None)) -> float:
    """The misfit of neighbours to the planes of normals: 0 in them, 1 for random normals."""
    from scipy.spatial import cKDTree

    distance, index = cKDTree(points).query(points[rows], min(AROUND, len(points)))
    bend = 1 - np.abs(np.einsum("pd,pkd->pk", normals[rows], normals[index]))
    weight = np.exp(-((distance / (REACH * spacing)) ** 2) - (bend / ALIKE) ** 2)
    arms = points[index] - points[rows][:, None]
    off = (weight * np.einsum("pkd,pd->pk", arms, normals[rows]) ** 2).sum(axis=1)
    far = (weight * (arms**2).sum(axis=2)).sum(axis=1) / 3
    return float(np.median(off / np.maximum(far, 1e-300)))
