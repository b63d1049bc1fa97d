"""Polygons of any number of corners as triangles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def fan(corners: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Triangles (first, i, i + 1) of each polygon, in the order of the polygons.

    Args:
        corners: (sum of sizes,) vertex numbers of all polygons, one after another.
        sizes: (polygons,) corners of each; those with fewer than three are dropped.
    Returns:
        (F, 3) with F = sum of (size - 2) over the rest.
    """
    starts = np.cumsum(sizes) - sizes
    counts = np.maximum(sizes - 2, 0)
    first = np.repeat(starts, counts)
    step = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    return corners[np.stack([first, first + step + 1, first + step + 2], 1)]
