"""Light: how much of the sky each place sees, and what the key light reaches.

Ambient occlusion here is no screen trick: the body is rasterised from directions spread over the
sky, and a place counts the directions from which it is seen. A few directions near the key light
give shadows with soft edges. Both are the same depth maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.render.primitives import Balls, Primitives, normalised

Array = NDArray[np.float64]

SKY_DIRECTIONS = 40
SKY_LOWEST = -0.5  # height of the lowest sky direction: light comes back from the ground too
KEY_DIRECTIONS = 8
KEY_SPREAD = 0.09  # radians, of the key light: soft shadow edges
RESOLUTION = {Balls: 128, "mesh": 224}


@dataclass(frozen=True)
class DepthMap:
    """The body seen by parallel light.

    Attributes:
        axes: (3, 3), the last row towards the light; centre: (3,); half: half the map's side.
        depth: (side, side) away from the light, +inf where light passes.
    """

    axes: Array
    centre: Array
    half: float
    depth: NDArray[np.float32]

    def lit(self, position: Array, bias: float) -> Array:
        """Share of light, (n,) in [0, 1], at world positions: four texels, weighted."""
        side = len(self.depth)
        local = (position - self.centre) @ self.axes.T
        x = (local[:, 0] / self.half + 1) * side / 2 - 0.5
        y = (local[:, 1] / self.half + 1) * side / 2 - 0.5
        column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
        fx, fy = x - column, y - row
        limit = -local[:, 2] - bias
        share = np.zeros(len(position))
        for dy, wy in ((0, 1 - fy), (1, fy)):
            for dx, wx in ((0, 1 - fx), (1, fx)):
                r, c = row + dy, column + dx
                outside = (r < 0) | (r >= side) | (c < 0) | (c >= side)
                seen = self.depth[np.clip(r, 0, side - 1), np.clip(c, 0, side - 1)] >= limit
                share += wx * wy * (seen | outside)
        return share


@dataclass(frozen=True)
class LightMaps:
    """A group of directions with their maps.

    Attributes:
        directions: (k, 3) unit, towards the light; maps: one per direction.
    """

    directions: Array
    maps: tuple[DepthMap, ...]

    def sky(self, position: Array, normal: Array | None, bias: float) -> Array:
        """Share (n,) of the cosine-weighted sky that is seen; without normals, of the sphere."""
        got, possible = np.zeros(len(position)), np.zeros(len(position))
        for direction, depth_map in zip(self.directions, self.maps, strict=True):
            weight = (
                np.ones(len(position)) if normal is None else np.clip(normal @ direction, 0, None)
            )
            facing = weight > 0
            got[facing] += weight[facing] * depth_map.lit(position[facing], bias)
            possible += weight
        share = got / np.maximum(possible, 1e-9)
        # A flat open surface sees half of the whole sphere: that is full light.
        return np.minimum(1.0, 2 * share) if normal is None else share

    def key(self, position: Array, bias: float) -> Array:
        """Mean share (n,) of the light of all maps, cosine left to the caller."""
        return np.mean([depth_map.lit(position, bias) for depth_map in self.maps], axis=0)


def sky_light(body: Primitives) -> LightMaps:
    """Directions evenly over the sky (a Fibonacci spiral), from the zenith to below the horizon."""
    k = np.arange(SKY_DIRECTIONS) + 0.5
    height = 1 - (1 - SKY_LOWEST) * k / SKY_DIRECTIONS
    angle = np.pi * (1 + np.sqrt(5)) * k
    ring = np.sqrt(1 - height**2)
    directions = np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], 1)
    return _lamps(body, directions)


def key_light(body: Primitives, direction: Array) -> LightMaps:
    """Directions in a small cone about ``direction``."""
    k = np.arange(KEY_DIRECTIONS) + 0.5
    away = KEY_SPREAD * np.sqrt(k / KEY_DIRECTIONS)
    angle = np.pi * (1 + np.sqrt(5)) * k
    axes = _axes(direction)
    offset = (away * np.cos(angle))[:, None] * axes[0] + (away * np.sin(angle))[:, None] * axes[1]
    return _lamps(body, normalised(direction + offset))


def _lamps(body: Primitives, directions: Array) -> LightMaps:
    low, high = body.points.min(0), body.points.max(0)
    centre, half = (low + high) / 2, float(np.linalg.norm(high - low)) / 2 + 2 * body.radius
    side = RESOLUTION[Balls] if isinstance(body, Balls) else RESOLUTION["mesh"]
    maps = []
    for direction in directions:
        axes = _axes(direction)
        local = (body.points - centre) @ axes.T
        x, y = ((local[:, c] / half + 1) * side / 2 for c in (0, 1))
        scale = np.full(len(x), side / (2 * half))
        hits = body.draw(x, y, -local[:, 2], scale, (side, side), perspective=False)
        maps.append(DepthMap(axes, centre, half, hits.value))
    return LightMaps(directions, tuple(maps))


def _axes(direction: Array) -> Array:
    helper = np.array([1.0, 0, 0]) if abs(direction[0]) < 0.7 else np.array([0, 1.0, 0])
    right = normalised(np.cross(helper, direction))
    return np.stack([right, np.cross(direction, right), direction])
