"""N(0, I) in the plane and in space: what flows through the walls of cells.

The field x/|x|^dim P(|X| < |x|) / S, S the length or area of the unit sphere, has the density as
its divergence. In 2D it flows through a segment as much as the triangle with the origin has mass,
an angle less Owen's T (Owen 1956). In 3D the flow through a polygon at distance d is, with
K(s) = erf(√(s/2)) / √s, in polar coordinates of its plane

    d/4π ∮ (K(d²) - K(d² + ρ²)) dθ,        dθ = e dt / ρ²,   ρ² = e² + t²

along its edges, at distances e; over ρ² the difference is an entire function, and Gauss-Legendre
quadrature on pieces no longer than a standard deviation is exact to rounding. Cells of any size
come out with an error of 1e-15 or less, and unbounded ones end at a box that misses 1e-23.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.transport.exact.densities import ConvexDomain
from pcgen.transport.exact.facets import Walls

Array = NDArray[np.float64]

# Half the side of the box, in standard deviations.
REACH = 10.0

# Nodes on a piece of an edge, in standard deviations: errors of the integrand below 1e-16.
NODES = 12
NODES_IF_SHORT = 5
SHORT = 0.1

# Below this ρ² the quotient of differences is a derivative; below this s that is a series.
NEAR = 1e-4
SERIES = 1e-2


@dataclass(frozen=True)
class NormalDensity:
    """N(0, I) on a box that holds all its mass, in 2D or 3D."""

    dim: int

    @property
    def domain(self) -> ConvexDomain:
        """The box."""
        return ConvexDomain.box([-REACH] * self.dim, [REACH] * self.dim)

    def radius(self, mass: Array) -> Array:
        """(n,) the radius within which there is a mass (n,)."""
        from scipy.special import gammaincinv

        return np.asarray(np.sqrt(2 * gammaincinv(self.dim / 2, np.clip(mass, 0, 1))))

    def through(self, walls: Walls) -> tuple[Array, Array]:
        """See :class:`~.densities.Density`; the field is the radial one above."""
        distance = walls.distance
        height = np.exp(-0.5 * distance**2) / np.sqrt(2 * np.pi)
        if self.dim == 2:
            low, high = walls.spans
            return height * _between(low, high), triangle_mass(distance, low, high)
        wall, aside, low, high = walls.around()
        count = len(distance)
        flux = np.bincount(wall, triangle_mass(aside, low, high), count)
        flow = np.bincount(wall, _edge_integral(distance[wall], aside, low, high - low), count)
        return height * np.maximum(flux, 0), distance / (4 * np.pi) * flow


def triangle_mass(distance: Array, low: Array, high: Array) -> Array:
    """N(0, I₂) of the triangles between the origin and segments, all (n,).

    A segment lies on a line at a signed distance from the origin, between two places along it;
    the mass is positive where it runs counterclockwise. Accurate to 1e-16, absolutely.
    """
    from scipy.special import owens_t

    h = np.abs(distance)
    safe = np.maximum(h, 1e-300)
    mass = np.zeros(len(h))
    for place, sign in ((high, 1), (low, -1)):
        mass += sign * (np.arctan2(place, h) / (2 * np.pi) - owens_t(h, place / safe))
    return np.sign(distance) * mass


def _between(low: Array, high: Array) -> Array:
    """Φ(high) - Φ(low), with all its digits in both tails."""
    from scipy.special import ndtr

    flip = low > 0
    return np.where(flip, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))


def _edge_integral(distance: Array, aside: Array, low: Array, length: Array) -> Array:
    """∫ (K(d²) - K(d² + ρ²)) e / ρ² dt along edges (n,) that begin at t = low."""
    total = np.zeros(len(length))
    for chosen, nodes in ((length <= SHORT, NODES_IF_SHORT), (length > SHORT, NODES)):
        edge = np.flatnonzero(chosen)
        pieces = np.ceil(length[edge]).astype(int) if nodes == NODES else np.ones(len(edge), int)
        owner = np.repeat(edge, pieces)
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        size = (length[edge] / pieces).repeat(pieces)
        place, weight = np.polynomial.legendre.leggauss(nodes)
        t = low[owner, None] + size[:, None] * (rank[:, None] + 0.5 * (place + 1))
        s = np.broadcast_to(distance[owner, None] ** 2, t.shape)
        value = _quotient(s, aside[owner, None] ** 2 + t**2) @ weight
        total += np.bincount(owner, 0.5 * size * value * aside[owner], len(total))
    return total


def _quotient(s: Array, more: Array) -> Array:
    """(K(s) - K(s + more)) / more, of one shape."""
    value = (_kernel(s) - _kernel(s + more)) / np.maximum(more, NEAR)
    near = more < NEAR
    value[near] = -_derivative(s[near] + 0.5 * more[near])
    return value


def _kernel(s: Array) -> Array:
    """K(s) = erf(√(s/2)) / √s."""
    from scipy.special import erf

    root = np.sqrt(np.maximum(s, 1e-300))
    return np.asarray(erf(root / np.sqrt(2)) / root)


def _derivative(s: Array) -> Array:
    """K'(s)."""
    series = -1 / 6 + s * (1 / 20 - s * (1 / 112 - s * (1 / 864 - s / 8448)))
    root = np.sqrt(2 / np.pi)
    exact = (root * np.exp(-s / 2) - _kernel(s)) / (2 * np.maximum(s, SERIES))
    return np.where(s < SERIES, root * series, exact)
