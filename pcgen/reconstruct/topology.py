"""The topology of a triangle mesh: closed, manifold, components, genus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Topology:
    """Attributes:
    watertight: every edge belongs to exactly two faces, with opposite directions.
    manifold: watertight, the faces at each vertex form one fan, and manifold3d accepts it.
    components: number of connected components; genus: the sum over them, None unless manifold.
    """

    watertight: bool
    manifold: bool
    components: int
    genus: int | None


def topology(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> Topology:
    """The topology of a mesh; vertices at the same position, in single precision, count as one.

    STL and GLB store single precision: a mesh that is manifold here stays so in a file.
    """
    faces = merged(vertices, faces)
    number, label = len(faces), face_components(faces)
    components = int(label.max()) + 1 if number else 0
    if not is_watertight(faces):
        return Topology(watertight=False, manifold=False, components=components, genus=None)
    used = len(np.unique(faces))
    if fans(faces) != used or not accepted_by_manifold3d(vertices, faces):
        return Topology(watertight=True, manifold=False, components=components, genus=None)
    euler = used - number // 2  # V - E + F with E = 3F/2
    return Topology(
        watertight=True, manifold=True, components=components, genus=components - euler // 2
    )


def merged(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Faces over the first of the vertices at each position."""
    single = np.asarray(vertices, np.float32)
    _, first, inverse = np.unique(single, axis=0, return_index=True, return_inverse=True)
    return first[inverse.reshape(-1)][faces]


def is_watertight(faces: NDArray[np.int64]) -> bool:
    """Whether every directed edge occurs once, and its reverse once."""
    if not len(faces):
        return False
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    count = int(faces.max()) + 1
    there = edges[:, 0] * count + edges[:, 1]
    back = edges[:, 1] * count + edges[:, 0]
    ordered = np.sort(there)
    return bool((np.diff(ordered) > 0).all() and np.array_equal(ordered, np.sort(back)))


def open_edges(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> str:
    """Describe the edges that prevent a mesh from being watertight."""
    if not len(faces):
        return "it has no faces"
    edges = merged(vertices, faces)[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    count = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)[1]
    alone, many = int((count == 1).sum()), int((count > 2).sum())
    if alone or many:
        return f"{alone} edges belong to only one face, {many} to more than two"
    return "neighbouring faces have opposite orientations"


def fans(faces: NDArray[np.int64]) -> int:
    """The number of fans of faces around vertices; on a manifold, the number of vertices."""
    node = np.arange(3 * len(faces)).reshape(-1, 3)
    start, end = faces, np.roll(faces, -1, axis=1)
    forward = start < end
    low = np.where(forward, start, end).reshape(-1)
    high = np.where(forward, end, start).reshape(-1)
    at_low = np.where(forward, node, np.roll(node, -1, axis=1)).reshape(-1)
    at_high = np.where(forward, np.roll(node, -1, axis=1), node).reshape(-1)
    order = np.lexsort((high, low))
    one, two = order[::2], order[1::2]
    label = connected(node.size, np.r_[at_low[one], at_high[one]], np.r_[at_low[two], at_high[two]])
    return int(label.max()) + 1


def face_components(faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index (F,) of the connected component of each face; components share no vertex."""
    if not len(faces):
        return np.zeros(0, np.int64)
    count = int(faces.max()) + 1
    label = connected(count, np.r_[faces[:, 0], faces[:, 1]], np.r_[faces[:, 1], faces[:, 2]])[
        faces[:, 0]
    ]
    return np.unique(label, return_inverse=True)[1].reshape(-1)


def accepted_by_manifold3d(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> bool:
    import manifold3d

    # A copy, since it refuses read-only arrays, which its own are.
    mesh = manifold3d.Mesh64(np.array(vertices, np.float64, order="C"), faces.astype(np.uint64))
    return bool(manifold3d.Manifold(mesh).status() == manifold3d.Error.NoError)


def compact(
    vertices: NDArray[np.float64], faces: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Remove unused vertices."""
    used, renumbered = np.unique(faces, return_inverse=True)
    return vertices[used], renumbered.reshape(-1, 3).astype(np.int64)


def connected(count: int, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """The component (count,) of each node, numbered from 0, given links left[i] - right[i]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)
