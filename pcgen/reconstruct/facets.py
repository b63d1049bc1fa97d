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
from pcgen.reconstruct.creases import find_creases
from pcgen.reconstruct.holes import close_holes
from pcgen.reconstruct.planes import estimate_normals, noise_width, settle
from pcgen.reconstruct.volume import Cells, cells, inside

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

# Tuned on 40 test shapes of two sets, 2048 points: the F-score changes little around them.
REACH = 1.2  # largest circumradius of a facet, in spacings (distance to the sixth neighbour)
TILT = np.cos(np.radians(25.0))  # of a facet against the plane of a corner
CREASE_NEED = 3
WALLED = 3  # chosen facets that make a cell part of the material
LAYERS = 2
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
    width = noise_width(points, normals, cloud.spacing)
    points = settle(points, normals, cloud.spacing, width)
    creases = find_creases(points, normals, cloud.spacing, width)
    points = np.concatenate([points, creases.points])
    planes = np.concatenate([np.repeat(normals[:, None], 3, axis=1), creases.normals])
    complex_ = cells(delaunay(points))
    faces = complex_.facets
    normal, radius, area = facet_shape(points, faces)
    agree = (np.abs(np.einsum("fd,fvnd->fvn", normal, planes[faces])) > TILT).any(axis=2)
    # A crease agrees with many planes: its facets need the agreement of every corner.
    needed = np.where((faces >= len(cloud.points)).any(axis=1), CREASE_NEED, AGREEING)
    chosen = (agree.sum(axis=1) >= needed) & (radius < REACH * cloud.spacing)
    chosen = close_holes(faces, chosen, normal, radius, largest=FILL * cloud.spacing, bend=BEND)
    solid = inside(points, complex_, chosen, radius, area, cloud.spacing)
    # A facet that joins only points of a solid's skin is a second skin, not a fin.
    skin = _border(complex_, solid)
    covered = np.zeros(len(points), bool)
    covered[faces[skin]] = True
    chosen &= ~covered[faces].all(axis=1) | skin
    # Between the layers of a noisy or curved sheet lie small cells; filled, they make one layer.
    for _ in range(LAYERS):
        solid |= chosen[complex_.facets_of].sum(axis=1) >= WALLED
        chosen[complex_.facets_of[solid]] = True
    one, two = np.r_[solid, False][complex_.cells_of].T
    skin, fins = one != two, chosen & ~one & ~two
    return points, faces[skin | fins]


def _border(complex_: Cells, solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    one, two = np.r_[solid, False][complex_.cells_of].T
    return one != two


def delaunay(points: Points) -> Faces:
    """Delaunay simplices; joggled where the points are in too special a position."""
    from scipy.spatial import Delaunay, QhullError

    try:
        return Delaunay(points).simplices
    except QhullError:
        return Delaunay(points, qhull_options="QJ Qbb Pp").simplices


def facet_shape(
    points: Points, faces: Faces
) -> tuple[Points, NDArray[np.float64], NDArray[np.float64]]:
    """Unit normals (F, 3), circumradii (F,) and areas (F,)."""
    a, b, c = (points[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    double_area = np.linalg.norm(normal, axis=1)
    sides = np.linalg.norm(a - b, axis=1) * np.linalg.norm(b - c, axis=1)
    radius = sides * np.linalg.norm(c - a, axis=1) / np.maximum(2 * double_area, 1e-300)
    return normal / np.maximum(double_area, 1e-300)[:, None], radius, double_area / 2


def _flat(cloud: Cloud) -> Faces:
    """Triangles of points in one plane."""
    centred = cloud.points - cloud.points.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    faces = delaunay(centred @ axes.T).astype(np.int64)
    return faces[facet_shape(cloud.points, faces)[1] < REACH * cloud.spacing]
