"""Which Delaunay cells are inside: closes shapes where facets are missing.

The inside of a facet is unknown, and many facets are sheets without an inside. So a cell counts as
surely inside only if every path from it to the outside passes through holes about as small as the
spacing of the points, while the cell itself is much wider: wide rooms behind narrow gates. The
boundary between those cells and the outside is then the minimum cut that separates them, where
cutting along chosen facets is almost free and across an empty facet costs its area (Labatut, Pons
and Keriven, "Efficient multi-view reconstruction", ICCV 2007, cut Delaunay cells in this way, with
lines of sight in place of gates).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.thicken import connected

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

_THIN = 0.3  # solids below this thickness, in spacings, are sheets
_FREE = 0.02  # the cost of cutting along a chosen facet, relative to an empty one
_BURIED = 0.05  # share of the points of a solid that may vanish inside it
_DEEP = 2.0  # distance, in spacings, of a vanished point from the remaining ones at which it counts
_FLAT = 0.01  # height of a flat cell, in spacings
_INFINITE = 2**29


class Rooms(NamedTuple):
    """Which cells count as inside although there is a way out.

    Attributes:
        gate: a wider hole, in spacings, is an opening of the shape rather than of the sampling.
        width: how many times wider than its gate a cell must be.
        opening: what is behind a wider hole than this, in spacings, is never inside.
        furnished: rooms that would bury many points deeply are kept empty.
    """

    gate: float = 1.5
    width: float = 1.6
    opening: float = np.inf
    furnished: bool = True


ROOMS = Rooms()


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Delaunay tetrahedra and their facets.

    Attributes:
        corners: (C, 4); facets: (F, 3), corners ascending.
        facets_of: (C, 4) facet numbers; cells_of: (F, 2) cell numbers, C for the outside.
    """

    corners: Faces
    facets: Faces
    facets_of: Faces
    cells_of: Faces


def delaunay(points: Points) -> Faces:
    """Delaunay simplices; points in special position are joggled."""
    from scipy.spatial import Delaunay, QhullError

    try:
        return Delaunay(points).simplices
    except QhullError:
        return Delaunay(points, qhull_options="QJ Qbb Pp").simplices


def cells(tetrahedra: Faces) -> Cells:
    corners = np.sort(tetrahedra, axis=1).astype(np.int64)
    triples = corners[:, [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]].reshape(-1, 3)
    count = int(corners.max()) + 1
    key = facet_keys(triples, count)
    _, first, facet = np.unique(key, return_index=True, return_inverse=True)
    facet = facet.reshape(-1)
    order = np.argsort(facet, kind="stable")
    starts = np.searchsorted(facet[order], np.arange(len(first)))
    both = np.bincount(facet) == 2
    cells_of = np.full((len(first), 2), len(corners))
    cells_of[:, 0] = order[starts] // 4
    cells_of[both, 1] = order[starts[both] + 1] // 4
    return Cells(
        corners=corners,
        facets=triples[first],
        facets_of=facet.reshape(-1, 4),
        cells_of=cells_of,
    )


def border(complex_: Cells, solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The facets (F,) between cells ``solid`` (C,) and others."""
    one, two = np.r_[solid, False][complex_.cells_of].T
    return one != two


def surface(
    complex_: Cells, solid: NDArray[np.bool_], sheets: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The facets (F,) that bound cells ``solid`` (C,), and ``sheets`` (F,) outside them."""
    off = ~np.r_[solid, False][complex_.cells_of].any(axis=1)
    return border(complex_, solid) | (sheets & off)


def facet_keys(facets: Faces, count: int) -> NDArray[np.int64]:
    """A unique number (F,) for each facet (F, 3), with ascending corners below ``count``."""
    return (facets[:, 0] * count + facets[:, 1]) * count + facets[:, 2]


def circumradius(points: Points, corners: Faces) -> NDArray[np.float64]:
    """Circumradii of tetrahedra (C, 4); infinite for flat ones."""
    arms = points[corners[:, 1:]] - points[corners[:, 0]][:, None]
    squares = (arms**2).sum(axis=2)
    determinant = np.linalg.det(arms)
    cross = np.stack([np.cross(arms[:, (i + 1) % 3], arms[:, (i + 2) % 3]) for i in range(3)], 1)
    numerator = np.linalg.norm((squares[..., None] * cross).sum(axis=1), axis=1)
    radius = numerator / (2 * np.maximum(np.abs(determinant), 1e-300))
    return np.where(np.abs(determinant) > 1e-14, radius, np.inf)


def inside(
    points: Points,
    complex_: Cells,
    chosen: NDArray[np.bool_],
    radius: NDArray[np.float64],
    area: NDArray[np.float64],
    spacing: float,
    rooms: Rooms = ROOMS,
) -> NDArray[np.bool_]:
    """The cells (C,) inside closed parts of the facets ``chosen`` (F,).

    Args:
        radius, area: (F,) of the facets.
    """
    width = circumradius(points, complex_.corners)
    # Slivers have huge radii, beside which all others would lose their precision.
    gate = _widest_way_out(complex_, np.where(chosen, 0.0, np.minimum(radius, 10.0)))
    wide = width > rooms.width * np.maximum(gate, spacing)
    room = np.isfinite(width) & (gate < rooms.gate * spacing) & wide
    if not room.any():
        return room
    cost = np.where(chosen, _FREE, 1.0) * area
    air = _flat_on_hull(points, complex_, area, spacing) | (gate > rooms.opening * spacing)
    solid = _cut(complex_, room, air, cost)
    solid &= ~_thin(points, complex_, solid, area, spacing)
    if not rooms.furnished:
        return solid
    return solid & ~_burying(points, complex_, solid, chosen, spacing)


def _volumes(points: Points, complex_: Cells) -> NDArray[np.float64]:
    base = points[complex_.corners]
    return np.abs(np.linalg.det(base[:, 1:] - base[:, :1])) / 6


def _thin(
    points: Points,
    complex_: Cells,
    solid: NDArray[np.bool_],
    area: NDArray[np.float64],
    spacing: float,
) -> NDArray[np.bool_]:
    """Cells of connected solids thin enough for a sheet: three volumes over the border."""
    both = np.r_[solid, False][complex_.cells_of]
    label = connected(len(solid), *complex_.cells_of[both.all(axis=1)].T)
    bodies = label.max() + 1
    border = np.flatnonzero(both[:, 0] != both[:, 1])
    owner = complex_.cells_of[border, np.where(both[border, 0], 0, 1)]
    outer = np.bincount(label[owner], area[border], minlength=bodies)
    volume = np.bincount(label, _volumes(points, complex_), minlength=bodies)
    return (3 * volume < _THIN * spacing * outer)[label]


def _flat_on_hull(
    points: Points, complex_: Cells, area: NDArray[np.float64], spacing: float
) -> NDArray[np.bool_]:
    """The flat cells that rounding leaves above the points of a planar face of the hull.

    They are outside, or they would form the face and hide its points.
    """
    largest = np.maximum(area[complex_.facets_of].max(axis=1), 1e-300)
    height = 3 * _volumes(points, complex_) / largest
    flat = np.r_[height < _FLAT * spacing, True]
    links = complex_.cells_of[flat[complex_.cells_of].all(axis=1)]
    label = connected(len(flat), *links.T)
    return (label == label[-1])[:-1]


def _burying(
    points: Points,
    complex_: Cells,
    solid: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
    spacing: float,
) -> NDArray[np.bool_]:
    """Cells of solids that would bury many points deeply: furniture, or an inner wall."""
    from scipy.spatial import cKDTree

    both = np.r_[solid, False][complex_.cells_of]
    within = np.flatnonzero(both.all(axis=1))
    label = connected(len(solid), *complex_.cells_of[within].T)
    shown = np.zeros(len(points), bool)
    shown[complex_.facets[(chosen | (both[:, 0] != both[:, 1])) & ~both.all(axis=1)]] = True
    if not len(within) or not shown.any():
        return np.zeros(len(solid), bool)
    deep = cKDTree(points[shown]).query(points)[0] > _DEEP * spacing
    facet = within[chosen[within]]
    body = np.repeat(label[complex_.cells_of[facet, 0]], 3)
    pairs = np.unique(np.stack([body, complex_.facets[facet].reshape(-1)], 1), axis=0)
    buried = np.bincount(pairs[deep[pairs[:, 1]], 0], minlength=label.max() + 1)
    cell, corner = np.repeat(label[solid], 4), complex_.corners[solid].reshape(-1)
    size = np.bincount(
        np.unique(np.stack([cell, corner], 1), axis=0)[:, 0], minlength=label.max() + 1
    )
    return (buried > _BURIED * size)[label]


def _widest_way_out(complex_: Cells, gate: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each cell, the narrowest facet on its best path to the outside.

    The best paths form the maximum spanning tree of the cells.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    outside = len(complex_.corners)
    low, high = np.sort(complex_.cells_of, axis=1).T
    # A cell with several facets on the hull uses the widest.
    order = np.lexsort((-gate, high, low))
    first = order[np.r_[True, (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)]]
    top = gate.max() + 1.0
    size = outside + 1
    ends = np.stack([low[first], high[first]]).astype(np.int32)  # required by older SciPy
    graph = csr_array((top - gate[first], tuple(ends)), shape=(size, size))
    tree = minimum_spanning_tree(graph)
    visited, parent = breadth_first_order(tree, outside, directed=False)
    link = (tree + tree.T).tocsr()
    child = visited[1:]
    step = top - np.asarray(link[child, parent[child]]).reshape(-1)
    widest = np.zeros(size)
    widest[outside] = np.inf
    for cell, above, here in zip(child, parent[child], step, strict=True):
        widest[cell] = min(widest[above], here)
    return widest[:outside]


def _cut(
    complex_: Cells,
    room: NDArray[np.bool_],
    air: NDArray[np.bool_],
    cost: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """The largest set of cells around ``room`` and outside ``air`` with the cheapest border.

    The largest, so that the layers of a noisy sample end up inside rather than as loose sheets.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    outside = len(complex_.corners)
    target = outside + 1
    one, two = complex_.cells_of.T
    capacity = np.maximum(1, np.rint(cost / cost.mean() * 1000)).astype(np.int64)
    seeds = np.flatnonzero(room)
    open_ = np.flatnonzero(air)
    row = np.r_[one, two, seeds, np.full(len(open_), outside)]
    column = np.r_[two, one, np.full(len(seeds), target), open_]
    amount = np.r_[capacity, capacity, np.full(len(seeds) + len(open_), _INFINITE)]
    ends = row.astype(np.int32), column.astype(np.int32)  # required by older SciPy
    graph = csr_array((amount, ends), shape=(target + 1, target + 1))
    graph.sum_duplicates()  # newer SciPy does this already; the bound is on the sums
    graph.data = np.minimum(graph.data, _INFINITE)
    graph = graph.astype(np.int32)
    flow = maximum_flow(graph, outside, target).flow
    left = graph - flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, outside, return_predecessors=False)
    result = np.ones(target + 1, bool)
    result[reached] = False
    return result[:outside]
