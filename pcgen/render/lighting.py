"""Ambient occlusion and soft shadows by depth maps.

The body is rasterised from directions all over the sky; the ambient light of a point is the share
of directions from which it is visible. A few directions near the key light give soft shadows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.render.primitives import Balls, Primitives, normalised

Array = NDArray[np.float64]

SKY_DIRECTIONS = 40
SKY_LOWEST = -0.5  # height of the lowest sky direction; the ground reflects light
KEY_DIRECTIONS = 8
KEY_SPREAD = 0.09  # radius of the key light in radians, for soft shadows
RESOLUTION = {Balls: 128, "mesh": 224}

# The lights of pictures, window and page. Directions are in camera axes (right, up, towards eye).
KEY_FROM, FILL_FROM = (-0.55, 0.75, 0.60), (0.8, 0.1, 0.5)
KEY, SKY, FILL, RIM = 0.84, 0.56, 0.10, 0.05  # strengths; their sum in full light is about 1.4
SOFTNESS = 0.15  # cosine beyond the terminator that the key light still reaches
DARKEST, OPENNESS, DOWNWARD = 0.18, 1.3, 0.72  # of the ambient light, see :func:`ambient`


def key_term(cosine: Array) -> Array:
    """Key light on surfaces with this cosine of their angle to it, without shadows."""
    return KEY * np.clip((cosine + SOFTNESS) / (1 + SOFTNESS), 0, None)


def ambient(seen: Array, height: Array) -> Array:
    """Ambient light on surfaces that see a share of the sky, with the normals' Y.

    Occluded points keep some light, so that the shape stays visible.
    """
    open_ = DARKEST + (1 - DARKEST) * seen**OPENNESS
    return SKY * open_ * (DOWNWARD + (1 - DOWNWARD) * (0.5 + 0.5 * height))


def constants() -> dict[str, Any]:
    """The lights by name, for renderers in other languages."""
    return {
        "key_from": KEY_FROM, "fill_from": FILL_FROM, "key": KEY, "sky": SKY, "fill": FILL,
        "rim": RIM, "softness": SOFTNESS, "darkest": DARKEST, "openness": OPENNESS,
        "downward": DOWNWARD,
    }  # fmt: skip


@dataclass(frozen=True)
class DepthMap:
    """The depth of the body from one direction of parallel light.

    Attributes:
        axes: (3, 3), the last row towards the light; centre: (3,); half: half side of the map.
        depth: (side, side) away from the light, +inf outside the body.
    """

    axes: Array
    centre: Array
    half: float
    depth: NDArray[np.float32]

    def lit(self, position: Array, bias: float) -> Array:
        """Share of light (n,) in [0, 1] at world positions, bilinear over four texels."""
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
    """Directions of light with their depth maps.

    Attributes:
        directions: (k, 3) unit, towards the light; maps: one per direction.
    """

    directions: Array
    maps: tuple[DepthMap, ...]

    def sky(self, position: Array, normal: Array | None, bias: float) -> Array:
        """Visible share (n,) of the cosine-weighted sky; without normals, of the sphere."""
        got, possible = np.zeros(len(position)), np.zeros(len(position))
        for direction, depth_map in zip(self.directions, self.maps, strict=True):
            weight = (
                np.ones(len(position)) if normal is None else np.clip(normal @ direction, 0, None)
            )
            facing = weight > 0
            got[facing] += weight[facing] * depth_map.lit(position[facing], bias)
            possible += weight
        share = got / np.maximum(possible, 1e-9)
        # A point on an open plane sees half of the sphere, which is full light.
        return np.minimum(1.0, 2 * share) if normal is None else share

    def key(self, position: Array, bias: float) -> Array:
        """Mean share (n,) of the light of all maps, without the cosine factor."""
        return np.mean([depth_map.lit(position, bias) for depth_map in self.maps], axis=0)


def sky_light(body: Primitives) -> LightMaps:
    """Directions evenly over the sky (a Fibonacci spiral), from zenith to below the horizon."""
    k = np.arange(SKY_DIRECTIONS) + 0.5
    height = 1 - (1 - SKY_LOWEST) * k / SKY_DIRECTIONS
    angle = np.pi * (1 + np.sqrt(5)) * k
    ring = np.sqrt(1 - height**2)
    directions = np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], 1)
    return _lamps(body, directions)


def key_light(body: Primitives, direction: Array) -> LightMaps:
    """Directions in a small cone around ``direction``."""
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
