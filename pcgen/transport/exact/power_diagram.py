"""Power diagrams in 2D and 3D: the cells of an upper envelope in a convex domain, and their masses.

The region above the envelope, {(x, u): u ≥ ⟨p_i, x⟩ + h_i, x in the domain}, is a convex polyhedron
one dimension up. Qhull finds its vertices as the convex hull of the dual points. Each vertex lists
the planes that meet there, so the facet between cells i and j is the polygon of the vertices that
list both, and the domain needs no clipping. Atoms on a line or plane, equal heights and grids are
no special cases, since the polyhedron is never flat.

Masses follow from the facets by the divergence theorem. With a density, its flux through each facet
is needed too (:mod:`pcgen.transport.exact.densities`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import TransportError
from pcgen.transport.exact.densities import ConvexDomain, Density
from pcgen.transport.exact.facets import Facets, find_facets

Array = NDArray[np.float64]
Index = NDArray[np.int64]


# Qhull's vertex is used if the sine of the angle between its planes is below this; the largest
# correction, as a share of the domain's size, that counts as rounding.
PARALLEL = 1e-6
SHARPENED = 1e-6


@dataclass(frozen=True, eq=False)
class PowerDiagram:
    """The cells of an envelope over a domain.

    Attributes:
        count: number of atoms n, with or without a cell.
        facets: between cells, and of cells with the sides of the domain.
        mass: (n,) of the cells under the density.
        flux: (W,) the integral of the density over each facet.
        corners: (V, dim) of the cells; owner: (V,) a cell that each belongs to.
    """

    count: int
    facets: Facets
    mass: Array
    flux: Array
    corners: Array
    owner: Index

    @property
    def inner(self) -> NDArray[np.bool_]:
        """Which facets (W,) lie between two cells."""
        return self.facets.outside < self.count


def power_diagram(
    atoms: Array, offset: Array, domain: ConvexDomain, density: Density | None = None
) -> PowerDiagram:
    """Divide the domain into cells where ⟨atom_i, x⟩ + offset_i is largest.

    Args:
        atoms: (n, dim) float64, distinct; offset: (n,).
        density: on the domain; None for the uniform density.
    Raises:
        TransportError: Qhull failed, e.g. because atoms nearly coincide.
    """
    points, active = _vertices(atoms, offset, domain)
    facets = find_facets(atoms, domain.sides[0], points, active)
    if density is None:
        flux = facets.size / domain.volume
        mass = _uniform_mass(len(atoms), facets, domain)
    else:
        flux, outflow = density.flux_through(facets)
        mass = _mass(len(atoms), facets, outflow)
    owner = active.min(1)  # sides come after atoms, and Qhull's triangles may list only sides
    of_cell = owner < len(atoms)
    return PowerDiagram(len(atoms), facets, mass, flux, points[of_cell], owner[of_cell])


def _vertices(atoms: Array, offset: Array, domain: ConvexDomain) -> tuple[Array, Index]:
    """Vertices (V, dim) of the cells, and the planes (V, dim + 1) that meet in each.

    Planes 0 … n-1 are those of the atoms, followed by the sides of the domain.
    """
    from scipy.spatial import ConvexHull, QhullError

    normals, sides = domain.sides
    middle = domain.moments[0]
    # Use units in which domain and envelope are of order one for most atoms. However far a few
    # atoms are, all duals are then of order one, as steep planes are low in the middle.
    size = np.ptp(domain.corners, axis=0).max()
    centred = atoms - np.median(atoms, 0)
    length = np.abs(centred).max(1)
    slope = max(np.median(length), 1e-9 * length.max(), 1e-300)
    p = centred / slope
    h = (offset + centred @ middle) / (slope * size)
    h -= h.max()
    corners = (domain.corners - middle) / size
    heights = (corners @ p.T + h).max(1) if len(p) * len(corners) < 1e7 else np.array([np.inf])
    if not np.isfinite(heights).all():
        heights = np.array([(corner @ p.T + h).max() for corner in corners])
    top = heights.max() + 1.0
    inner = np.append(np.zeros(domain.dim), h.max() + min(1.0, 0.5 * (top - h.max())))
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
    active = hull.simplices[keep].astype(np.int64)
    return _sharpened(lifted[:, :-1] * size + middle, active, atoms, offset, domain), active


def _sharpened(
    points: Array, active: Index, atoms: Array, offset: Array, domain: ConvexDomain
) -> Array:
    """Recompute vertices (V, dim) from the planes that meet there.

    Qhull's precision is relative to the largest slope: with one atom a thousand times farther than
    the others, small cells have few digits. If planes are almost parallel, as in a vertex of more
    than dim + 1 of them, which Qhull splits, recomputing gains nothing, and Qhull's point is kept.
    """
    n = len(atoms)
    active = np.sort(active, axis=1)  # atoms first
    of_cell = active[:, 0] < n  # some parts of a split vertex may list only sides
    every, points, active = points, points[of_cell], active[of_cell]
    first, others = active[:, :1], active[:, 1:]
    side = others >= n
    atom = np.where(side, first, others)
    rows = atoms[atom] - atoms[first]
    right = offset[first] - offset[atom]
    normals, sides = domain.sides
    rows[side], right[side] = normals[others[side] - n], sides[others[side] - n]
    length = np.linalg.norm(rows, axis=2)
    rows, right = rows / length[:, :, None], right / length
    residual = right - np.einsum("vij,vj->vi", rows, points)
    clear = np.abs(np.linalg.det(rows)) > PARALLEL
    step = np.zeros_like(points)
    step[clear] = np.linalg.solve(rows[clear], residual[clear][:, :, None])[:, :, 0]
    step[np.abs(step).max(1) > SHARPENED * np.ptp(domain.corners, axis=0).max()] = 0
    sharp = every.copy()
    sharp[of_cell] += step
    return sharp


def _uniform_mass(count: int, facets: Facets, domain: ConvexDomain) -> Array:
    """vol = 1/dim Σ size · (distance of the facet from a point of the cell)."""
    inner = facets.outside < count
    weight = np.bincount(facets.inside, facets.size, count)
    weight += np.bincount(facets.outside[inner], facets.size[inner], count)
    centre = np.empty((count, domain.dim))
    for axis in range(domain.dim):
        moment = facets.size * facets.centre[:, axis]
        total = np.bincount(facets.inside, moment, count)
        total += np.bincount(facets.outside[inner], moment[inner], count)
        centre[:, axis] = total / np.where(weight > 0, weight, 1)
    here = ((facets.centre - centre[facets.inside]) * facets.normal).sum(1) * facets.size
    volume = np.bincount(facets.inside, here, count)
    other = facets.outside[inner]
    there = ((centre[other] - facets.centre[inner]) * facets.normal[inner]).sum(1)
    volume += np.bincount(other, there * facets.size[inner], count)
    return volume / (domain.dim * domain.volume)


def _mass(count: int, facets: Facets, outflow: Array) -> Array:
    """The outflow of each cell, for a field whose divergence is the density."""
    inner = facets.outside < count
    mass: Array = np.bincount(facets.inside, outflow, count).astype(float)
    mass -= np.bincount(facets.outside[inner], outflow[inner], count)
    return mass
