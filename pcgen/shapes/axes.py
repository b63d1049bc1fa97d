"""Which axis of a source points up, and the way to +Y and back.

A data set stands on the XZ plane with +Y up, as ShapeNet does. Sources that do not say so (STL,
many scans) may be declared ``x`` or ``z``; the way back is a rotation, so nothing is mirrored.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AXES = ("y", "z", "x")
_OWN = {
    "y": np.eye(3),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),  # (x, y, z) becomes (x, z, -y)
    "x": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),  # (x, y, z) becomes (-y, x, z)
}


def raised(points: NDArray[np.float64], up: str) -> NDArray[np.float64]:
    """Points or normals (n, 3) of a source whose axis ``up`` points up, with +Y up."""
    return points if up == "y" else points @ _OWN[up].T


def lowered(points: NDArray[np.float64], up: str) -> NDArray[np.float64]:
    """The way back from :func:`raised`."""
    return points if up == "y" else points @ _OWN[up]
