"""The frames of the field: per-shape box, per-shape sphere, PointFlow's global one; and our own,
without proportions.

A frame is a :class:`pcgen.datatypes.Frame`; ``frame.apply`` normalises, ``frame.restore`` takes
back. The data store keeps its clouds in the box frame, from which the others are reached by way
of the shapes' own units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from pcgen.datatypes import Frame
from pcgen.errors import InputError

FLAT = 0.1  # of the longest side, below which an axis says nothing about proportions


def box_frame(points: NDArray[np.floating]) -> Frame:
    """Per shape: centre of the bounding box, half of its longest side (LION's table 2, DPM).

    Args:
        points: (count, n, dim), n at least 1.
    Returns:
        the frame under which every shape fills [-1, 1] along its longest side.
    """
    low, high = _clouds(points).min(1), points.max(1)
    low, high = low.astype(np.float64), high.astype(np.float64)
    return Frame(centre=(low + high) / 2, scale=_positive((high - low).max(1) / 2))


def proportion_free(points: NDArray[np.floating], flat: float = FLAT) -> NDArray[np.float32]:
    """Clouds (count, n, dim) with each axis stretched to the full box [-1, 1], one shape at a time.

    A shape and a stretched copy of it become the same. An axis shorter than ``flat`` times the
    longest one is stretched as if it were that long: thickness, and the noise on it, stays small.
    """
    low, high = _clouds(points).min(1, keepdims=True), points.max(1, keepdims=True)
    low, high = low.astype(np.float64), high.astype(np.float64)
    side = high - low
    side = np.maximum(side, flat * side.max(2, keepdims=True))
    moved = (points - (low + high) / 2) / np.where(side > 0, side / 2, 1)
    return np.asarray(moved, np.float32)


def sphere_frame(points: NDArray[np.floating]) -> Frame:
    """Per shape: centroid of the points, distance of the farthest one (unit sphere)."""
    points = _clouds(points).astype(np.float64)
    centre = points.mean(1)
    radius = np.linalg.norm(points - centre[:, None], axis=2).max(1)
    return Frame(centre=centre, scale=_positive(radius))


def global_frame(
    points: NDArray[np.floating] | Callable[[], Iterable[NDArray[np.floating]]],
    count: int | None = None,
) -> Frame:
    """One mean (dim,) and one standard deviation over all points of all shapes (PointFlow).

    Args:
        points: (shapes, n, dim) of the *training* shapes, in their own units; or a function that
            gives them in parts of so many points a shape, each time it is called.
        count: how many shapes the frame shall serve; by default as many as came in.
    Returns:
        a frame whose rows are all equal.
    """
    parts = points if callable(points) else lambda: [points]
    total, shapes, size = np.float64(0), 0, 0
    for part in parts():
        total = total + _clouds(part).sum((0, 1), dtype=np.float64)
        shapes, size = shapes + len(part), size + part.shape[0] * part.shape[1]
    mean = np.asarray(total / size)
    # The published code flattens all coordinates before std: the spread about one number, the
    # grand mean, and not about the mean point. Kept so, for the figures to be comparable.
    grand = mean.mean()
    variance = sum(np.square(shape - grand).mean() for part in parts() for shape in part) / shapes
    rows = shapes if count is None else count
    return Frame(
        centre=np.repeat(mean[None], rows, 0),
        scale=_positive(np.full(rows, np.sqrt(variance))),
    )


def _clouds(points: NDArray[np.floating]) -> NDArray[np.floating]:
    if points.ndim != 3 or 0 in points.shape:
        raise InputError(f"points must be (count, n, dim) and not empty, got {points.shape}")
    return points


def _positive(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise InputError("a shape has no extent or is not finite; it cannot be normalised")
    return scale
