"""The uniform measure on the unit ball in the plane and in space: what flows through walls.

As in :mod:`pcgen.transport.exact.gaussian_density` the field is radial, and the flow through a wall
    an integral
around the foot of the origin on it; Γ(r) = min(r, 1)^dim is the mass within r. All integrals are
elementary once walls or edges are cut where they leave the ball.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.transport.exact.densities import ConvexDomain
from pcgen.transport.exact.facets import Walls

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BallDensity:
    """Uniform on the unit ball, in the box around it, in 2D or 3D."""

    dim: int

    @property
    def domain(self) -> ConvexDomain:
        """The box."""
        return ConvexDomain.box([-1.0] * self.dim, [1.0] * self.dim)

    def radius(self, mass: Array) -> Array:
        """(n,) the radius within which there is a mass (n,)."""
        return np.asarray(mass ** (1 / self.dim))

    def through(self, walls: Walls) -> tuple[Array, Array]:
        """See :class:`~.densities.Density`; the field is x/|x|^dim Γ(|x|) / S."""
        distance = walls.distance
        if self.dim == 2:
            low, high = walls.spans
            inside, turn, _ = _cut(distance, low, high, np.zeros(len(low)), np.ones(len(low)))
            return inside / np.pi, (distance * inside + turn) / (2 * np.pi)
        wall, aside, low, high = walls.around()
        count, d = len(distance), distance[wall]
        section = 1 - d**2
        inside, turn, arc = _cut(aside, low, high, d, section)
        area = 0.5 * (aside * inside + np.maximum(section, 0) * turn)
        flux = np.bincount(wall, area, count) * 3 / (4 * np.pi)
        # ∫ Γ / r² dr from d on is ρ²/2 inside, 3/2 - d²/2 - 1/r beyond, and 1/d - 1/r where d > 1.
        beyond = np.where(np.abs(d) < 1, d * (1.5 - 0.5 * d**2), np.sign(d)) * turn
        flow = 0.5 * d * aside * inside + beyond - np.sign(d) * arc
        return np.maximum(flux, 0), np.bincount(wall, flow, count) / (4 * np.pi)


def _cut(
    aside: Array, low: Array, high: Array, above: Array, disc: Array
) -> tuple[Array, Array, Array]:
    """Segments cut by a disc about the foot of the origin, which lies ``above`` their plane.

    Args:
        aside: (n,) signed distance of the segment's line from the foot; low, high: (n,) its ends.
        disc: (n,) the squared radius; no disc where it is negative.
    Returns:
        the length inside, and of what is outside ∫ dθ and ∫ |above| / r dθ, signed as ``aside``.
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
