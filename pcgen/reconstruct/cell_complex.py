"""A partition of space into tetrahedra: the Delaunay cells of a cloud, and the air around them.

A facet of the hull and a point at infinity also form a cell, so that every facet has two sides and
rims need no special case. Cells are oriented from one to the next across their facets rather than
by their volumes, whose signs are noise for flat cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.inside_cells import Cells, cells, delaunay
from pcgen.reconstruct.thicken import connected

Points = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

# Sides of a cell, as corners 0 to 3, in the order of Cells.facets_of.
SIDES = np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]])
FACING = np.array([3, 2, 1, 0])  # the corner opposite a side; its own inverse
ENDS = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
EDGE = np.full((4, 4), -1)
EDGE[ENDS[:, 0], ENDS[:, 1]] = EDGE[ENDS[:, 1], ENDS[:, 0]] = np.arange(6)

_CLEAR = 0.3  # a direction with at least this product with every face is not improved further
_AIR = 0.01  # height of the centre of an air cell above the hull; thickness stays below it


@dataclass(frozen=True, kw_only=True)
class CellComplex:
    """Cells (C), facets (F), edges (E) and points (P); index P is the point at infinity.

    Attributes:
        points: (P, 3).
        cells: corners ascending, so infinity comes last; every facet has two cells.
        meeting: (F, 2) the two cells of a facet, as cell * 4 + side.
        finite: the number of tetrahedra, which come first.
        sign: (C,) 1 if the corners in their order form a positive tetrahedron, else -1.
        edges: (E, 2) points; edges_of: (C, 6) in the order of ``ENDS``.
        outward: (P + 1, 3) unit directions from points of the hull, outside all hull facets there.
    """

    points: Points
    cells: Cells
    meeting: Index
    finite: int
    sign: Index
    edges: Index
    edges_of: Index
    outward: Points

    def middles(self, simplices: Index) -> Points:
        """A point (n, 3) inside each simplex (n, corners); near the hull for infinite ones."""
        infinite = simplices == len(self.points)
        rest = (~infinite).sum(axis=1, keepdims=True)
        at = np.where(infinite, 0, simplices)
        here = np.where(infinite[..., None], 0.0, self.points[at]).sum(axis=1) / rest
        up = np.where(infinite[..., None], 0.0, self.outward[at]).sum(axis=1) / rest
        return here + _AIR * up * infinite.any(axis=1, keepdims=True)

    def links(self, open_: Mask) -> tuple[Index, Index, Index, Index]:
        """The two cells of each facet with ``open_`` (F,), and the side of each at the facet."""
        one, other = self.meeting[open_].T
        return one // 4, one % 4, other // 4, other % 4


def cell_complex_around(points: Points) -> CellComplex:
    """Args:
    points: (P, 3) distinct, not all in one plane.
    """
    tetrahedra = cells(delaunay(points))
    finite, infinity = len(tetrahedra.corners), len(points)
    hull = tetrahedra.facets[tetrahedra.cells_of[:, 1] == finite]
    outside = np.c_[hull, np.full(len(hull), infinity)]
    all_cells = cells(np.concatenate([tetrahedra.corners, outside]))
    meeting = np.argsort(all_cells.facets_of.reshape(-1), kind="stable").reshape(-1, 2)
    pairs = all_cells.corners[:, ENDS].reshape(-1, 2)
    unique, edge = np.unique(pairs[:, 0] * (infinity + 1) + pairs[:, 1], return_inverse=True)
    return CellComplex(
        points=points,
        cells=all_cells,
        meeting=meeting,
        finite=finite,
        sign=_signs(points, all_cells, meeting, finite),
        edges=np.stack([unique // (infinity + 1), unique % (infinity + 1)], axis=1),
        edges_of=edge.reshape(-1, 6),
        outward=_outward(points, all_cells, finite),
    )


def widest(normals: Points, corners: Index, count: int) -> tuple[Points, NDArray[np.float64]]:
    """For each of ``count`` vertices the direction farthest outside its faces.

    Args:
        normals: (n, 3) unit normals of the faces.
        corners: (n, 3) vertex numbers.
    Returns:
        (count, 3) unit directions, and the smallest product of each with a normal of its faces:
        positive if the direction is outside all of them. Found by the perceptron rule.
    """
    corner, face = corners.reshape(-1), np.repeat(np.arange(len(corners)), 3)
    order = np.argsort(corner, kind="stable")
    corner, face = corner[order], face[order]
    used, start, length = np.unique(corner, return_index=True, return_counts=True)
    direction = np.zeros((count, 3))
    np.add.at(direction, corner, normals[face])
    direction = unit(direction)
    best, least = direction.copy(), np.full(count, -2.0)
    for step in range(60):
        product = (normals[face] * direction[corner]).sum(axis=1)
        low = np.minimum.reduceat(product, start) if len(start) else product
        better = low > least[used]
        least[used[better]], best[used[better]] = low[better], direction[used[better]]
        if (low >= _CLEAR).all():
            break
        is_least = product == np.repeat(low, length)
        worst = np.zeros(count, np.int64)
        worst[corner[is_least][::-1]] = face[is_least][::-1]
        poor = used[low < _CLEAR]
        direction[poor] = unit(direction[poor] + normals[worst[poor]] / (1 + 0.2 * step))
    return best, least


def unit(vectors: Points) -> Points:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300)


def _signs(points: Points, all_cells: Cells, meeting: Index, finite: int) -> Index:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    count = len(all_cells.corners)
    one, two = all_cells.cells_of.T
    graph = coo_array((np.ones(len(one), np.int8), (one, two)), shape=(count, count)).tocsr()
    corners = points[all_cells.corners[:finite]]
    volume = np.linalg.det(corners[:, 1:] - corners[:, :1])
    first = int(np.abs(volume).argmax())
    order, before = breadth_first_order(graph, first, directed=False)
    # Two cells agree if their common facet has opposite orientations in them.
    flips = -((-1) ** FACING[meeting % 4].sum(axis=1))
    key = np.r_[one * count + two, two * count + one]
    place = np.argsort(key)
    wanted = before[order[1:]].astype(np.int64) * count + order[1:]
    flip = np.tile(flips, 2)[place[np.searchsorted(key[place], wanted)]].tolist()
    sign = np.zeros(count, np.int64).tolist()
    sign[first] = 1 if volume[first] > 0 else -1
    for cell, parent, change in zip(
        order[1:].tolist(), before[order[1:]].tolist(), flip, strict=True
    ):
        sign[cell] = sign[parent] * change
    return np.array(sign)


def _outward(points: Points, all_cells: Cells, finite: int) -> Points:
    hull = all_cells.corners[finite:, :3]
    normals = np.cross(
        points[hull[:, 1]] - points[hull[:, 0]], points[hull[:, 2]] - points[hull[:, 0]]
    )
    middle = points[np.unique(hull)].mean(axis=0)
    inward = ((points[hull[:, 0]] - middle) * normals).sum(axis=1) < 0
    normals = unit(np.where(inward[:, None], -normals, normals))
    direction, least = widest(normals, hull, len(points) + 1)
    away = np.concatenate([unit(points - middle), np.zeros((1, 3))])
    return np.where((least < 0.02)[:, None], away, direction)


def corner_groups(space: CellComplex, open_: Mask) -> Index:
    """The group (C, 4) of each corner: one point in cells connected by facets ``open_``."""
    cell, side, other, facing = space.links(open_)
    here = cell[:, None] * 4 + SIDES[side]
    there = other[:, None] * 4 + SIDES[facing]
    count = 4 * len(space.cells.corners)
    return connected(count, here.reshape(-1), there.reshape(-1)).reshape(-1, 4)


def edge_groups(space: CellComplex, open_: Mask) -> Index:
    """The group (C, 6) of each edge: one edge in cells connected by facets ``open_``."""
    sides = EDGE[SIDES, np.roll(SIDES, -1, axis=1)]  # (4, 3): ends (0, 1), (1, 2), (2, 0)
    cell, side, other, facing = space.links(open_)
    here, there = cell[:, None] * 6 + sides[side], other[:, None] * 6 + sides[facing]
    count = 6 * len(space.cells.corners)
    return connected(count, here.reshape(-1), there.reshape(-1)).reshape(-1, 6)
