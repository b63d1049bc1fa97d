"""Converts any set of triangles to closed, consistently oriented two-manifolds.

Each triangle gets two sides. Around an edge, the triangles in angular order are sewn side to side:
the side that faces the next triangle to the side of that one that faces back; a lone triangle is
sewn to itself. This is the boundary of an infinitely thin layer of material around the triangles,
and every component of it bounds one region of empty space. It is closed and two-manifold for any
input: open sheets become two-sided, edges of three or more triangles come apart, and a surface
without holes gives two components, its outside and its inside.

If several sides pass through one point, each has its own copy of it; :func:`move_apart` then gives
sheets their thickness, so that no file format merges the copies again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vertices = NDArray[np.float64]
Faces = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The sewn sides of a set of triangles.

    Attributes:
        vertices: (V, 3); all copies of a point have its position.
        faces: (F, 3), oriented away from the material.
        origin: (V,) the index of the point of which a vertex is a copy, -1 for the centre of an
            edge.
        piece: (F,) the index of the connected component of a face.
        volume: (pieces,) the volume that each component encloses: positive for an outside, negative
            for an inside, zero for a sheet.
    """

    vertices: Vertices
    faces: Faces
    origin: NDArray[np.int64]
    piece: NDArray[np.int64]
    volume: NDArray[np.float64]


def thicken(vertices: Vertices, faces: Faces) -> Layer:
    """Sew the sides of the triangles ``faces`` (F, 3) over ``vertices`` (V, 3).

    Args:
        faces: at least one must survive :func:`clean`.
    """
    faces = clean(faces)
    joins = _joins(vertices, faces)
    count = len(faces)
    corner_class = connected(
        6 * count, np.r_[joins[:, 0], joins[:, 1]], np.r_[joins[:, 2], joins[:, 3]]
    )
    # Nodes are numbered (side * F + face) * 3 + corner; reversing a side swaps two corners.
    sides = corner_class.reshape(2 * count, 3)
    points = np.concatenate([faces, faces]).reshape(-1)
    origin = np.empty(corner_class.max(initial=-1) + 1, np.int64)
    origin[corner_class] = points
    middle, origin, positions = _split_doubled_edges(sides, joins, origin, vertices)
    sides[count:] = sides[count:, ::-1]
    middle[count:] = middle[count:, ::-1][:, [1, 2, 0]]
    sewn, owner = subdivide(sides, middle)
    piece = connected(2 * count, joins[:, 0] // 3, joins[:, 2] // 3)[owner]
    volume = np.bincount(piece, tetrahedra(positions, sewn)).astype(np.float64)
    return Layer(vertices=positions, faces=sewn, origin=origin, piece=piece, volume=volume)


def clean(faces: Faces) -> Faces:
    """Remove duplicate faces of any orientation, and faces with repeated corners."""
    faces = np.asarray(faces, np.int64).reshape(-1, 3)
    distinct = (
        (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    )
    faces = faces[distinct]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return faces[np.sort(first)]


def compact(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """Remove unused vertices."""
    used, renumbered = np.unique(faces, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3).astype(np.int64)


def _joins(vertices: Vertices, faces: Faces) -> NDArray[np.int64]:
    """The seams: (3F, 4) nodes (u here, v here, u there, v there), one row per seam.

    Of the two sides of a triangle (u, v, w), the one with the normal (v - u) x (w - u) faces
    towards growing angles about the axis u -> v.
    """
    count = len(faces)
    face = np.tile(np.arange(count), 3)
    first = np.repeat([0, 1, 2], count)
    second = (first + 1) % 3
    a, b = faces[face, first], faces[face, second]
    forward = a < b
    u, v = np.where(forward, a, b), np.where(forward, b, a)
    corner_u, corner_v = np.where(forward, first, second), np.where(forward, second, first)
    angle = _angles(vertices, u, v, faces[face, (first + 2) % 3])
    order = np.lexsort((angle, v, u))
    face, u, v, forward = face[order], u[order], v[order], forward[order]
    corner_u, corner_v = corner_u[order], corner_v[order]
    starts = np.r_[True, (u[1:] != u[:-1]) | (v[1:] != v[:-1])]
    begin = np.flatnonzero(starts)
    follower = np.arange(1, len(u) + 1)
    follower[np.r_[begin[1:], len(u)] - 1] = begin  # the last of an edge is followed by its first
    here = np.where(forward, 0, 1)  # the side that faces ahead
    there = 1 - here[follower]
    node_here = (here * count + face) * 3
    node_there = (there * count + face[follower]) * 3
    return np.stack(
        [
            node_here + corner_u,
            node_here + corner_v,
            node_there + corner_u[follower],
            node_there + corner_v[follower],
        ],
        axis=1,
    )


def _angles(
    vertices: Vertices, u: NDArray[np.int64], v: NDArray[np.int64], w: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The angle of each triangle (u, v, w) about the axis u -> v, with the same zero per axis."""
    axis = vertices[v] - vertices[u]
    axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-300)
    helper = np.eye(3)[np.abs(axis).argmin(axis=1)]
    right = np.cross(axis, helper)
    up = np.cross(axis, right)
    arm = vertices[w] - vertices[u]
    return np.arctan2((arm * up).sum(1), (arm * right).sum(1))


def connected(count: int, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """The component (count,) of each node, numbered from 0, given links left[i] - right[i]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _split_doubled_edges(
    sides: Faces, joins: NDArray[np.int64], origin: NDArray[np.int64], vertices: Vertices
) -> tuple[Faces, NDArray[np.int64], Vertices]:
    """Add a central vertex to every seam that shares both ends with another seam.

    Such seams (e.g. between two vertices of a rim) are different edges of the layer with equal
    ends; as index pairs they would be one edge of four faces.

    Returns:
        (2F, 3) the centre of the edge from corner i to i + 1 of each side or -1, in the
        unreversed order; the origins and the positions with the centres appended.
    """
    ends = np.sort(sides.reshape(-1)[joins[:, :2]], axis=1)
    _, inverse, repeats = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    doubled = np.flatnonzero(repeats[inverse.reshape(-1)] > 1)
    middle = np.full(sides.shape, -1, np.int64)
    index = len(origin) + np.arange(len(doubled))
    for u, v in ((joins[doubled, 0], joins[doubled, 1]), (joins[doubled, 2], joins[doubled, 3])):
        i, j = u % 3, v % 3
        edge = np.where((i + 1) % 3 == j, i, j)
        middle[u // 3, edge] = index
    halves = vertices[origin[ends[doubled]]].mean(axis=1)
    positions = np.concatenate([vertices[origin], halves])
    return middle, np.r_[origin, np.full(len(doubled), -1)], positions


def subdivide(sides: Faces, middle: Faces) -> tuple[Faces, NDArray[np.int64]]:
    """Split faces along one, two or three of their edges; also returns the side of each."""
    owner = np.arange(len(sides))
    pieces, owners = [], []
    split = (middle >= 0).sum(axis=1)
    for splits in range(4):
        rows = owner[split == splits]
        corners, middles = sides[rows], middle[rows]
        # Rotate each face so that its split edges come first (for two: edges 0 and 1).
        turn = (middles < 0).argmin(axis=1) if splits != 2 else (middles.argmin(axis=1) + 1) % 3
        place = (turn[:, None] + np.arange(3)) % 3
        a, b, c = np.take_along_axis(corners, place, 1).T
        m, n, o = np.take_along_axis(middles, place, 1).T
        patterns = {
            0: [(a, b, c)],
            1: [(a, m, c), (m, b, c)],
            2: [(m, b, n), (a, m, n), (a, n, c)],
            3: [(a, m, o), (m, b, n), (o, n, c), (m, n, o)],
        }[splits]
        for pattern in patterns:
            pieces.append(np.stack(pattern, axis=1))
            owners.append(rows)
    return np.concatenate(pieces), np.concatenate(owners)


def move_apart(vertices: Vertices, faces: Faces, distance: float) -> Vertices:
    """Move vertices that share their position with others outwards by ``distance``.

    Copies that still coincide, or nearly, are moved until none do.
    """
    from scipy.spatial import cKDTree

    used = np.unique(faces)
    _, inverse, repeats = np.unique(vertices[used], axis=0, return_inverse=True, return_counts=True)
    shared = used[repeats[inverse.reshape(-1)] > 1]
    moved = vertices.copy()
    moved[shared] += distance * vertex_normals(vertices, faces)[shared]
    generator = np.random.default_rng(0)
    for _ in range(8):
        pairs = cKDTree(moved[used]).query_pairs(distance / 100, output_type="ndarray")
        if not len(pairs):
            break
        together = used[np.unique(pairs)]
        moved[together] += generator.normal(size=(len(together), 3)) * distance / 10
    return moved


def vertex_normals(vertices: Vertices, faces: Faces) -> Vertices:
    """Unit normals (V, 3), faces weighted by their angle at the vertex; zero where undefined."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)
    total = np.zeros_like(vertices)
    for i in range(3):
        one = corners[:, (i + 1) % 3] - corners[:, i]
        two = corners[:, (i + 2) % 3] - corners[:, i]
        scale = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
        angle = np.arccos(np.clip((one * two).sum(1) / np.maximum(scale, 1e-300), -1, 1))
        np.add.at(total, faces[:, i], normal * angle[:, None])
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def tetrahedra(vertices: Vertices, faces: Faces) -> NDArray[np.float64]:
    """Signed volumes of the tetrahedra from the origin; their sum is the volume enclosed."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return (np.cross(a, b) * c).sum(1) / 6
