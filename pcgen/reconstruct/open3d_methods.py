"""The standard methods, from Open3D: screened Poisson, alpha shapes, ball pivoting.

Each turns a :class:`~pcgen.reconstruct.cloud.CleanCloud` into triangles; closing them to a
watertight manifold is the same last step for every method.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.reconstruct.cloud import CleanCloud, joggled
from pcgen.reconstruct.facets import facet_shape
from pcgen.reconstruct.inside_cells import cells, circumradius, delaunay, surface
from pcgen.reconstruct.planes import estimate_normals, orient_normals

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

_TRIM = 2.0  # Poisson faces farther than this many spacings from every point are removed
_BALLS = (0.7, 1.2, 2.0)  # radii of the pivoting ball, in spacings
ALPHA = 1.0  # largest circumradius of an alpha shape, in spacings


def poisson(cloud: CleanCloud) -> tuple[Points, Faces]:
    """Screened Poisson surface (Kazhdan and Hoppe, 2013), with a depth that suits the spacing.

    Parts far from all points are removed: Poisson closes every opening with a bubble.
    """
    import open3d as o3d
    from scipy.spatial import cKDTree

    depth = int(np.clip(np.ceil(np.log2(4.0 / cloud.spacing)), 5, 10))
    mesh, _ = o3d.geometry.TriangleMesh.create_from_point_cloud_poisson(
        _open3d_cloud(cloud), depth=depth, linear_fit=True, n_threads=1
    )
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.triangles, np.int64)
    if not len(faces):
        return vertices, faces
    distance = cKDTree(cloud.points).query(vertices[faces].mean(axis=1))[0]
    return vertices, faces[distance < _TRIM * cloud.spacing]


def pivoting(cloud: CleanCloud) -> tuple[Points, Faces]:
    """Ball pivoting (Bernardini et al., 1999) with three radii: open surfaces stay open."""
    import open3d as o3d

    radii = o3d.utility.DoubleVector([r * cloud.spacing for r in _BALLS])
    mesh = o3d.geometry.TriangleMesh.create_from_point_cloud_ball_pivoting(
        _open3d_cloud(cloud), radii
    )
    return np.asarray(mesh.vertices), np.asarray(mesh.triangles, np.int64)


def alpha_shape(cloud: CleanCloud) -> tuple[Points, Faces]:
    """The boundary of all small Delaunay tetrahedra, and the small isolated facets.

    Edelsbrunner and Muecke, "Three-dimensional alpha shapes" (1994), without its isolated edges.
    """
    if cloud.rank == 2:
        raise InputError("the points lie in one plane and have no alpha solid; use method facets")
    points = joggled(cloud.points, cloud)
    complex_ = cells(delaunay(points))
    solid = circumradius(points, complex_.corners) < ALPHA * cloud.spacing
    small = facet_shape(points, complex_.facets)[1] < ALPHA * cloud.spacing
    return points, complex_.facets[surface(complex_, solid, small)]


def _planes(cloud: CleanCloud) -> Points:
    return estimate_normals(cloud.points, cloud.spacing) if cloud.planes is None else cloud.planes


def _open3d_cloud(cloud: CleanCloud) -> Any:
    import open3d as o3d

    normals = cloud.normals
    if normals is None:
        normals = orient_normals(cloud.points, _planes(cloud))
    result = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(cloud.points))
    result.normals = o3d.utility.Vector3dVector(normals)
    return result
