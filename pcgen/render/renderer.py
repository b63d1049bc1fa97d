"""Render primitives with a camera: rasterise, then shade.

Light is computed in linear values at twice the resolution and averaged, for smooth edges. Nothing
is random: the same input gives the same bytes on every machine with the same numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.render import lighting, palette
from pcgen.render.camera import Camera
from pcgen.render.primitives import Balls, Primitives, Triangles, dot, normalised

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Image = NDArray[np.uint8]

SUPERSAMPLING = 2
SAMPLES = SUPERSAMPLING**2  # of a pixel
LIKE = 0.95  # cosine of normals whose samples share the light of their pixel
GROUND_SHADE = 0.55  # share of the background's light that full occlusion removes
GROUND_CELLS = 96
NEAREST = 0.02  # near plane over the distance of the camera
BORDER = 0.12  # width over which the ground shadow fades at the border, over the picture's side
GROUND_RADIUS = 2.2  # distance in half sizes of the body where the ground shadow ends


@dataclass(frozen=True)
class GroundShadow:
    """The shadow on the plane under a body.

    Attributes:
        dark: (cells, cells) along X, then Z: share of light that is missing.
        x, z: its centre; floor: its height; radius: its half side. World units.
    """

    dark: Array
    x: float
    z: float
    floor: float
    radius: float


@dataclass
class Renderer:
    """Renders one body. The sky light does not depend on the camera, so a turntable reuses it.

    Attributes:
        body: the primitives to draw.
        ground: draw the soft shadow on the plane below the body.
    """

    body: Primitives
    ground: bool = True
    _sky: lighting.LightMaps = field(init=False, repr=False)
    _open: Array | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        self._sky = lighting.sky_light(self.body)
        if isinstance(self.body, Balls):
            self._open = self._sky.sky(self.body.points, None, self._bias)

    @property
    def _bias(self) -> float:
        # A ball must not shade itself or its neighbours on a flat surface.
        if isinstance(self.body, Balls):
            return 2.5 * float(self.body.radii.max())
        return 1.5 * self.body.radius

    def shoot(self, camera: Camera, size: tuple[int, int], *, transparent: bool = False) -> Image:
        """Render the picture; size is (width, height).

        Returns:
            (height, width, 3) uint8 on the background, or (height, width, 4) with straight alpha.
        """
        width, height = (SUPERSAMPLING * side for side in size)
        x, y, depth = camera.project(self.body.points, width, height)
        visible = np.maximum(depth, NEAREST * camera.distance)
        scale = camera.focal(width, height) / visible
        if isinstance(self.body, Balls):
            # An outlier beside or behind the eye would be larger than the picture.
            x = np.where(depth < visible, -width, x)
        hits = self.body.draw(x, y, visible, scale, (height, width), perspective=True)
        lights = self._lights(camera)
        primitives, values = (_by_pixel(part) for part in (hits.primitive, hits.value))
        covered = np.flatnonzero(primitives >= 0)
        pixel, inner = np.divmod(covered, SAMPLES)
        shaded = np.empty((len(covered), 3))
        for part in lighting.chunks(len(covered), SAMPLES * lighting.CHUNK):
            sample = covered[part]
            row, column = np.divmod(pixel[part], size[0])
            row = row * SUPERSAMPLING + inner[part] // SUPERSAMPLING
            column = column * SUPERSAMPLING + inner[part] % SUPERSAMPLING
            away = -1 / values[sample].astype(np.float64)
            rays = camera.rays(column + 0.5, row + 0.5, width, height)
            position = camera.eye + away[:, None] * rays
            shaded[part] = self._shade(
                position, primitives[sample], pixel[part], -normalised(rays), lights
            )
        # Premultiplied linear light of each pixel, and its coverage of the background.
        count = size[0] * size[1]
        cover = np.bincount(pixel, minlength=count) / SAMPLES
        light = [np.bincount(pixel, shaded[:, c], count) / SAMPLES for c in range(3)]
        if self.ground and camera.axes[2, 1] > 0.05:
            cover += (1 - cover) * self._ground_shade(camera, lights.key, size)
        shape = (size[1], size[0], -1)
        light_, cover = np.stack(light, 1).reshape(shape), cover.reshape(shape)
        if transparent:
            straight = palette.to_srgb(light_ / np.maximum(cover, 1e-6))
            return np.round(255 * np.concatenate([straight, cover], 2)).astype(np.uint8)
        paper = palette.to_linear(np.array(palette.PAPER))
        return np.round(255 * palette.to_srgb(light_ + (1 - cover) * paper)).astype(np.uint8)

    def occlusion(self) -> Array:
        """The visible share (n,) of the sky at each point of the body, for other viewers."""
        if self._open is not None:
            return self._open
        assert isinstance(self.body, Triangles)
        normal = np.zeros_like(self.body.points)
        normal[self.body.faces] = self.body.corners
        sides = [
            self._sky.sky(self.body.points + self._bias * side, side, self._bias)
            for side in (normal, -normal)
        ]
        return np.maximum(*sides)  # the outer side, for either orientation of the faces

    def ground_map(
        self, key: lighting.LightMaps | None = None, cells: int = GROUND_CELLS
    ) -> GroundShadow:
        """The shadow under the body; without a key light, of the sky alone."""
        low, high = self.body.points.min(0), self.body.points.max(0)
        floor = float(low[1]) - self.body.radius
        centre = (low + high) / 2
        across = float(np.linalg.norm((high - low)[[0, 2]])) / 2
        tall = float((high - low)[1])
        radius = max(GROUND_RADIUS * max(across, 0.2 * tall), 4 * self.body.radius)
        grid = np.linspace(-radius, radius, cells)
        gx, gz = (axis.ravel() for axis in np.meshgrid(grid, grid, indexing="ij"))
        place = np.stack([centre[0] + gx, np.full(gx.shape, floor), centre[2] + gz], 1)
        up = np.broadcast_to([0.0, 1.0, 0.0], place.shape)
        dark = 1 - self._sky.sky(place, up, 0.0)
        if key is not None:
            dark = 0.62 * dark + 0.38 * (1 - key.key(place, 0.0))
        away = np.hypot(gx, gz) / radius
        dark = (dark * np.clip(1 - away**2, 0, 1) ** 3).reshape(cells, cells)
        return GroundShadow(GROUND_SHADE * dark, float(centre[0]), float(centre[2]), floor, radius)

    def _lights(self, camera: Camera) -> _Lights:
        direction = normalised(np.array(lighting.KEY_FROM) @ camera.axes)
        key = lighting.key_light(self.body, direction)
        reached = None if self._open is None else key.key(self.body.points, self._bias)
        return _Lights(direction, np.array(lighting.FILL_FROM) @ camera.axes, key, reached)

    def _shade(
        self,
        position: Array,
        primitive: Index,
        pixel: Index,
        towards: Array,
        lights: _Lights,
    ) -> Array:
        normal, albedo = self.body.surface(primitive, position, towards)
        if self._open is not None and lights.reached is not None:
            seen, reached = self._open[primitive], lights.reached[primitive]
        else:
            lifted = position + self._bias * normal
            leading, leader = _leaders(pixel, lifted, normal, 4 * self._bias)
            lifted, facing = lifted[leading], normal[leading]
            seen = self._sky.sky(lifted, facing, self._bias)[leader]
            reached = lights.key.key(lifted, self._bias)[leader]
        fill = np.clip(normal @ lights.fill, 0, None)
        rim = (1 - np.clip(dot(normal, towards), 0, 1)) ** 3 * seen
        total = lighting.key_term(normal @ lights.direction) * reached
        total = total + lighting.ambient(seen, normal[:, 1]) + lighting.FILL * fill
        return albedo * total[:, None] + lighting.RIM * rim[:, None]

    def _ground_shade(
        self, camera: Camera, key: lighting.LightMaps, size: tuple[int, int]
    ) -> Array:
        """The shadow (height * width,) of the shape on the background."""
        ground = self.ground_map(key)
        width, height = size
        cells = (len(ground.dark) - 1) / (2 * ground.radius)
        shade = np.zeros(height * width)
        # The shadow fades before the border, so that pictures blend into the paper of a sheet.
        down, across = _fade(height), _fade(width)
        for part in lighting.chunks(len(shade)):
            row, column = np.divmod(np.arange(part.start, part.stop), width)
            rays = camera.rays(column + 0.5, row + 0.5, width, height)
            falls = np.flatnonzero(rays[:, 1] < -1e-6)
            steps = (ground.floor - camera.eye[1]) / rays[falls, 1]
            hit = camera.eye + steps[:, None] * rays[falls]
            fx, fz = (hit[:, 0] - ground.x + ground.radius), (hit[:, 2] - ground.z + ground.radius)
            faded = np.minimum(down[row[falls]], across[column[falls]])
            shade[part.start + falls] = faded * bilinear(ground.dark, fx * cells, fz * cells)
        return shade


@dataclass(frozen=True)
class _Lights:
    """The lights that move with the camera.

    Attributes:
        direction, fill: (3,) unit, towards the key light; towards the fill light.
        key: shadows of the key light; reached: the share of it at each ball, None for a mesh.
    """

    direction: Array
    fill: Array
    key: lighting.LightMaps
    reached: Array | None


def _by_pixel(samples: NDArray[Any]) -> NDArray[Any]:
    """Samples (height, width) of a picture, those of one pixel after each other, flat."""
    height, width = (side // SUPERSAMPLING for side in samples.shape)
    blocks = samples.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING)
    return blocks.transpose(0, 2, 1, 3).ravel()


def _leaders(pixel: Index, position: Array, normal: Array, near: float) -> tuple[Index, Index]:
    """The samples (k,) whose light is computed, and for each sample (n,) which of them it shares.

    Shadows are softer than a pixel, so samples of one pixel share those of the first one, unless
    their surface is farther from it than ``near`` or turned away from its.
    """
    first = np.concatenate([[True], pixel[1:] != pixel[:-1]])
    start = np.flatnonzero(first)[np.cumsum(first) - 1]
    offset = position - position[start]
    apart = dot(offset, offset) > near**2
    turned = dot(normal, normal[start]) < LIKE
    own = first | apart | turned
    number = np.cumsum(own) - 1
    return np.flatnonzero(own), np.where(own, number, number[start])


def _fade(side: int) -> Array:
    """Weights of a row of pixels: 0 at both ends, 1 inside."""
    place = (np.arange(side) + 0.5) / side
    return np.clip(np.minimum(place, 1 - place) / BORDER, 0, 1)


def bilinear(table: Array, x: Array, y: Array) -> Array:
    """Bilinear values of ``table`` (n, m) at index positions x, y; zero outside."""
    inside = (x >= 0) & (y >= 0) & (x <= table.shape[0] - 1) & (y <= table.shape[1] - 1)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    i = np.minimum(x.astype(np.int64), table.shape[0] - 2)
    j = np.minimum(y.astype(np.int64), table.shape[1] - 2)
    fx, fy = x - i, y - j
    value = (1 - fx) * ((1 - fy) * table[i, j] + fy * table[i, j + 1])
    value += fx * ((1 - fy) * table[i + 1, j] + fy * table[i + 1, j + 1])
    return np.where(inside, value, 0.0)
