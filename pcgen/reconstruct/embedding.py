"""Thickness for walls of Delaunay facets, without self-intersections.

Moving each vertex of a sewn surface (:mod:`pcgen.reconstruct.thicken`) out of its wall is simple
and nearly right. But around one point in eight no single position is in front of all walls of its
nook, and faces intersect there. The finest surface of :mod:`pcgen.reconstruct.boundary_surface`
never intersects itself, but has many times the faces. So there is one vertex per loop of walls if
possible:

1. Around a point with several nooks, the worst one keeps its position; the others move in front of
   all their walls; a second loop in a nook moves back into its walls.
2. Where faces intersect, vertices move less far, three times.
3. Where they still do, their nooks get the finest surface, until nothing intersects.

The result is embedded unless cells are flat to rounding; :func:`embedded` reports what is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.boundary_surface import (
    BoundarySurface,
    WallSides,
    boundary_surface,
    wall_sides,
)
from pcgen.reconstruct.cell_complex import (
    CellComplex,
    Index,
    Mask,
    Points,
    edge_groups,
    unit,
    widest,
)
from pcgen.reconstruct.inside_cells import facet_keys
from pcgen.reconstruct.self_intersections import crossing_faces
from pcgen.reconstruct.thicken import clean, connected, subdivide, tetrahedra

Faces = NDArray[np.int64]
Values = NDArray[np.float64]

_SEES = 0.1  # minimum product of a direction with the normals of all walls it is in front of
_STEP = 0.3  # a vertex moves at most this fraction of the shortest edge of its walls
_DRAW_BACK = 2.0  # how much farther a second loop moves than a first
_SHRINK, _SMALLER = 3, 0.4  # rounds of moving less far, and how much less
_MOVED = 3  # further rounds that open only the nooks of moved vertices
_ROUNDS = 12
_FINE = 0.4  # maximum fraction of the way from a node's point to its centre


def walls_among(space: CellComplex, faces: Faces) -> Mask | None:
    """The facets (F,) that ``faces`` are, or None if some are not facets of the complex."""
    count = len(space.points) + 1
    wanted = facet_keys(np.sort(clean(faces), axis=1), count)
    walls = np.isin(facet_keys(space.cells.facets, count), wanted)
    return walls if walls.sum() == len(wanted) else None


def embedded(
    space: CellComplex, walls: Mask, full: Mask, thickness: float
) -> tuple[Points, Faces, Index]:
    """The surface of the cells ``full`` and of sheets with ``thickness``.

    Args:
        walls: (F,) sheets, and the boundary of full cells.
        full: (C,) cells of material, all finite.
    Returns:
        vertices and faces, closed and two-manifold, and the point (V,) of each vertex, -1 for the
        centre of an edge. :func:`~pcgen.reconstruct.self_intersections.crossing_faces` counts the
        remaining intersections.
    """
    empty = ~full
    one, two = empty[space.cells.cells_of].T
    boundary = boundary_surface(space, (walls & (one | two)) | (one != two), empty)
    placing = _Placing(boundary, space, thickness)
    vertices, faces, names = placing.mesh()
    for step in range(_ROUNDS):
        shrinking = step < _SHRINK
        pairs = crossing_faces(vertices, faces, quick=shrinking)
        if not len(pairs) and shrinking:
            pairs = crossing_faces(vertices, faces)
        if not len(pairs):
            break
        crossing = names[np.unique(faces[pairs])]
        if shrinking:
            placing.shrink(crossing)
        elif not placing.open(crossing, step - _SHRINK):
            break
        vertices, faces, names = placing.mesh()
    return vertices, faces, placing.origin(names)


class _Placing:
    """The open nooks, and the positions of the vertices.

    Vertices are named by nodes, then loops, then seams. A seam needs its own vertex if two of them
    connect the same two loops.
    """

    def __init__(self, boundary: BoundarySurface, space: CellComplex, thickness: float) -> None:
        self.boundary, self.points = boundary, np.concatenate([space.points, np.zeros((1, 3))])
        self.nodes, self.loops = len(boundary.nook), len(boundary.loop_nook)
        arm = boundary.place - self.points[boundary.start]
        length = np.linalg.norm(arm, axis=1, keepdims=True)
        self.fine = self.points[boundary.start] + arm * np.minimum(
            _FINE, thickness / np.maximum(length, 1e-300)
        )
        self.opened = np.zeros(int(boundary.nook.max()) + 1, bool)
        normals = boundary.sides.normals(self.points)
        self._place_loops(normals, thickness)
        self._place_seams(normals, thickness)

    def _place_loops(self, normals: Points, thickness: float) -> None:
        boundary, sides = self.boundary, self.boundary.sides
        self.direction, sees = widest(normals, boundary.side_loops, self.loops)
        shortest = np.full(self.loops, np.inf)
        back = np.zeros((self.loops, 3))
        for i in range(3):
            for j in (i - 1, i - 2):
                arm = self.points[sides.points[:, j]] - self.points[sides.points[:, i]]
                np.minimum.at(shortest, boundary.side_loops[:, i], np.linalg.norm(arm, axis=1))
                np.add.at(back, boundary.side_loops[:, i], unit(arm))
        size = np.bincount(boundary.side_loops.reshape(-1), minlength=self.loops)
        second = ~_first_of_each(boundary.loop_nook, -size)
        self.direction[second] = unit(back)[second]
        nooks = np.bincount(boundary.loop_point)[boundary.loop_point]
        worst = _first_of_each(boundary.loop_point, np.where(second, np.inf, sees))
        self.stays = ~second & worst & ((sees < _SEES) | (nooks == 1))
        self.opened[boundary.loop_nook[~second & (sees < _SEES) & ~self.stays]] = True
        stayed = np.zeros(len(self.points), bool)
        stayed[boundary.loop_point[self.stays]] = True
        far = thickness / 2 * np.where(second, _DRAW_BACK, 1.0)
        far *= np.where(stayed[boundary.loop_point], 2.0, 1.0)
        self.second, self.far = second, np.minimum(far, _STEP * shortest)

    def _place_seams(self, normals: Points, thickness: float) -> None:
        """Move seams away from both their walls."""
        seams, sides = self.boundary.seams, self.boundary.sides
        count = int(seams.max()) + 1
        away, along, length = np.zeros((count, 3)), np.zeros((count, 3)), np.full(count, np.inf)
        for i in range(3):
            a, b, c = (self.points[sides.points[:, (i + k) % 3]] for k in range(3))
            edge = unit(b - a)
            inwards = (c - a) - ((c - a) * edge).sum(axis=1, keepdims=True) * edge
            np.add.at(away, seams[:, i], normals)
            np.add.at(along, seams[:, i], unit(inwards))
            length[seams[:, i]] = np.linalg.norm(b - a, axis=1)
        # If both are the two sides of one wall, this is out of its rim.
        rim = np.linalg.norm(away, axis=1) < 0.2
        self.seam_direction = unit(np.where(rim[:, None], -along, away))
        self.seam_far = np.minimum(thickness / 2, 0.2 * length)

    def _named(self, nodes: Index, loops: Index) -> Index:
        joined = np.where(loops >= 0, self.nodes + loops, -1)
        return np.where(self.opened[self.boundary.nook[nodes]], nodes, joined)

    def mesh(self) -> tuple[Points, Faces, Index]:
        """Vertices, faces, and the name of each vertex."""
        boundary = self.boundary
        walls = self._named(boundary.side_nodes, boundary.side_loops)
        self.doubled, middle = self._doubled_seams(walls)
        faces, _ = subdivide(walls, middle)
        patches = self._named(boundary.patches, boundary.patch_loops)
        patches = patches[(patches >= 0).all(axis=1)]
        faces = np.concatenate([faces, patches])
        collapsed = (faces == np.roll(faces, 1, axis=1)).any(axis=1)
        names, renumbered = np.unique(faces[~collapsed], return_inverse=True)
        return self._positions(names), renumbered.reshape(-1, 3).astype(np.int64), names

    def origin(self, names: Index) -> Index:
        """The points (n,) of nodes and loops, -1 for seams."""
        known = np.concatenate([self.boundary.start, self.boundary.loop_point])
        inside = names < len(known)
        return np.where(inside, known[np.where(inside, names, 0)], -1)

    def _positions(self, names: Index) -> Points:
        boundary, first_seam = self.boundary, self.nodes + self.loops
        result = np.empty((len(names), 3))
        node, seam = names < self.nodes, names >= first_seam
        result[node] = self.fine[names[node]]
        loop = names[~node & ~seam] - self.nodes
        far = np.where(self.stays[loop], 0.0, self.far[loop])
        result[~node & ~seam] = (
            self.points[boundary.loop_point[loop]] + far[:, None] * self.direction[loop]
        )
        at = names[seam] - first_seam
        ends = self.points[boundary.loop_point[self.doubled[at]]].mean(axis=1)
        result[seam] = ends + self.seam_far[at][:, None] * self.seam_direction[at]
        return result

    def _doubled_seams(self, walls: Index) -> tuple[Index, Index]:
        """Seams with the same ends as another one: their two loops (seams, 2), and (S, 3) the names
        of the vertices at their centres, -1 elsewhere.
        """
        seams = self.boundary.seams.reshape(-1)
        ends = np.sort(np.stack([walls, np.roll(walls, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
        joined = (ends >= self.nodes).all(axis=1)
        rows = np.unique(np.c_[ends[joined], seams[joined]], axis=0)
        _, inverse, repeats = np.unique(
            rows[:, :2], axis=0, return_inverse=True, return_counts=True
        )
        rows = rows[repeats[inverse.reshape(-1)] > 1]
        loops = np.full((int(seams.max()) + 1, 2), -1)
        loops[rows[:, 2]] = rows[:, :2] - self.nodes
        named = joined & (loops[seams, 0] >= 0)
        middle = np.where(named, self.nodes + self.loops + seams, -1)
        return loops, middle.reshape(-1, 3)

    def shrink(self, names: Index) -> None:
        """Move less far; a second loop must stay farther from the point than a first."""
        loop, seam = self._split(names)
        loop = loop[~self.second[loop]]
        self.far[loop] *= _SMALLER
        self.seam_far[seam] *= _SMALLER

    def open(self, names: Index, step: int) -> bool:
        """Open nooks: first those of moved loops, then of all, then of the ends of seams.

        Returns:
            whether any was still merged.
        """
        loop, seam = self._split(names)
        chosen = loop[~self.stays[loop]] if step < _MOVED else loop
        if not len(chosen):
            chosen = loop
        if len(seam) and (step > 1 or not len(chosen)):
            chosen = np.r_[chosen, self.doubled[seam].reshape(-1)]
        nooks = self.boundary.loop_nook[chosen]
        changed = bool((~self.opened[nooks]).any())
        self.opened[nooks] = True
        return changed

    def _split(self, names: Index) -> tuple[Index, Index]:
        first_seam = self.nodes + self.loops
        loop = names[(names >= self.nodes) & (names < first_seam)] - self.nodes
        return loop, names[names >= first_seam] - first_seam


def _first_of_each(group: Index, rank: Values | Index) -> Mask:
    """Mark the first element of each group by ``rank``."""
    order = np.lexsort((rank, group))
    first = np.r_[True, group[order][1:] != group[order][:-1]]
    result = np.zeros(len(group), bool)
    result[order[first]] = True
    return result


@dataclass(frozen=True, kw_only=True)
class SideComponents:
    """The connected components of the two sides of walls.

    Attributes:
        sides: the sides; piece: (S,) the component of each.
        volume: (pieces,) as in :class:`~pcgen.reconstruct.thicken.Layer`.
    """

    sides: WallSides
    piece: Index
    volume: Values


def side_components(space: CellComplex, walls: Mask) -> SideComponents:
    """The components of walls in otherwise empty space."""
    empty = np.ones(len(space.cells.corners), bool)
    sides = wall_sides(space, walls, empty)
    _, seam = np.unique(edge_groups(space, ~walls).reshape(-1)[sides.edges], return_inverse=True)
    seam = seam.reshape(-1)
    count = len(sides.cells)
    side = np.repeat(np.arange(count), 3)
    label = connected(count + int(seam.max()) + 1, side, count + seam)
    piece = np.unique(label[:count], return_inverse=True)[1].reshape(-1)
    # Sides face the empty cells, away from the material, like those of a layer.
    volume = np.bincount(piece, tetrahedra(space.points, sides.points)).astype(np.float64)
    return SideComponents(sides=sides, piece=piece, volume=volume)


def filled(space: CellComplex, walls: Mask, pieces: SideComponents, kept: Mask) -> Mask:
    """The cells (C,) of the cavities whose walls are not all ``kept`` (pieces,)."""
    cell, _, other, _ = space.links(~walls)
    room = connected(len(space.cells.corners), cell, other)
    full = np.isin(room, room[pieces.sides.cells[~kept[pieces.piece]]])
    full[room == room[space.finite]] = False
    return full
