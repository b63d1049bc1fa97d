"""The zero level set of a function as a closed manifold, evaluated finely only near it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.reconstruct.surface_nets import surface_nets

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

RESOLUTION = 128
"""The default number of cells along an axis."""
LEAST, MOST = 16, 384
COARSER = 4  # size of the first grid's cells, in final cells
BAND = 1.0  # width of the band around the level, in cells, in which a finer grid is evaluated


def check_resolution(resolution: int) -> int:
    """The number of cells along an axis, a multiple of ``COARSER``.

    Raises:
        InputError: it is out of range.
    """
    if not LEAST <= resolution <= MOST:
        raise InputError(
            f"resolution must be from {LEAST} to {MOST} cells along an axis, got {resolution}; "
            f"{RESOLUTION} is the default, time grows with its square and memory with its cube"
        )
    return -COARSER * (-resolution // COARSER)


def level_set(
    function: Callable[[Points], Points], half: float, cells: int
) -> tuple[Points, Faces, int]:
    """The zero level set of ``function`` in the cube [-half, half]³, closed at its boundary.

    Args:
        function: maps positions (n, 3) to values (n,), negative inside.
        cells: along an axis, a multiple of 4. Memory is about 40 bytes per cell.
    Returns:
        vertices (V, 3), faces (F, 3) with outward normals, and the number of evaluations.
    """
    values, count = _values(function, half, cells)
    for side in (values, values.transpose(1, 0, 2), values.transpose(2, 0, 1)):
        side[[0, -1]] = np.maximum(side[[0, -1]], half / cells)
    vertices, faces = surface_nets(values)
    return vertices * (2 * half / cells) - half, faces, count


def _values(
    function: Callable[[Points], Points], half: float, cells: int
) -> tuple[NDArray[np.float32], int]:
    """Values (cells + 1,)³ of the function near its level, interpolated elsewhere."""
    now = cells // COARSER
    axis = np.linspace(-half, half, now + 1)
    nodes = np.indices((now + 1,) * 3).reshape(3, -1).T
    values = np.asarray(function(axis[nodes]), np.float32).reshape((now + 1,) * 3)
    count = len(nodes)
    while now < cells:
        now *= 2
        values = _doubled(values)
        axis = np.linspace(-half, half, now + 1)
        nodes = np.argwhere(np.abs(values) < BAND * 3**0.5 * 2 * half / now)
        nodes = nodes[(nodes % 2).any(axis=1)]
        values[tuple(nodes.T)] = function(axis[nodes])
        count += len(nodes)
    return values, count


def _doubled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Double the resolution by linear interpolation along each axis."""
    for axis in range(3):
        old = np.moveaxis(values, axis, 0)
        new = np.empty((2 * len(old) - 1, *old.shape[1:]), old.dtype)
        new[::2], new[1::2] = old, (old[1:] + old[:-1]) / 2
        values = np.moveaxis(new, 0, axis)
    return np.ascontiguousarray(values)
