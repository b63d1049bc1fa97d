"""Facets of cells: segments in 2D, convex polygons in 3D, from the vertices of a diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Facets:
    """The facets of all cells; outside a facet is another cell, or a side of the domain.

    Attributes:
        inside: (W,) the cell; outside: (W,) the cell across, or n + the index of the side.
        normal: (W, dim) unit vector from inside to outside.
        size: (W,) length in 2D, area in 3D.
        centre: (W, dim) centroid.
        corners: (C, dim) of all facets in order: in 2D two each, in 3D a ring,
            counterclockwise seen from outside.
        start: (W,) index of the first corner of each.
    """

    inside: Index
    outside: Index
    normal: Array
    size: Array
    centre: Array
    corners: Array
    start: Index

    @property
    def dim(self) -> int:
        """2 or 3."""
        return int(self.normal.shape[1])

    @property
    def ends(self) -> Array:
        """(W, 2, 2), the end points in 2D, counterclockwise seen from inside."""
        return self.corners.reshape(-1, 2, 2)

    @property
    def spans(self) -> tuple[Array, Array]:
        """In 2D the start and end (W,) of each facet, relative to the foot of the origin on it."""
        along = np.stack([-self.normal[:, 1], self.normal[:, 0]], 1)
        low, high = (self.ends * along[:, None]).sum(2).T
        return low, high

    @property
    def distance(self) -> Array:
        """(W,) from the origin, along the normals."""
        return np.asarray((self.centre * self.normal).sum(1))

    def around(self) -> tuple[Index, Array, Array, Array]:
        """In 3D the edges (E,) of all facets, relative to the foot of the origin on each facet.

        Returns:
            the facet of each edge, its line's distance from the foot, positive if the edge runs
            counterclockwise, and the start and end of the edge along the line.
        """
        stop = np.append(self.start[1:], len(self.corners))
        follow = np.arange(1, len(self.corners) + 1)
        follow[stop - 1] = self.start
        facet = np.repeat(np.arange(len(self.start)), stop - self.start)
        normal = self.normal[facet]
        begin = self.corners - self.distance[facet, None] * normal
        step = self.corners[follow] - self.corners
        length = np.linalg.norm(step, axis=1)
        step /= np.maximum(length, 1e-300)[:, None]
        aside = (np.cross(begin, step) * normal).sum(1)
        low = (begin * step).sum(1)
        return facet, aside, low, low + length


def find_facets(atoms: Array, sides: Array, points: Array, active: Index) -> Facets:
    """Find the facets between the planes that meet in the vertices of an envelope.

    Args:
        atoms: (n, dim), distinct; sides: (F, dim), outward unit normals of the domain.
        points: (V, dim) vertices; active: (V, dim + 1) the planes in each, first the atoms', then
            the sides.
    """
    n, dim = atoms.shape
    planes = n + len(sides)
    pairs = np.sort(active, axis=1)[:, np.array(np.triu_indices(dim + 1, 1))]  # (V, 2, pairs)
    first, second = pairs[:, 0].ravel(), pairs[:, 1].ravel()
    vertex = np.repeat(np.arange(len(points)), pairs.shape[2])
    of_cell = first < n  # sorted, so a pair without an atom is only a corner of the domain
    first, second, vertex = first[of_cell], second[of_cell], vertex[of_cell]
    order = np.argsort(first * planes + second, kind="stable")
    first, second, vertex = first[order], second[order], vertex[order]
    key = first * planes + second
    start = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    inside, outside = first[start], second[start]
    across = outside < n
    normal = np.empty((len(start), dim))
    normal[across] = atoms[outside[across]] - atoms[inside[across]]
    normal[across] /= np.linalg.norm(normal[across], axis=1, keepdims=True)
    normal[~across] = sides[outside[~across] - n]
    group = np.repeat(np.arange(len(start)), np.diff(np.r_[start, len(key)]))
    measure = _segments if dim == 2 else _polygons
    size, centre, corners = measure(points[vertex], group, start, normal)
    start = 2 * np.arange(len(start)) if dim == 2 else start
    return Facets(inside, outside, normal, size, centre, corners, start)


def _segments(
    points: Array, group: Index, start: Index, normal: Array
) -> tuple[Array, Array, Array]:
    """Length, midpoint and ends of the segments spanned by groups of collinear points."""
    along = np.stack([-normal[:, 1], normal[:, 0]], 1)
    position = (points * along[group]).sum(1)
    low, high = np.minimum.reduceat(position, start), np.maximum.reduceat(position, start)
    base = points[start]
    own = position[start]
    ends = base[:, None] + along[:, None] * np.stack([low - own, high - own], 1)[:, :, None]
    return high - low, ends.mean(1), ends.reshape(-1, 2)


def _polygons(
    points: Array, group: Index, start: Index, normal: Array
) -> tuple[Array, Array, Array]:
    """Area, centroid and ring of the convex polygons spanned by groups of coplanar points."""
    counts = np.diff(np.r_[start, len(points)])
    middle = np.add.reduceat(points, start) / counts[:, None]
    helper = np.eye(3)[np.abs(normal).argmin(1)]
    u = np.cross(normal, helper)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(normal, u)
    spoke = points - middle[group]
    a, b = (spoke * u[group]).sum(1), (spoke * v[group]).sum(1)
    order = np.lexsort((np.arctan2(b, a), group))
    a, b = a[order], b[order]
    follow = np.arange(1, len(a) + 1)
    follow[start + counts - 1] = start
    cross = a * b[follow] - b * a[follow]  # twice the area of the triangle with the centre
    area = np.add.reduceat(cross, start) / 2
    weight = np.where(area > 0, 6 * area, 1)
    x = np.add.reduceat(cross * (a + a[follow]), start) / weight
    y = np.add.reduceat(cross * (b + b[follow]), start) / weight
    return area, middle + x[:, None] * u + y[:, None] * v, points[order]
