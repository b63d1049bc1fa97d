"""Simplify meshes for display by clustering vertices on a grid. Exports are never simplified."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Faces = NDArray[np.int64]


def simplify(vertices: Array, faces: Faces, limit: int) -> tuple[Array, Faces, NDArray[np.int64]]:
    """Merge the vertices of each cell of a grid that is coarse enough for ``limit`` faces.

    Args:
        vertices: (v, 3); faces: (f, 3); limit: largest number of faces of the result, at least 1.
    Returns:
        vertices (w, 3), faces (g, 3) without collapsed ones, and the old index of each new vertex.
    """
    if len(faces) <= limit:
        return vertices, faces, np.arange(len(vertices))
    mask = np.zeros(len(vertices), bool)
    mask[faces] = True
    used = np.flatnonzero(mask)
    low = vertices[used].min(0)
    extent = float(np.ptp(vertices[used], axis=0).max()) or 1.0
    # A surface crosses about cells² cells of a cells³ grid, two faces each.
    cells = max(2, int(np.sqrt(limit)))
    while True:
        kept, cluster = _cluster(vertices[used], low, extent / cells)
        renamed = np.full(len(vertices), -1)
        renamed[used] = cluster
        merged = renamed[faces]
        a, b, c = merged.T
        merged = merged[(a != b) & (b != c) & (c != a)]
        _, first = np.unique(np.sort(merged, axis=1), axis=0, return_index=True)
        merged = merged[np.sort(first)]
        if len(merged) <= limit or cells <= 2:
            break
        cells = max(2, int(cells * 0.9 * np.sqrt(limit / len(merged))))
    return vertices[used[kept]], merged[:limit], used[kept]


def _cluster(points: Array, low: Array, cell: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The representative of each occupied cell, and the cell of each point."""
    place = np.floor((points - low) / cell).astype(np.int64)
    span = place.max(0) + 1
    code = (place[:, 0] * span[1] + place[:, 1]) * span[2] + place[:, 2]
    _, cluster = np.unique(code, return_inverse=True)
    cluster = cluster.reshape(-1)
    count = np.bincount(cluster)
    mean = np.stack([np.bincount(cluster, points[:, k]) for k in range(3)], 1) / count[:, None]
    apart = np.linalg.norm(points - mean[cluster], axis=1)
    order = np.lexsort((apart, cluster))
    first = np.concatenate([[True], np.diff(cluster[order]) > 0])
    return order[first], cluster
