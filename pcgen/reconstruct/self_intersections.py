"""Self-intersections of a mesh.

Candidates come from Open3D's test for intersecting triangles. It misses nothing but also reports
small triangles that merely come close, so they are verified in double precision.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.topology import compact

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

_BLOCK = 400  # faces; Open3D's test compares all faces of a block with all


def crossing_faces(vertices: Points, faces: Faces) -> Faces:
    """Pairs (n, 2) of faces that intersect or touch without a common vertex."""
    # Open3D works in single precision, or has its own tolerances.
    centred = vertices - vertices.mean(axis=0)
    pairs = _candidates(centred, faces)
    return pairs[_cross(centred, faces, pairs)]


def _candidates(vertices: Points, faces: Faces) -> Faces:
    """All candidate pairs, block by block along the longest side."""
    import open3d as o3d

    corners = vertices[faces]
    axis = int(np.ptp(vertices, axis=0).argmax())
    low, high = corners[:, :, axis].min(axis=1), corners[:, :, axis].max(axis=1)
    blocks = max(1, round(len(faces) / _BLOCK))
    cuts = np.quantile(corners[:, :, axis].mean(axis=1), np.linspace(0, 1, blocks + 1))
    cuts[0], cuts[-1] = -np.inf, np.inf
    found = [np.zeros((0, 2), np.int64)]
    for start, end in pairwise(cuts):
        inside = np.flatnonzero((high >= start) & (low <= end))
        if not len(inside):
            continue
        used, numbered = compact(vertices, faces[inside])
        mesh = o3d.geometry.TriangleMesh(
            o3d.utility.Vector3dVector(used),
            o3d.utility.Vector3iVector(numbered.astype(np.int32)),
        )
        pairs = np.asarray(mesh.get_self_intersecting_triangles(), np.int64).reshape(-1, 2)
        found.append(inside[pairs])
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _cross(vertices: Points, faces: Faces, pairs: Faces) -> NDArray[np.bool_]:
    """Whether an edge of one face passes through the other, from the signs of five volumes.

    Coplanar faces intersect if an edge of one lies in the other and all three volumes about it
    vanish; if rounding hides a sign, it counts as an intersection.
    """
    result = np.zeros(len(pairs), bool)
    for one, other in ((0, 1), (1, 0)):
        edges, corners = vertices[faces[pairs[:, one]]], vertices[faces[pairs[:, other]]]
        a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
        for i in range(3):
            p, q = edges[:, i], edges[:, i - 1]
            sides = _volume(a, b, c, p) * _volume(a, b, c, q) <= 0
            around = np.stack([_volume(p, q, a, b), _volume(p, q, b, c), _volume(p, q, c, a)])
            result |= sides & ((around >= 0).all(axis=0) | (around <= 0).all(axis=0))
    return result


def _volume(a: Points, b: Points, c: Points, d: Points) -> NDArray[np.float64]:
    return (np.cross(b - a, c - a) * (d - a)).sum(axis=1)
