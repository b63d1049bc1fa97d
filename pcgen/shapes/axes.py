"""Which axis of a source points up, and the way to +Y and back.

A data set stands on the XZ plane with +Y up, as ShapeNet does. Sources that do not say so (STL,
many scans) may be declared ``x`` or ``z``; the way back is a rotation, so nothing is mirrored.
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


# Most shapes are mirrored left and right, many front and back, few top and bottom, so the skewness
# along the axis up is the largest. Of the 22 categories of starter, LDraw and kits, all with Y up,
# none is told to lie (weapons would be with a vote of 0.6, but are only 8). Turned to Z up, lamps,
# tables, trees, vehicles and the starter and kits as a whole are told, seats and LDraw are not.
_LEAST, _SKEW, _RATIO, _VOTE = 20, 0.3, 2.0, 0.65


def likely_up(shapes: Iterable[NDArray[np.floating]]) -> str:
    """The axis that shapes (n, 3) show to point up; "" where that is not clear."""
    found = []
    for points in shapes:
        centred = np.asarray(points, np.float64) - np.mean(points, 0, np.float64)
        spread = np.maximum(centred.std(0), 0.02 * np.ptp(centred, 0).max())
        found.append(np.abs((centred**3).mean(0)) / spread**3)
    if len(found) < _LEAST:
        return ""
    skew = np.stack(found)
    mean, votes = skew.mean(0), np.bincount(skew.argmax(1), minlength=3) / len(skew)
    first = int(mean.argmax())
    clear = mean[first] > max(_SKEW, _RATIO * float(np.sort(mean)[1])) and votes[first] > _VOTE
    return "xyz"[first] if clear else ""


def to_y_up(points: NDArray[np.float64], up: str) -> NDArray[np.float64]:
    """Points or normals (n, 3) of a source whose axis ``up`` points up, with +Y up."""
    return points if up == "y" else points @ _OWN[up].T


def from_y_up(points: NDArray[np.float64], up: str) -> NDArray[np.float64]:
    """The way back from :func:`raised`."""
    return points if up == "y" else points @ _OWN[up]
