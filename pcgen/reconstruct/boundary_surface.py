"""The surface of walls and material within the cells of a complex, as triangles over nodes.

*Walls* are facets: sheets, and those between material and empty cells. The surface runs through
the empty cells close to the walls. Around one point, the empty cells that are connected by facets
other than walls form a *nook*, and the walls that bound it form one or more loops. The finest
surface has a node for every cell, facet and edge of a nook, on the way from the point to the centre
of that cell, facet or edge. For any positions of the nodes on these ways no two triangles
intersect, as each stays in its own piece of the barycentric subdivision. (It is the boundary of a
derived neighbourhood of the walls: Rourke and Sanderson, "Introduction to piecewise-linear
topology", 1972, chapter 3.)

The coarse surface merges the nodes of a nook to one per loop, and has only one triangle per side
of a wall. :mod:`pcgen.reconstruct.embedding` finds out which nooks may be merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from pcgen.reconstruct.cell_complex import (
    EDGE,
    ENDS,
    FACING,
    SIDES,
    CellComplex,
    Index,
    Mask,
    Points,
    corner_groups,
    edge_groups,
    unit,
)
from pcgen.reconstruct.thicken import connected


@dataclass(frozen=True, kw_only=True)
class WallSides:
    """The sides of walls that face empty cells, oriented towards them.

    Attributes:
        cells: (S,) the cell that a side faces; corners: (S, 3) corners of that cell, 0 to 3.
        points: (S, 3) points; edges: (S, 3) its edges from corner i to i + 1 as cell * 6 + edge.
    """

    cells: Index
    corners: Index
    points: Index
    edges: Index

    def normals(self, positions: Points) -> Points:
        """Unit normals (S, 3) into the empty cells; zero for degenerate walls."""
        a, b, c = (positions[self.points[:, i]] for i in range(3))
        return unit(np.cross(b - a, c - a))


@dataclass(frozen=True, kw_only=True)
class BoundarySurface:
    """The finest surface, and which nodes may be merged.

    Attributes:
        sides: one triangle each; patches: (Q, 3) nodes of all other triangles.
        side_nodes, side_loops: (S, 3) the node and the loop of each corner of a side.
        patch_loops: (Q, 3) the loop of each corner, -1 if merging removes the triangle.
        nook: (nodes,) the nook of each node, -1 for none; place: (nodes, 3) the centre towards
            which a node lies; start: (nodes,) its point.
        seams: (S, 3) a number for the empty space about each edge of a side.
        loop_nook, loop_point: (loops,) the nook and the point of each.
    """

    sides: WallSides
    side_nodes: Index
    side_loops: Index
    patches: Index
    patch_loops: Index
    nook: Index
    start: Index
    place: Points
    seams: Index
    loop_nook: Index
    loop_point: Index


def wall_sides(space: CellComplex, walls: Mask, empty: Mask) -> WallSides:
    """Args:
    walls: (F,); empty: (C,).
    """
    found = []
    for side in range(4):
        cell = np.flatnonzero(empty & walls[space.cells.facets_of[:, side]])
        corners = np.tile(SIDES[side], (len(cell), 1))
        inwards = space.sign[cell] * (-1) ** (3 - FACING[side]) > 0
        corners[~inwards] = corners[~inwards][:, [0, 2, 1]]
        found.append((cell, corners))
    cells_ = np.concatenate([cell for cell, _ in found])
    corners = np.concatenate([corner for _, corner in found])
    return WallSides(
        cells=cells_,
        corners=corners,
        points=np.take_along_axis(space.cells.corners[cells_], corners, axis=1),
        edges=cells_[:, None] * 6 + EDGE[corners, np.roll(corners, -1, axis=1)],
    )


def boundary_surface(space: CellComplex, walls: Mask, empty: Mask) -> BoundarySurface:
    """Args:
    walls: (F,) among them every facet between an empty and a full cell.
    empty: (C,) the infinite ones among them.
    """
    numbers = _Numbers(space)
    open_ = ~walls & empty[space.cells.cells_of].all(axis=1)
    corner_nook = corner_groups(space, open_)
    sides = wall_sides(space, walls, empty)
    loops = _loops(space, walls, empty, open_)
    # The loop at corner i of a side is that of its edge there.
    ahead = np.roll(sides.corners, -1, axis=1)
    side_loops = loops[sides.cells[:, None], sides.corners, ahead]
    patches, patch_loops = _patches(space, numbers, walls, empty, loops)
    nook = numbers.nooks(corner_nook)
    used, side_loops = np.unique(side_loops, return_inverse=True)
    side_loops = side_loops.reshape(-1, 3)
    renumber = np.full(int(loops.max()) + 2, -1)
    renumber[used] = np.arange(len(used))
    side_nodes = sides.cells[:, None] * 4 + sides.corners
    loop_nook, loop_point = np.zeros(len(used), np.int64), np.zeros(len(used), np.int64)
    loop_nook[side_loops] = nook[side_nodes]
    loop_point[side_loops] = sides.points
    start, place = numbers.places()
    return BoundarySurface(
        sides=sides,
        side_nodes=side_nodes,
        side_loops=side_loops,
        patches=patches,
        patch_loops=renumber[patch_loops],
        nook=nook,
        start=start,
        place=place,
        seams=edge_groups(space, open_).reshape(-1)[sides.edges],
        loop_nook=loop_nook,
        loop_point=loop_point,
    )


class _Numbers:
    """Numbers the nodes: four per cell, then three per facet, then two per edge."""

    def __init__(self, space: CellComplex) -> None:
        self.space = space
        self.facet = 4 * len(space.cells.corners)
        self.edge = self.facet + 3 * len(space.cells.facets)
        self.count = self.edge + 2 * len(space.edges)

    def of_facet(self, facet: Index, point: Index) -> Index:
        corner = (self.space.cells.facets[facet] == point[:, None]).argmax(axis=1)
        return self.facet + facet * 3 + corner

    def of_edge(self, edge: Index, point: Index) -> Index:
        return self.edge + edge * 2 + (self.space.edges[edge] == point[:, None]).argmax(axis=1)

    def nooks(self, corner_nook: Index) -> Index:
        """The nook of every node, from any cell around it; meaningless for walls."""
        cells_ = self.space.cells
        result = np.full(self.count, -1)
        result[: self.facet] = corner_nook.reshape(-1)
        for side in range(4):
            at = self.facet + cells_.facets_of[:, side, None] * 3 + np.arange(3)
            result[at] = corner_nook[:, SIDES[side]]
        for k in range(6):
            at = self.edge + self.space.edges_of[:, k, None] * 2 + np.arange(2)
            result[at] = corner_nook[:, ENDS[k]]
        return result

    def places(self) -> tuple[Index, Points]:
        simplices = (self.space.cells.corners, self.space.cells.facets, self.space.edges)
        start = np.concatenate([simplex.reshape(-1) for simplex in simplices])
        middles = [np.repeat(self.space.middles(s), s.shape[1], axis=0) for s in simplices]
        return start, np.concatenate(middles)


def _loops(space: CellComplex, walls: Mask, empty: Mask, open_: Mask) -> Index:
    """The loop (C, 4, 4) at corner i of the edge from i to j of each cell.

    Edges of one wall meet in its corner; across a facet that is not a wall, an edge stays the same.
    """
    left, right = [], []
    for own in range(4):
        cell = np.flatnonzero(empty & walls[space.cells.facets_of[:, own]])
        for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            a, b, c = SIDES[own, [i, j, k]]
            left.append(cell * 16 + a * 4 + b)
            right.append(cell * 16 + a * 4 + c)
    cell, side, other, facing = space.links(open_)
    for i, j in permutations(range(3), 2):
        left.append(cell * 16 + SIDES[side, i] * 4 + SIDES[side, j])
        right.append(other * 16 + SIDES[facing, i] * 4 + SIDES[facing, j])
    count = 16 * len(space.cells.corners)
    return connected(count, np.concatenate(left), np.concatenate(right)).reshape(-1, 4, 4)


def _patches(
    space: CellComplex, numbers: _Numbers, walls: Mask, empty: Mask, loops: Index
) -> tuple[Index, Index]:
    """The triangles that are not sides of walls, with the loops of their corners.

    In a cell with corners a, b, c, d: along an edge ab of a wall, if the facet abc is not one, a
    strip from the cell to the facet; and around the point a of a wall, if the edge ab lies in none,
    a cap across that edge.
    """
    corners = space.cells.corners
    edge_walled = np.zeros(len(space.edges), bool)
    for side in range(4):
        walled = walls[space.cells.facets_of[:, side]]
        for i, j in ((0, 1), (1, 2), (0, 2)):
            edge_walled[space.edges_of[walled, EDGE[SIDES[side, i], SIDES[side, j]]]] = True
    point_walled = np.zeros(len(space.points) + 1, bool)
    point_walled[space.edges[edge_walled]] = True
    all_empty = np.flatnonzero(empty)
    quads: list[Index] = []
    quad_loops: list[Index] = []
    for a, b, c, d in permutations(range(4)):
        edge = space.edges_of[all_empty, EDGE[a, b]]
        facet = space.cells.facets_of[all_empty, FACING[d]]
        point = corners[all_empty, a]
        if a < b:
            kept = ~walls[facet] & edge_walled[edge]
            cell, at, p, q = all_empty[kept], facet[kept], point[kept], corners[all_empty[kept], b]
            ends = [numbers.of_facet(at, q), numbers.of_facet(at, p)]
            quad = np.stack([cell * 4 + a, cell * 4 + b, *ends], axis=1)
            loop = loops[cell[:, None], [a, b, b, a], [b, a, a, b]]
            _append(quads, quad_loops, quad, loop, space.sign[cell] * _parity(a, b, c, d))
        if c < d:
            kept = ~edge_walled[edge] & point_walled[point]
            cell, p = all_empty[kept], point[kept]
            across = numbers.of_edge(edge[kept], p)
            one = numbers.of_facet(facet[kept], p)
            other = numbers.of_facet(space.cells.facets_of[cell, FACING[c]], p)
            quad = np.stack([across, one, cell * 4 + a, other], axis=1)
            loop = np.full(quad.shape, -1)
            _append(quads, quad_loops, quad, loop, space.sign[cell] * _parity(a, b, c, d))
    return np.concatenate(quads), np.concatenate(quad_loops)


def _append(
    patches: list[Index], patch_loops: list[Index], quad: Index, loop: Index, sign: Index
) -> None:
    """Two triangles per quad, flipped if ``sign`` is negative."""
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    for triangle in triangles:
        turned = np.where((sign > 0)[:, None], triangle, triangle[::-1])
        patches.append(np.take_along_axis(quad, turned, axis=1))
        patch_loops.append(np.take_along_axis(loop, turned, axis=1))


def _parity(*order: int) -> int:
    swaps = sum(order[i] > order[j] for i in range(4) for j in range(i + 1, 4))
    return -1 if swaps % 2 else 1
