"""The default method: Delaunay facets that lie in the planes of their points.

A dense sample of a surface has a triangulation of it among the facets of its Delaunay
tetrahedra (Amenta and Bern, "Surface reconstruction by Voronoi filtering", 1999). Where a sample
is sparse and the shape has thin walls and open sheets, the classical filters fail; what tells
the right facets is that they are small and lie flat in the planes of their corners. The result
is any set of triangles, with sheets and holes; :mod:`pcgen.reconstruct.thicken` closes it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.cloud import Cloud
from pcgen.reconstruct.holes import close_holes
from pcgen.reconstruct.planes import estimate_normals

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

# Tuned on 40 test shapes of two sets, 2048 points: the F-score changes little around them.
REACH = 1.2  # largest circumradius of a facet, in spacings (distance to the sixth neighbour)
TILT = np.cos(np.radians(25.0))  # of a facet against the plane of a corner
AGREEING = 2  # corners that must agree
FILL = 1.5  # largest circumradius of a facet that closes a hole, in spacings
BEND = np.cos(np.radians(50.0))  # of a facet that closes a notch against its neighbours


def planar_facets(cloud: Cloud) -> tuple[Points, Faces]:
    """The vertices (the points themselves) and the facets chosen."""
    points = cloud.points
    if cloud.rank == 2:
        return points, _flat(cloud)
    normals = cloud.normals
    if normals is None:
        normals = estimate_normals(points, cloud.spacing)
    faces = delaunay_facets(points)
    normal, radius = facet_shape(points, faces)
    agree = np.abs(np.einsum("fd,fvd->fv", normal, normals[faces])) > TILT
    chosen = (agree.sum(axis=1) >= AGREEING) & (radius < REACH * cloud.spacing)
    chosen = close_holes(faces, chosen, normal, radius, largest=FILL * cloud.spacing, bend=BEND)
    return points, faces[chosen]


def delaunay_facets(points: Points) -> Faces:
    """All facets (F, 3) of the Delaunay tetrahedra, each once, corners ascending."""
    tetrahedra = np.sort(delaunay(points), axis=1).astype(np.int64)
    facets = tetrahedra[:, [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]].reshape(-1, 3)
    count = len(points)
    key = (facets[:, 0] * count + facets[:, 1]) * count + facets[:, 2]
    return facets[np.unique(key, return_index=True)[1]]


def delaunay(points: Points) -> Faces:
    """Delaunay simplices; joggled where the points are in too special a position."""
    from scipy.spatial import Delaunay, QhullError

    try:
        return Delaunay(points).simplices
    except QhullError:
        return Delaunay(points, qhull_options="QJ Qbb Pp").simplices


def facet_shape(points: Points, faces: Faces) -> tuple[Points, NDArray[np.float64]]:
    """Unit normals (F, 3) and circumradii (F,)."""
    a, b, c = (points[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    double_area = np.linalg.norm(normal, axis=1)
    sides = np.linalg.norm(a - b, axis=1) * np.linalg.norm(b - c, axis=1)
    radius = sides * np.linalg.norm(c - a, axis=1) / np.maximum(2 * double_area, 1e-300)
    return normal / np.maximum(double_area, 1e-300)[:, None], radius


def _flat(cloud: Cloud) -> Faces:
    """Triangles of points in one plane."""
    centred = cloud.points - cloud.points.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    faces = delaunay(centred @ axes.T).astype(np.int64)
    return faces[facet_shape(cloud.points, faces)[1] < REACH * cloud.spacing]
