"""Ambient occlusion and soft shadows by depth maps.

The body is rasterised from directions all over the sky; the ambient light of a point is the share
of directions from which it is visible. A few directions near the key light give soft shadows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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
MARGIN = 2  # texels around a map
CHUNK = 8192  # points lit at once

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
class LightMaps:
    """Directions of parallel light, each with a map of the depth of the body.

    Attributes:
        directions: (k, 3) unit, towards the light.
        axes: (k, 3, 3), the last row towards the light; centre: (3,) of all maps; half: half side.
        depths: (k, (side + 2 MARGIN)²) away from the light, row by row; +inf outside the body and
            in the margin.
    """

    directions: Array
    axes: Array
    centre: Array
    half: float
    depths: NDArray[np.float32]

    def sky(self, position: Array, normal: Array | None, bias: float) -> Array:
        """Visible share (n,) of the cosine-weighted sky; without normals, of the sphere."""
        share = np.empty(len(position))
        for part in chunks(len(position)):
            local = self._local(position[part])
            if normal is None:
                # A point on an open plane sees half of the sphere, which is full light.
                share[part] = np.minimum(1.0, 2 * self._mean_lit(local, bias))
                continue
            weights = np.clip(self.directions @ normal[part].T, 0, None)  # one row a direction
            got = np.zeros(len(local))
            for k, weight in enumerate(weights):
                facing = np.flatnonzero(weight)
                got[facing] += weight[facing] * self._lit(k, local[facing], bias)
            share[part] = got / np.maximum(weights.sum(0), 1e-9)
        return share

    def key(self, position: Array, bias: float) -> Array:
        """Mean share (n,) of the light of all maps, without the cosine factor."""
        share = np.empty(len(position))
        for part in chunks(len(position)):
            share[part] = self._mean_lit(self._local(position[part]), bias)
        return share

    def _mean_lit(self, local: NDArray[np.float32], bias: float) -> Array:
        total = np.zeros(len(local))
        for k in range(len(self.depths)):
            total += self._lit(k, local, bias)
        return total / len(self.depths)

    def _local(self, position: Array) -> NDArray[np.float32]:
        return (position - self.centre).astype(np.float32)

    def _lit(self, k: int, local: NDArray[np.float32], bias: float) -> NDArray[np.float32]:
        """Share of light k (n,) in [0, 1] at positions about the centre, bilinear over four texels.

        In single precision, which the maps have anyway.
        """
        row_length = math.isqrt(self.depths.shape[1])
        side = row_length - 2 * MARGIN
        depth = self.depths[k]
        right, up, towards = self.axes[k].astype(np.float32)
        scale = np.float32(side / (2 * self.half))
        # Texel centres are at whole numbers; what is beyond the margin is as lit as the margin.
        middle, last = np.float32(side / 2 - 0.5 + MARGIN), np.float32(side + 1.999)
        x = np.clip(local @ (right * scale) + middle, 0, last)
        y = np.clip(local @ (up * scale) + middle, 0, last)
        column, row = x.astype(np.int32), y.astype(np.int32)
        x -= column
        y -= row
        first = row * np.int32(row_length) + column
        limit = local @ -towards - np.float32(bias)
        corner, beside, below, across = (
            depth.take(first + np.int32(step)) >= limit
            for step in (0, 1, row_length, row_length + 1)
        )
        upper = corner * (1 - x) + beside * x
        lower = below * (1 - x) + across * x
        return upper + y * (lower - upper)


def chunks(count: int, most: int = CHUNK) -> Iterator[slice]:
    """Slices of ``count`` rows whose intermediate arrays stay in the processor's cache."""
    return (slice(k, min(k + most, count)) for k in range(0, count, most))


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
    shape = (len(directions), side + 2 * MARGIN, side + 2 * MARGIN)
    depths = np.full(shape, np.inf, np.float32)
    every = np.stack([_axes(direction) for direction in directions])
    for axes, depth in zip(every, depths, strict=True):
        local = (body.points - centre) @ axes.T
        x, y = ((local[:, c] / half + 1) * side / 2 for c in (0, 1))
        scale = np.full(len(x), side / (2 * half))
        hits = body.draw(x, y, -local[:, 2], scale, (side, side), perspective=False)
        depth[MARGIN:-MARGIN, MARGIN:-MARGIN] = hits.value
    return LightMaps(directions, every, centre, half, depths.reshape(len(depths), -1))


def _axes(direction: Array) -> Array:
    helper = np.array([1.0, 0, 0]) if abs(direction[0]) < 0.7 else np.array([0, 1.0, 0])
    right = normalised(np.cross(helper, direction))
    return np.stack([right, np.cross(direction, right), direction])
