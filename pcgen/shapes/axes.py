"""The up axis of a source, and rotations to +Y up and back.

A data set has +Y up, as ShapeNet does. Sources with another up axis (many STL files and scans) are
declared ``x`` or ``z`` and rotated, never mirrored.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

AXES = ("y", "z", "x")
_OWN = {
    "y": np.eye(3),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),  # (x, y, z) becomes (x, z, -y)
    "x": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),  # (x, y, z) becomes (-y, x, z)
}


# Most shapes are symmetric left to right, many front to back, few top to bottom, so the skewness is
# largest along the up axis. Measurements: docs/notes/data.md.
_LEAST, _SKEW, _RATIO, _VOTE = 20, 0.3, 2.0, 0.65


def likely_up(shapes: Iterable[NDArray[np.floating]]) -> str:
    """The up axis that the skewness of shapes (n, 3) indicates; "" if that is unclear."""
    found = []
    for points in shapes:
        # One row an axis, and products: means over rows of three numbers, and powers, are slow.
        centred = np.array(points, np.float64).T.copy()
        centred -= centred.mean(1, keepdims=True)
        spread = np.maximum(centred.std(1), 0.02 * np.ptp(centred, 1).max())
        found.append(np.abs((centred * centred * centred).mean(1)) / spread**3)
    if len(found) < _LEAST:
        return ""
    skew = np.stack(found)
    mean, votes = skew.mean(0), np.bincount(skew.argmax(1), minlength=3) / len(skew)
    first = int(mean.argmax())
    clear = mean[first] > max(_SKEW, _RATIO * float(np.sort(mean)[1])) and votes[first] > _VOTE
    return "xyz"[first] if clear else ""


def to_y_up(points: NDArray[np.float64], up: str) -> NDArray[np.float64]:
    """Points or normals (n, 3) of a source with up axis ``up``, rotated to +Y up."""
    return points if up == "y" else points @ _OWN[up].T


def from_y_up(points: NDArray[np.float64], up: str) -> NDArray[np.float64]:
    """The inverse of :func:`to_y_up`."""
    return points if up == "y" else points @ _OWN[up]
