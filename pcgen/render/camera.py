"""A perspective camera, fitted to a shape from a given direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError

Array = NDArray[np.float64]

# A small angle has little distortion, so that shapes on a sheet are comparable.
FIELD_OF_VIEW = 24.0  # degrees, of the shorter side
AZIMUTH, ELEVATION = 35.0, 22.0  # degrees: the three-quarter view of product photographs
MARGIN = 0.86  # share of the picture that the shape may fill
OUTLIER_RATIO = 3.0  # in typical radii; points farther out do not affect the fit


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera position.

    Attributes:
        axes: (3, 3), orthonormal rows: right, up and towards the eye, in world coordinates.
        target: (3,) the world point in the centre of the picture.
        distance: from the eye to the target, in world units.
        field_of_view: degrees, of the shorter side of the picture.
    """

    axes: Array
    target: Array
    distance: float
    field_of_view: float = FIELD_OF_VIEW

    @property
    def eye(self) -> Array:
        return self.target + self.distance * self.axes[2]

    def focal(self, width: int, height: int) -> float:
        """Pixels per unit of slope."""
        return 0.5 * min(width, height) / np.tan(np.radians(self.field_of_view) / 2)

    def project(self, points: Array, width: int, height: int) -> tuple[Array, Array, Array]:
        """World points (n, 3) to pixel x, pixel y (down) and distance along the view axis."""
        local = (points - self.target) @ self.axes.T
        depth = self.distance - local[:, 2]
        focal = self.focal(width, height)
        x = width / 2 + focal * local[:, 0] / depth
        y = height / 2 - focal * local[:, 1] / depth
        return x, y, depth

    def rays(self, x: NDArray[Any], y: NDArray[Any], width: int, height: int) -> Array:
        """World directions (n, 3) through pixel positions, with unit step along the view axis."""
        focal = self.focal(width, height)
        local = np.stack([(x - width / 2) / focal, (height / 2 - y) / focal, -np.ones_like(x)], 1)
        return local @ self.axes


def orbit_axes(azimuth: float, elevation: float) -> Array:
    """The axes of a camera at these angles in degrees, +Y up; see :class:`Camera`.

    Azimuth 0 looks from +Z, 90 from +X; elevation 90 looks straight down.
    """
    if not (np.isfinite(azimuth) and np.isfinite(elevation)):
        raise InputError(f"camera angles must be finite degrees, got {azimuth} and {elevation}")
    a, e = np.radians(azimuth), np.radians(elevation)
    right = np.array([np.cos(a), 0.0, -np.sin(a)])
    towards = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    return np.stack([right, np.cross(towards, right), towards])


def fit(
    points: Array,
    azimuths: float | Array = AZIMUTH,
    elevation: float = ELEVATION,
    *,
    aspect: float = 1.0,
    margin: float = MARGIN,
) -> list[Camera]:
    """Cameras at ``azimuths``, with the least common distance at which all views fit the points.

    Args:
        points: (n, 3) finite, at least one.
        aspect: width over height of the picture.
    """
    angles = np.atleast_1d(np.asarray(azimuths, dtype=np.float64))
    kept = without_outliers(points)
    low, high = kept.min(0), kept.max(0)
    centre = (low + high) / 2
    views = [orbit_axes(angle, elevation) for angle in angles]
    half = np.tan(np.radians(FIELD_OF_VIEW) / 2) * margin
    limit = half * np.array([max(aspect, 1.0), max(1 / aspect, 1.0)])
    shared, distance = len(views) > 1, 0.0
    targets = []
    for axes in views:
        local = (kept - centre) @ axes.T
        middle = (local.min(0) + local.max(0)) / 2
        if shared:
            middle[0] = 0.0  # rotate about the axis of the shape
        target = centre + middle[0] * axes[0] + middle[1] * axes[1]
        local = (kept - target) @ axes.T
        needed = np.abs(local[:, :2]) / limit + local[:, 2:3]
        distance = max(distance, float(needed.max()))
        targets.append(target)
    radius = float(np.linalg.norm(high - low)) / 2
    if radius < 1e-12:
        distance = 1.0 / half  # a single point: show it at the size of a unit ball
    distance = max(distance, 1.2 * radius)
    return [
        Camera(axes=axes, target=target, distance=distance)
        for axes, target in zip(views, targets, strict=True)
    ]


def without_outliers(points: Array) -> Array:
    """The points within a few typical radii of the median."""
    radius = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    typical = np.quantile(radius, 0.95)
    kept = points[radius <= OUTLIER_RATIO * typical]
    return kept if len(kept) else points
