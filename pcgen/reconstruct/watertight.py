"""Makes a closed mesh usable: without bubbles and hollows, within a number of faces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.topology import compact, face_components, topology

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

_BUBBLE = 0.01  # a component with a smaller share of the largest one's volume is dropped


def without_bubbles(vertices: Points, faces: Faces) -> tuple[Points, Faces]:
    """Without crumbs, and without the shells of hollows."""
    piece = face_components(faces)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    volume = np.bincount(piece, (np.cross(a, b) * c).sum(axis=1))
    kept, faces = np.unique(faces[(volume > _BUBBLE * volume.max())[piece]], return_inverse=True)
    return vertices[kept], faces.reshape(-1, 3)


def face_areas(vertices: Points, faces: Faces) -> NDArray[np.float64]:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def decimate(vertices: Points, faces: Faces, budget: int) -> tuple[Points, Faces]:
    """Simplify to about ``budget`` faces, keeping the mesh manifold.

    Open3D's quadric edge collapse gives better shapes but may break a manifold; then manifold3d's
    simplification, which cannot, is used with an increasing tolerance.
    """
    import open3d as o3d

    if len(faces) <= budget:
        return vertices, faces
    mesh = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces.astype(np.int32))
    )
    small = mesh.simplify_quadric_decimation(budget)
    result = compact(np.asarray(small.vertices), np.asarray(small.triangles, np.int64))
    if len(result[1]) and topology(*result).manifold:
        return result
    best = vertices, faces
    for tolerance in float(np.ptp(vertices, axis=0).max()) * np.geomspace(1e-4, 0.1, 16):
        result = simplify(vertices, faces, tolerance)
        if not len(result[1]) or not topology(*result).manifold:
            break
        best = result
        if len(best[1]) <= budget:
            break
    return best


def simplify(vertices: Points, faces: Faces, tolerance: float) -> tuple[Points, Faces]:
    """Simplify a closed manifold as far as its surface moves by at most ``tolerance``."""
    import manifold3d

    solid = manifold3d.Manifold(
        manifold3d.Mesh64(np.ascontiguousarray(vertices), faces.astype(np.uint64))
    )
    mesh = solid.simplify(tolerance).to_mesh64()
    return np.array(mesh.vert_properties)[:, :3], np.array(mesh.tri_verts, np.int64)
