"""Render primitives with a camera: rasterise, then shade.

Light is computed in linear values at twice the resolution and averaged, for smooth edges. Nothing
is random: the same input gives the same bytes on every machine with the same numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pcgen.render import lighting, palette
from pcgen.render.camera import Camera
from pcgen.render.primitives import Balls, Primitives, Triangles, normalised

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Image = NDArray[np.uint8]

SUPERSAMPLING = 2
GROUND_SHADE = 0.55  # share of the background's light that full occlusion removes
GROUND_CELLS = 96
NEAREST = 0.02  # near plane over the distance of the camera
BORDER = 0.12  # width over which the ground shadow fades at the border, over the picture's side
GROUND_REACH = 2.2  # distance in half sizes of the body where the ground shadow ends


@dataclass(frozen=True)
class GroundShadow:
    """The shadow on the plane under a body.

    Attributes:
        dark: (cells, cells) along X, then Z: share of light that is missing.
        x, z: its centre; floor: its height; reach: its half side. World units.
    """

    dark: Array
    x: float
    z: float
    floor: float
    reach: float


@dataclass
class Renderer:
    """Renders one body. The sky light does not depend on the camera, so a turntable reuses it.

    Attributes:
        body: the primitives to draw.
        ground: draw the soft shadow on the plane below the body.
    """

    body: Primitives
    background: tuple[float, float, float] = palette.PAPER
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
        # Premultiplied linear light, and its coverage of the background.
        picture = np.zeros((height, width, 4))
        key = self._key(camera)
        if self.ground and camera.axes[2, 1] > 0.05:
            picture[:, :, 3] = self._ground_shade(camera, key, height, width)
        row, column = np.nonzero(hits.primitive >= 0)
        if len(row):
            away = -1 / hits.value[row, column].astype(np.float64)
            rays = camera.rays(column + 0.5, row + 0.5, width, height)
            position = camera.eye + away[:, None] * rays
            primitive = hits.primitive[row, column]
            shaded = self._shade(position, primitive, -normalised(rays), camera, key)
            picture[row, column, :3], picture[row, column, 3] = shaded, 1.0
        shape = (size[1], SUPERSAMPLING, size[0], SUPERSAMPLING, 4)
        small = picture.reshape(shape).mean((1, 3))
        light_, cover = small[:, :, :3], small[:, :, 3:]
        if transparent:
            straight = palette.to_srgb(light_ / np.maximum(cover, 1e-6))
            return np.round(255 * np.concatenate([straight, cover], 2)).astype(np.uint8)
        paper = palette.to_linear(np.array(self.background))
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
        reach = max(GROUND_REACH * max(across, 0.2 * tall), 4 * self.body.radius)
        grid = np.linspace(-reach, reach, cells)
        gx, gz = (axis.ravel() for axis in np.meshgrid(grid, grid, indexing="ij"))
        place = np.stack([centre[0] + gx, np.full(gx.shape, floor), centre[2] + gz], 1)
        up = np.broadcast_to([0.0, 1.0, 0.0], place.shape)
        dark = 1 - self._sky.sky(place, up, 0.0)
        if key is not None:
            dark = 0.62 * dark + 0.38 * (1 - key.key(place, 0.0))
        away = np.hypot(gx, gz) / reach
        dark = (dark * np.clip(1 - away**2, 0, 1) ** 3).reshape(cells, cells)
        return GroundShadow(GROUND_SHADE * dark, float(centre[0]), float(centre[2]), floor, reach)

    def _key(self, camera: Camera) -> lighting.LightMaps:
        return lighting.key_light(self.body, normalised(np.array(lighting.KEY_FROM) @ camera.axes))

    def _shade(
        self,
        position: Array,
        primitive: Index,
        towards: Array,
        camera: Camera,
        key: lighting.LightMaps,
    ) -> Array:
        normal, albedo = self.body.surface(primitive, position, towards)
        if self._open is not None:
            seen = self._open[primitive]
            reached = key.key(self.body.points, self._bias)[primitive]
        else:
            lifted = position + self._bias * normal
            seen = self._sky.sky(lifted, normal, self._bias)
            reached = key.key(lifted, self._bias)
        direction = normalised(np.array(lighting.KEY_FROM) @ camera.axes)
        fill = np.clip(normal @ (np.array(lighting.FILL_FROM) @ camera.axes), 0, None)
        rim = (1 - np.clip((normal * towards).sum(1), 0, 1)) ** 3 * seen
        total = lighting.key_term(normal @ direction) * reached
        total = total + lighting.ambient(seen, normal[:, 1]) + lighting.FILL * fill
        return albedo * total[:, None] + lighting.RIM * rim[:, None]

    def _ground_shade(
        self, camera: Camera, key: lighting.LightMaps, height: int, width: int
    ) -> Array:
        """The shadow (height, width) of the shape on the background."""
        ground = self.ground_map(key)
        row, column = np.mgrid[0:height, 0:width]
        rays = camera.rays(column.ravel() + 0.5, row.ravel() + 0.5, width, height)
        falls = rays[:, 1] < -1e-6
        steps = (ground.floor - camera.eye[1]) / rays[falls, 1]
        hit = camera.eye + steps[:, None] * rays[falls]
        cells = (len(ground.dark) - 1) / (2 * ground.reach)
        fx, fz = (hit[:, 0] - ground.x + ground.reach), (hit[:, 2] - ground.z + ground.reach)
        shade = np.zeros(len(rays))
        shade[falls] = bilinear(ground.dark, fx * cells, fz * cells)
        # The shadow fades before the border, so that pictures blend into the paper of a sheet.
        return shade.reshape(height, width) * np.minimum(
            _fade(height)[:, None], _fade(width)[None, :]
        )


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
