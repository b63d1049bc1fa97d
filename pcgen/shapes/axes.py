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


def seems_turned(points: NDArray[np.floating], others: NDArray[np.floating]) -> str:
    """The axis of one set (N, P, 3) that seems to be Y of another (M, P, 3); "" if all is well.

    Told by the mean sizes of the shapes along their axes: with Y and another axis exchanged, they
    must fit at least four times as well as they stand.
    """
    one, other = (np.ptp(s, axis=1).mean(0) for s in (points, others))
    one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
    here = float(np.abs(one - other).max())
    orders = {"z": [0, 2, 1], "x": [1, 0, 2]}
    apart = {axis: float(np.abs(one[order] - other).max()) for axis, order in orders.items()}
    best = min(apart, key=lambda axis: apart[axis])
    return best if here > 0.15 and apart[best] < here / 4 else ""
