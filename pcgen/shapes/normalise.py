"""Normalise clouds: per-shape box, PointFlow's global frame, or without proportions.

A frame is a :class:`pcgen.datatypes.Frame`: ``frame.apply`` normalises, ``frame.restore`` inverts
it. Data sets store clouds in the box frame; the other frames are computed from original units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from pcgen.datatypes import Frame
from pcgen.errors import InputError

FLAT = 0.1  # share of the longest side; a shorter axis does not define proportions


def box_frame(points: NDArray[np.floating]) -> Frame:
    """Per shape: centre of the bounding box, half of its longest side (LION's table 2, DPM).

    Args:
        points: (count, n, dim), n at least 1.
    Returns:
        the frame in which the longest side of every shape fills [-1, 1].
    """
    low, high = _clouds(points).min(1), points.max(1)
    low, high = low.astype(np.float64), high.astype(np.float64)
    return Frame(centre=(low + high) / 2, scale=_positive((high - low).max(1) / 2))


def cube_frame(points: NDArray[np.floating]) -> Frame:
    """Per shape and axis: centre and half side of the bounding box.

    An axis shorter than :data:`FLAT` times the longest one counts as that long, so that thin shapes
    and their noise stay thin.
    """
    low, high = _clouds(points).min(1), points.max(1)
    low, high = low.astype(np.float64), high.astype(np.float64)
    side = np.maximum(high - low, FLAT * (high - low).max(1, keepdims=True))
    return Frame(centre=(low + high) / 2, scale=np.where(side > 0, side / 2, 1))


def proportion_free(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Clouds (count, n, dim) in their :func:`cube_frame`: each axis stretched to [-1, 1], so that a
    shape and a stretched copy of it become equal."""
    return np.asarray(cube_frame(points).apply(points), np.float32)


def global_frame(
    points: NDArray[np.floating] | Callable[[], Iterable[NDArray[np.floating]]],
    count: int | None = None,
) -> Frame:
    """One mean (dim,) and one standard deviation over all points of all shapes (PointFlow).

    Args:
        points: (shapes, n, dim) of the *training* shapes, in original units; or a function that
            iterates over parts of such an array, each time it is called.
        count: number of rows of the frame; by default the number of shapes.
    Returns:
        a frame with equal rows.
    """
    parts = points if callable(points) else lambda: [points]
    total, shapes, size = np.float64(0), 0, 0
    for part in parts():
        total = total + _clouds(part).sum((0, 1), dtype=np.float64)
        shapes, size = shapes + len(part), size + part.shape[0] * part.shape[1]
    mean = np.asarray(total / size)
    # The published code flattens all coordinates before std, so it measures the spread about the
    # grand mean, not about the mean point. Comparable metrics need the same.
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
