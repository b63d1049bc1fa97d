"""Radial densities in 2D and 3D: N(0, I) and the uniform ball, and their flux through facets.

The field x/|x|^dim Γ(|x|) / S has the density as its divergence; Γ(r) is the mass within r and S
the length or area of the unit sphere. For N(0, I) in 2D its flux through a segment is the mass of
the triangle with the origin, an angle minus Owen's T (Owen 1956). In 3D the flux through a polygon
at distance d is, with K(s) = erf(√(s/2)) / √s, in polar coordinates of its plane

    d/4π ∮ (K(d²) - K(d² + ρ²)) dθ,        dθ = e dt / ρ²,   ρ² = e² + t²

along its edges, at distances e, by Gauss-Legendre quadrature. For the ball all integrals are
elementary once facets or edges are cut at its boundary. Accuracy: docs/notes/exact.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.transport.exact.densities import ConvexDomain
from pcgen.transport.exact.facets import Facets

Array = NDArray[np.float64]

# Half the side of the box, in standard deviations.
HALF_WIDTH = 10.0

# Quadrature nodes on a piece of an edge; lengths in standard deviations: errors below 1e-16.
NODES = 12
NODES_IF_SHORT = 5
SHORT = 0.1

# Below this ρ² a derivative replaces the difference quotient; below this s, a series.
NEAR = 1e-4
SERIES = 1e-2


@dataclass(frozen=True)
class GaussianDensity:
    """N(0, I) on a box that contains all its mass, in 2D or 3D."""

    dim: int

    @property
    def domain(self) -> ConvexDomain:
        """The box."""
        return ConvexDomain.box([-HALF_WIDTH] * self.dim, [HALF_WIDTH] * self.dim)

    def radius(self, mass: Array) -> Array:
        """The radius (n,) within which the mass is ``mass`` (n,)."""
        from scipy.special import gammaincinv

        return np.asarray(np.sqrt(2 * gammaincinv(self.dim / 2, np.clip(mass, 0, 1))))

    def flux_through(self, facets: Facets) -> tuple[Array, Array]:
        """See :class:`~.densities.Density`; the field is the radial one above."""
        distance = facets.distance
        height = np.exp(-0.5 * distance**2) / np.sqrt(2 * np.pi)
        if self.dim == 2:
            low, high = facets.spans
            return height * _between(low, high), triangle_mass(distance, low, high)
        facet, aside, low, high = facets.around()
        count = len(distance)
        flux = np.bincount(facet, triangle_mass(aside, low, high), count)
        flow = np.bincount(facet, _edge_integral(distance[facet], aside, low, high - low), count)
        return height * np.maximum(flux, 0), distance / (4 * np.pi) * flow


def triangle_mass(distance: Array, low: Array, high: Array) -> Array:
    """The mass under N(0, I₂) of triangles between the origin and segments, all (n,).

    A segment is on a line at a signed distance from the origin, between two positions along it. The
    mass is positive if it runs counterclockwise. Accurate to 1e-16, absolutely.
    """
    from scipy.special import owens_t

    h = np.abs(distance)
    safe = np.maximum(h, 1e-300)
    mass = np.zeros(len(h))
    for place, sign in ((high, 1), (low, -1)):
        mass += sign * (np.arctan2(place, h) / (2 * np.pi) - owens_t(h, place / safe))
    return np.sign(distance) * mass


def _between(low: Array, high: Array) -> Array:
    """Φ(high) - Φ(low), accurate in both tails."""
    from scipy.special import ndtr

    flip = low > 0
    result: Array = np.where(flip, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low))
    return result


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
    """(K(s) - K(s + more)) / more, with arguments of one shape."""
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
    result: Array = np.where(s < SERIES, root * series, exact)
    return result


@dataclass(frozen=True)
class BallDensity:
    """The uniform density on the unit ball, in its bounding box, in 2D or 3D."""

    dim: int

    @property
    def domain(self) -> ConvexDomain:
        """The box."""
        return ConvexDomain.box([-1.0] * self.dim, [1.0] * self.dim)

    def radius(self, mass: Array) -> Array:
        """The radius (n,) within which the mass is ``mass`` (n,)."""
        return np.asarray(mass ** (1 / self.dim))

    def flux_through(self, facets: Facets) -> tuple[Array, Array]:
        """See :class:`~.densities.Density`; the field is x/|x|^dim Γ(|x|) / S."""
        distance = facets.distance
        if self.dim == 2:
            low, high = facets.spans
            inside, turn, _ = _cut(distance, low, high, np.zeros(len(low)), np.ones(len(low)))
            return inside / np.pi, (distance * inside + turn) / (2 * np.pi)
        facet, aside, low, high = facets.around()
        count, d = len(distance), distance[facet]
        section = 1 - d**2
        inside, turn, arc = _cut(aside, low, high, d, section)
        area = 0.5 * (aside * inside + np.maximum(section, 0) * turn)
        flux = np.bincount(facet, area, count) * 3 / (4 * np.pi)
        # ∫ Γ / r² dr from d on is ρ²/2 inside, 3/2 - d²/2 - 1/r outside, and 1/d - 1/r if d > 1.
        beyond = np.where(np.abs(d) < 1, d * (1.5 - 0.5 * d**2), np.sign(d)) * turn
        flow = 0.5 * d * aside * inside + beyond - np.sign(d) * arc
        return np.maximum(flux, 0), np.bincount(facet, flow, count) / (4 * np.pi)


def _cut(
    aside: Array, low: Array, high: Array, above: Array, disc: Array
) -> tuple[Array, Array, Array]:
    """Cut segments with a disc about the foot of the origin, which is ``above`` their plane.

    Args:
        aside: (n,) signed distance of the segment's line from the foot; low, high: (n,) its ends.
        disc: (n,) the squared radius; negative if there is no disc.
    Returns:
        the length inside; ∫ dθ and ∫ |above| / r dθ over the part outside, signed as ``aside``.
    """
    half = np.sqrt(np.maximum(disc - aside**2, 0))
    enter, leave = np.clip(-half, low, high), np.clip(half, low, high)
    slope = np.abs(above) / np.maximum(np.hypot(above, aside), 1e-300)

    def angles(t: Array) -> tuple[Array, Array]:
        turn = np.arctan2(t, np.abs(aside))
        return turn, np.arcsin(np.minimum(slope, 1) * np.sin(turn))

    ends = [angles(t) for t in (low, enter, leave, high)]
    turn, arc = (
        np.sign(aside) * (ends[1][k] - ends[0][k] + ends[3][k] - ends[2][k]) for k in (0, 1)
    )
    return leave - enter, turn, arc
