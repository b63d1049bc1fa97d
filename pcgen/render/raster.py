"""Rasterise discs and triangles in numpy: find the nearest primitive of every pixel.

Primitives become fragments, and each pixel keeps the smallest 64-bit key: an ordered depth in the
high half, the index of the primitive in the low half. So the result does not depend on the order of
primitives or on threads; of equal depths, the lower index wins.

The depth value must be affine on the screen and increase away from the eye: the depth for a
parallel projection, ``-1/depth`` for a perspective one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
BLOCK_FRAGMENTS = 2_000_000
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Hits:
    """The nearest primitive of each pixel.

    Attributes:
        primitive: (height, width) int64, its index, -1 for none.
        value: (height, width) float32, its depth value, +inf for none.
    """

    primitive: NDArray[np.int64]
    value: NDArray[np.float32]


def discs(
    x: Array, y: Array, value: Array, radius: Array, bulge: Array, size: tuple[int, int]
) -> Hits:
    """Rasterise discs that bulge towards the eye like balls.

    Args:
        x, y, radius: (n,) in pixels; a smaller disc still fills the pixel of its centre.
        value: (n,) depth value of the disc; bulge: (n,) its decrease at the centre.
        size: (height, width).
    """
    height, width = size
    keys = np.full(height * width, EMPTY)
    reach = np.ceil(radius + 0.5).astype(np.int64)
    for step in np.unique(reach):
        offset = np.arange(-step, step + 1)
        dy, dx = (grid.ravel() for grid in np.meshgrid(offset, offset, indexing="ij"))
        members = np.flatnonzero(reach == step)
        block = max(1, BLOCK_FRAGMENTS // len(dx))
        for start in range(0, len(members), block):
            index = members[start : start + block]
            column = np.floor(x[index]).astype(np.int64)[:, None] + dx
            row = np.floor(y[index]).astype(np.int64)[:, None] + dy
            apart = (column + 0.5 - x[index, None]) ** 2 + (row + 0.5 - y[index, None]) ** 2
            apart /= np.maximum(radius[index, None], 0.71) ** 2  # at least the pixel it is in
            inside = (apart <= 1) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
            which, _ = np.nonzero(inside)
            near = value[index][which] - bulge[index][which] * np.sqrt(1 - apart[inside])
            _keep_nearest(keys, (row * width + column)[inside], near, index[which])
    return _hits(keys, size)


def triangles(
    x: Array, y: Array, value: Array, faces: NDArray[np.int64], size: tuple[int, int]
) -> Hits:
    """Rasterise triangles by rows: the pixel centres between their crossings with each row.

    Args:
        x, y, value: (v,) of the vertices; faces: (f, 3).
    """
    height, width = size
    keys = np.full(height * width, EMPTY)
    x, y, value = x[faces.T], y[faces.T], value[faces.T]  # one row a corner, which is quicker
    low = np.ceil(y.min(0) - 0.5).clip(0, height).astype(np.int64)
    high = np.ceil(y.max(0) - 0.5).clip(0, height).astype(np.int64)
    rows = np.maximum(high - low, 0)
    wide = np.ptp(x, axis=0).clip(0, width) + 2
    cost = np.cumsum(rows * wide)
    cuts = np.searchsorted(cost, np.arange(1, cost[-1] // BLOCK_FRAGMENTS + 2) * BLOCK_FRAGMENTS)
    bounds = np.unique(np.concatenate([[0], np.minimum(cuts + 1, len(faces)), [len(faces)]]))
    for start, stop in itertools.pairwise(bounds):
        block = np.arange(start, stop)[rows[start:stop] > 0]
        if not len(block):
            continue
        slope_x, slope_y, constant, usable = _planes(x[:, block], y[:, block], value[:, block])
        block = block[usable]
        which, line = _expand(low[block], rows[block])
        owner = block[which]
        left, right = _crossings(x[:, owner], y[:, owner], line.astype(np.float64) + 0.5)
        first = np.ceil(left - 0.5).clip(0, width).astype(np.int64)
        last = np.ceil(right - 0.5).clip(0, width).astype(np.int64)
        span, column = _expand(first, np.maximum(last - first, 0))
        owner, line = which[span], line[span]
        near = constant[owner] + slope_x[owner] * (column + 0.5) + slope_y[owner] * (line + 0.5)
        _keep_nearest(keys, line * width + column, near, block[owner])
    return _hits(keys, size)


def _planes(x: Array, y: Array, value: Array) -> tuple[Array, ...]:
    """The affine depth function of each triangle (3, f); degenerate ones are dropped."""
    ux, uy, vx, vy = x[1] - x[0], y[1] - y[0], x[2] - x[0], y[2] - y[0]
    area = ux * vy - uy * vx
    usable = np.abs(area) > 1e-9
    area = np.where(usable, area, 1.0)
    du, dv = value[1] - value[0], value[2] - value[0]
    slope_x, slope_y = (du * vy - dv * uy) / area, (dv * ux - du * vx) / area
    constant = value[0] - slope_x * x[0] - slope_y * y[0]
    return slope_x[usable], slope_y[usable], constant[usable], usable


def _expand(first: NDArray[np.int64], count: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """All (i, first_i + 0 .. count_i - 1), as two flat arrays."""
    owner = np.repeat(np.arange(len(count)), count)
    start = np.cumsum(count) - count
    return owner, first[owner] + np.arange(len(owner)) - start[owner]


def _crossings(x: Array, y: Array, line: Array) -> tuple[Array, Array]:
    """Where horizontal lines (n,) enter and leave their triangles (3, n)."""
    left, right = np.full(len(line), np.inf), np.full(len(line), -np.inf)
    below = y <= line
    for i, j in ((0, 1), (1, 2), (2, 0)):
        crosses = below[i] != below[j]
        rise = np.where(crosses, y[j] - y[i], 1.0)
        at = x[i] + (line - y[i]) / rise * (x[j] - x[i])
        left = np.where(crosses, np.minimum(left, at), left)
        right = np.where(crosses, np.maximum(right, at), right)
    missed = right < left
    return np.where(missed, 0.0, left), np.where(missed, 0.0, right)


def _keep_nearest(
    keys: NDArray[np.uint64], pixel: NDArray[np.int64], value: Array, primitive: NDArray[np.int64]
) -> None:
    bits = np.ascontiguousarray(value, dtype=np.float32).view(np.uint32)
    # Flip IEEE bits so that unsigned order equals float order, also for negative values.
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000))
    packed = (ordered.astype(np.uint64) << np.uint64(32)) | primitive.astype(np.uint64)
    np.minimum.at(keys, pixel, packed)


def _hits(keys: NDArray[np.uint64], size: tuple[int, int]) -> Hits:
    empty = keys == EMPTY
    primitive = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    ordered = (keys >> np.uint64(32)).astype(np.uint32)
    bits = np.where(ordered >> 31, ordered & np.uint32(0x7FFFFFFF), ~ordered)
    value = bits.astype(np.uint32).view(np.float32)
    return Hits(
        np.where(empty, -1, primitive).reshape(size),
        np.where(empty, np.float32(np.inf), value).reshape(size),
    )
