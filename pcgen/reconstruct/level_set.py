"""The zero level set of a function as a closed manifold, evaluated finely only near it.

Marching tetrahedra (Doi and Koide, 1991): the six tetrahedra of each grid cell share their faces
with those of adjacent cells, and each is cut by a plane. So the surface is watertight and manifold
for any function.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

RESOLUTION = 96
"""The default number of cells along an axis."""
LEAST, MOST = 16, 384
COARSER = 4  # size of the first grid's cells, in final cells
BAND = 1.0  # width of the band around the level, in cells, in which a finer grid is evaluated
SLIM = 0.05  # minimum distance of a vertex from the ends of its edge: triangles keep an area


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
    vertices, faces = marching_tetrahedra(values)
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


def marching_tetrahedra(values: NDArray[np.float32]) -> tuple[Points, Faces]:
    """The zero level set of grid values that are positive on the border, in units of cells."""
    shape = np.array(values.shape)
    inside = values < 0
    some, every = inside, inside
    for axis in range(3):
        low, high = slice(None, -1), slice(1, None)
        ahead = [slice(None)] * axis
        some = some[(*ahead, low)] | some[(*ahead, high)]
        every = every[(*ahead, low)] & every[(*ahead, high)]
    cells = np.argwhere(some & ~every)
    stride = np.array([shape[1] * shape[2], shape[2], 1])
    # The corners of a tetrahedron are those of a path along the three axes, in some order.
    walks = [np.cumsum([np.zeros(3, int), *np.eye(3, dtype=int)[list(p)]], 0)
             for p in permutations(range(3))]  # fmt: skip
    corners = (cells @ stride)[:, None, None] + (np.array(walks) @ stride)
    corners = corners.reshape(-1, 4)
    flat, below = values.reshape(-1), inside.reshape(-1)
    within = below[corners]
    number = within.sum(axis=1)
    # Inner corners first; each case gives triangles between inner and outer corners.
    order = np.argsort(~within, axis=1, kind="stable")
    corners = np.take_along_axis(corners, order, 1)
    edges = []
    for wanted, cuts in (
        (1, [((0, 1), (0, 2), (0, 3))]),
        (3, [((0, 3), (1, 3), (2, 3))]),
        (2, [((0, 2), (0, 3), (1, 3)), ((0, 2), (1, 3), (1, 2))]),
    ):
        chosen = corners[number == wanted]
        edges += [chosen[:, list(cut)] for cut in cuts]
    ends = np.concatenate(edges).reshape(-1, 2)
    _, first, index = np.unique(
        ends[:, 0] * len(flat) + ends[:, 1], return_index=True, return_inverse=True
    )
    ends = ends[first]
    start, stop = flat[ends].astype(np.float64).T
    share = np.clip(start / (start - stop), SLIM, 1 - SLIM)[:, None]
    begin, end = (np.stack(np.unravel_index(ends[:, i], values.shape), 1) for i in (0, 1))
    vertices = begin + share * (end - begin)
    faces = index.reshape(-1, 3)
    # Faces are oriented from inner to outer corners of their first and last edge.
    out = (end - begin)[faces].sum(axis=1)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    turned = (np.cross(b - a, c - a) * out).sum(axis=1) < 0
    faces[turned] = faces[turned][:, ::-1]
    return vertices, faces
