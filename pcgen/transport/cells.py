"""Power diagrams in 2D and 3D: cells of an upper envelope inside a convex domain, measured.

The region above the envelope, {(x, u): u ≥ ⟨p_i, x⟩ + h_i, x in the domain}, is a convex polyhedron
one dimension up. Qhull finds its vertices as the convex hull of the dual points; each vertex names
the planes that meet there, so the wall between cells i and j is the polygon of the vertices that
name both, and the domain needs no clipping. Atoms on a line or plane, equal heights or grids are
no special case: the polyhedron is never flat.

Masses follow from the walls by the divergence theorem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import TransportError
from pcgen.transport.domain import ConvexDomain, GridDensity

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Walls:
    """The walls of all cells; a wall's outside is another cell, or beyond a side of the domain.

    Attributes:
        inside: (W,) the cell; outside: (W,) the cell across, or n + the number of the side.
        normal: (W, dim) unit vector from inside to outside.
        size: (W,) length in 2D, area in 3D.
        centre: (W, dim) centroid.
        ends: in 2D (W, 2, 2), the end points; in 3D None.
    """

    inside: Index
    outside: Index
    normal: Array
    size: Array
    centre: Array
    ends: Array | None


@dataclass(frozen=True, eq=False)
class PowerCells:
    """The cells of an envelope over a domain.

    Attributes:
        count: number of atoms n, with a cell or without.
        walls: between cells, and of cells with the sides of the domain.
        mass: (n,) of the cells under the density.
        flux: (W,) the integral of the density over each wall.
        corners: (V, dim) of the cells; owner: (V,) a cell that each is of.
    """

    count: int
    walls: Walls
    mass: Array
    flux: Array
    corners: Array
    owner: Index

    @property
    def inner(self) -> NDArray[np.bool_]:
        """(W,) which walls lie between two cells."""
        return self.walls.outside < self.count


def power_cells(
    atoms: Array, offset: Array, domain: ConvexDomain, density: GridDensity | None = None
) -> PowerCells:
    """Cut the domain into the cells where ⟨atom_i, x⟩ + offset_i is largest.

    Args:
        atoms: (n, dim) float64, distinct; offset: (n,).
        density: on a rectangle; uniform on the domain when not given.
    Raises:
        TransportError: Qhull failed, as with atoms that nearly coincide.
    """
    points, active = _vertices(atoms, offset, domain)
    walls = _walls(atoms, domain, points, active)
    if density is None:
        flux = walls.size / domain.volume
        mass = _uniform_mass(len(atoms), walls, domain)
    else:
        flux, mass = _grid_mass(len(atoms), walls, density)
    owner = active.min(1)  # sides come after atoms, and Qhull's triangles may name sides alone
    of_cell = owner < len(atoms)
    return PowerCells(len(atoms), walls, mass, flux, points[of_cell], owner[of_cell])


def _vertices(atoms: Array, offset: Array, domain: ConvexDomain) -> tuple[Array, Index]:
    """Vertices (V, dim) of the cells, and the planes (V, dim + 1) that meet in each.

    Planes 0 … n-1 are the atoms', then come the sides of the domain.
    """
    from scipy.spatial import ConvexHull, QhullError

    normals, sides = domain.sides
    middle = domain.moments[0]
    # Units in which domain and envelope are of order one.
    size = np.ptp(domain.corners, axis=0).max()
    centred = atoms - atoms.mean(0)
    slope = max(np.abs(centred).max(), 1e-300)
    p = centred / slope
    h = (offset + centred @ middle) / (slope * size)
    h -= h.max()
    corners = (domain.corners - middle) / size
    heights = (corners @ p.T + h).max(1) if len(p) * len(corners) < 1e7 else np.array([np.inf])
    if not np.isfinite(heights).all():
        heights = np.array([(corner @ p.T + h).max() for corner in corners])
    top = heights.max() + 1.0
    inner = np.append(np.zeros(domain.dim), 0.5 * (h.max() + top))
    planes = np.zeros((len(p) + len(normals) + 1, domain.dim + 2))
    planes[: len(p), :-2], planes[: len(p), -2], planes[: len(p), -1] = p, -1, h
    planes[len(p) : -1, :-2], planes[len(p) : -1, -1] = normals, -(sides - normals @ middle) / size
    planes[-1, -2:] = 1, -top
    distance = -(planes[:, :-1] @ inner + planes[:, -1])
    try:
        hull = ConvexHull(planes[:, :-1] / distance[:, None])
    except QhullError as error:
        raise TransportError(
            f"the power diagram of {len(atoms)} atoms failed in Qhull; atoms that nearly coincide "
            f"must be merged ({str(error).splitlines()[0]})"
        ) from None
    keep = (hull.simplices < len(planes) - 1).all(1)
    equations = hull.equations[keep]
    lifted = -equations[:, :-1] / equations[:, -1:] + inner
    return lifted[:, :-1] * size + middle, hull.simplices[keep].astype(np.int64)


def _walls(atoms: Array, domain: ConvexDomain, points: Array, active: Index) -> Walls:
    n, dim = len(atoms), domain.dim
    planes = n + len(domain.sides[0])
    pairs = np.sort(active, axis=1)[:, np.array(np.triu_indices(dim + 1, 1))]  # (V, 2, pairs)
    first, second = pairs[:, 0].ravel(), pairs[:, 1].ravel()
    vertex = np.repeat(np.arange(len(points)), pairs.shape[2])
    of_cell = first < n  # sorted, so a pair without an atom is a corner of the domain alone
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
    normal[~across] = domain.sides[0][outside[~across] - n]
    group = np.repeat(np.arange(len(start)), np.diff(np.r_[start, len(key)]))
    measure = _segments if dim == 2 else _polygons
    size, centre, ends = measure(points[vertex], group, start, normal)
    return Walls(inside, outside, normal, size, centre, ends)


def _segments(
    points: Array, group: Index, start: Index, normal: Array
) -> tuple[Array, Array, Array | None]:
    """Length, middle and ends of the segments that groups of collinear points span."""
    along = np.stack([-normal[:, 1], normal[:, 0]], 1)
    position = (points * along[group]).sum(1)
    low, high = np.minimum.reduceat(position, start), np.maximum.reduceat(position, start)
    base = points[start]
    own = position[start]
    ends = base[:, None] + along[:, None] * np.stack([low - own, high - own], 1)[:, :, None]
    return high - low, ends.mean(1), ends


def _polygons(
    points: Array, group: Index, start: Index, normal: Array
) -> tuple[Array, Array, Array | None]:
    """Area and centroid of the convex polygons that groups of coplanar points span."""
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
    cross = a * b[follow] - b * a[follow]  # twice the area of the triangle with the middle
    area = np.add.reduceat(cross, start) / 2
    weight = np.where(area > 0, 6 * area, 1)
    x = np.add.reduceat(cross * (a + a[follow]), start) / weight
    y = np.add.reduceat(cross * (b + b[follow]), start) / weight
    return area, middle + x[:, None] * u + y[:, None] * v, None


def _uniform_mass(count: int, walls: Walls, domain: ConvexDomain) -> Array:
    """vol = 1/dim Σ size · (distance of the wall from a point of the cell)."""
    inner = walls.outside < count
    weight = np.bincount(walls.inside, walls.size, count)
    weight += np.bincount(walls.outside[inner], walls.size[inner], count)
    centre = np.empty((count, domain.dim))
    for axis in range(domain.dim):
        moment = walls.size * walls.centre[:, axis]
        total = np.bincount(walls.inside, moment, count)
        total += np.bincount(walls.outside[inner], moment[inner], count)
        centre[:, axis] = total / np.where(weight > 0, weight, 1)
    here = ((walls.centre - centre[walls.inside]) * walls.normal).sum(1) * walls.size
    volume = np.bincount(walls.inside, here, count)
    other = walls.outside[inner]
    there = ((centre[other] - walls.centre[inner]) * walls.normal[inner]).sum(1)
    volume += np.bincount(other, there * walls.size[inner], count)
    return volume / (domain.dim * domain.volume)


def _grid_mass(count: int, walls: Walls, density: GridDensity) -> tuple[Array, Array]:
    """Flux through walls, and masses ∮ F n_x ds with F the integral of the density along x.

    Walls are cut at the grid lines; on a piece F is linear, so its middle is exact.
    """
    if walls.ends is None:
        raise TransportError("a grid density needs a 2D problem")
    piece_wall, middle, length = _cut(walls.ends, density)
    rho, integral = density.at(middle)
    flux: Array = np.bincount(piece_wall, rho * length, len(walls.size)).astype(float)
    through = np.bincount(piece_wall, integral * length, len(walls.size)) * walls.normal[:, 0]
    inner = walls.outside < count
    mass: Array = np.bincount(walls.inside, through, count).astype(float)
    mass -= np.bincount(walls.outside[inner], through[inner], count)
    return flux, mass


def _cut(ends: Array, density: GridDensity) -> tuple[Index, Array, Array]:
    """Segments (W, 2, 2) cut at grid lines: segment, middle and length of each piece."""
    count = len(ends)
    owners, places = [np.arange(count), np.arange(count)], [np.zeros(count), np.ones(count)]
    for axis, lines in enumerate(density.edges):
        one, other = ends[:, 0, axis], ends[:, 1, axis]
        low = np.searchsorted(lines, np.minimum(one, other), side="right")
        high = np.searchsorted(lines, np.maximum(one, other), side="left")
        crossings = np.maximum(high - low, 0)
        owner = np.repeat(np.arange(count), crossings)
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(crossings) - crossings, crossings)
        owners.append(owner)
        places.append((lines[low[owner] + rank] - one[owner]) / (other - one)[owner])
    owner, place = np.concatenate(owners), np.clip(np.concatenate(places), 0, 1)
    order = np.lexsort((place, owner))
    owner, place = owner[order], place[order]
    same = owner[1:] == owner[:-1]
    segment = owner[:-1][same]
    before, after = place[:-1][same], place[1:][same]
    step = ends[segment, 1] - ends[segment, 0]
    middle = ends[segment, 0] + step * (0.5 * (before + after))[:, None]
    return segment, middle, np.linalg.norm(step, axis=1) * (after - before)
