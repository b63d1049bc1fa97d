"""The zero level of values on a grid as a closed manifold of few, well-shaped triangles.

Surface nets (Gibson, 1998): each cell that the level crosses gets a vertex, in the middle of the
crossings of its edges; each edge that the level crosses gets a quadrilateral. The net is that of
the faces of voxels about the inner nodes, so it is a manifold where these are well-composed
(Latecki, Eckhardt and Rosenfeld, 1995): nodes that touch across a diagonal only are joined first.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]
Faces = NDArray[np.int64]

CORNERS = np.array(list(product((0, 1), repeat=3)))
SLIM = 0.05  # of an edge, nearest to its ends that it is crossed: vertices stay in their cells
_JOINED = -1e-4  # value of a node that was made an inner one
_LOW, _HIGH = slice(None, -1), slice(1, None)


def surface_nets(values: NDArray[np.floating]) -> tuple[Points, Faces]:
    """Vertices (V, 3) in units of the cells and faces (F, 3) with outward normals.

    Args:
        values: on the nodes of a grid, negative inside and positive on its border.
    """
    inside = well_composed(values < 0)
    values = np.where(inside & (values >= 0), _JOINED, values)
    around = [inside[_corner(corner)] for corner in CORNERS]
    crossed = np.logical_or.reduce(around) & ~np.logical_and.reduce(around)
    cells = np.argwhere(crossed)
    number = np.full(crossed.shape, -1, np.int64)
    number[crossed] = np.arange(len(cells))
    vertices = cells + _middles(values[tuple((cells[:, None] + CORNERS).transpose(2, 0, 1))])
    quads = np.concatenate([_quads(inside, number, axis) for axis in range(3)])
    # The shorter diagonal folds a quadrilateral less.
    one, two = (
        np.linalg.norm(vertices[quads[:, i]] - vertices[quads[:, i + 2]], axis=1) for i in (0, 1)
    )
    quads = np.where((one <= two)[:, None], quads, np.roll(quads, -1, axis=1))
    return vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def well_composed(inside: Mask) -> Mask:
    """With more inner nodes, until no two of one kind touch across a diagonal only."""
    inside = inside.copy()
    while True:
        before = inside.sum()
        for (a, b), (c, d) in _squares(inside):
            c |= a & b & ~c & ~d
            a |= c & d & ~a & ~b
        corner = [inside[_corner(place)] for place in CORNERS]
        count = np.sum(corner, axis=0, dtype=np.int8)
        for i in range(4):  # the four diagonals of a cube
            lone = (count == 2) & corner[i] & corner[7 - i]
            corner[i ^ 1][lone] = True
            corner[i ^ 3][lone] = True
            corner[i] |= (count == 6) & ~corner[i] & ~corner[7 - i]
        if inside.sum() == before:
            return inside


def _squares(inside: Mask) -> Iterator[tuple[tuple[Mask, Mask], tuple[Mask, Mask]]]:
    """Views of the ends of both diagonals of the squares of the grid."""
    for first, second in combinations(range(3), 2):

        def view(i: slice, j: slice, first: int = first, second: int = second) -> Mask:
            place = [slice(None)] * 3
            place[first], place[second] = i, j
            return inside[tuple(place)]

        yield (view(_LOW, _LOW), view(_HIGH, _HIGH)), (view(_LOW, _HIGH), view(_HIGH, _LOW))


def _corner(place: NDArray[np.int64]) -> tuple[slice, ...]:
    return tuple(_HIGH if ahead else _LOW for ahead in place)


def _middles(values: NDArray[np.floating]) -> Points:
    """Means (n, 3) of the crossings of the edges of cells with corner values (n, 8)."""
    total, count = np.zeros((len(values), 3)), np.zeros(len(values))
    for i, corner in enumerate(CORNERS):
        for axis in np.flatnonzero(corner == 0):
            start, stop = values[:, i], values[:, i + (4 >> axis)]
            cut = (start < 0) != (stop < 0)
            total += cut[:, None] * corner
            share = np.clip(start / np.where(cut, start - stop, 1), SLIM, 1 - SLIM)
            total[:, axis] += cut * share
            count += cut
    return total / count[:, None]


def _quads(inside: Mask, number: NDArray[np.int64], axis: int) -> Faces:
    """The four cells (n, 4) around each crossed edge along an axis."""
    ahead = np.moveaxis(inside, axis, 0)
    edges = np.argwhere(ahead[_LOW] != ahead[_HIGH])
    outward = ahead[_LOW][tuple(edges.T)]
    cells = np.moveaxis(number, axis, 0)
    # Moving an axis to the front keeps the order of the others: a turn, but for the middle one.
    turn = ((-1, -1), (0, -1), (0, 0), (-1, 0))
    ring = [cells[edges[:, 0], edges[:, 1] + i, edges[:, 2] + j] for i, j in turn]
    quads = np.stack(ring, axis=1)
    return np.where((outward == (axis != 1))[:, None], quads, quads[:, ::-1])
