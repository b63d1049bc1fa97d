"""Close small tunnels through a solid on a grid: holes that noise leaves in thin sheets.

A closing by a ball adds the cells that no ball outside reaches. Of these, the connected groups that
raise the Euler characteristic of the solid fill a tunnel and are kept. The others, which only fill
a corner, are not, so edges stay sharp.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.surface_nets import CORNERS

#: Radii of the balls, in cells, one after the other: tunnels up to twice as wide are filled.
RADII = (1.0, 1.5, 2.0, 3.0)
LONGEST = 12  # cells: the gap between two slats, which is longer, stays open
INSIDE = -0.5  # value of cells that are added

Grid = NDArray[np.float32]
Mask = NDArray[np.bool_]


def close_tunnels(values: Grid) -> None:
    """Make values (x, y, z), negative inside, negative in small tunnels too, in place.

    Args:
        values: positive on the border of the grid.
    """
    from scipy import ndimage

    solid = values < 0
    for radius in RADII:
        added = _closed(solid, radius) & ~solid
        groups, count = ndimage.label(added, np.ones((3, 3, 3)))
        fills = _gains(solid, groups, count) > 0
        for number, group in enumerate(ndimage.find_objects(groups)):
            fills[number] &= max(part.stop - part.start for part in group) <= LONGEST
        filled = np.r_[False, fills][groups]
        solid |= filled
        values[filled] = INSIDE


def _gains(solid: Mask, groups: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """How much each group (count,) of cells, numbered from 1, raises the Euler characteristic.

    Groups do not touch, so each corner of cells has at most one of them around it.
    """
    steps = CORNERS @ [groups.shape[1] * groups.shape[2], groups.shape[2], 1]
    corner = np.unique(np.flatnonzero(groups)[:, None] + steps)
    around = corner[:, None] - steps
    before, group = solid.reshape(-1)[around], groups.reshape(-1)[around]
    gain = _shares(before | (group > 0)) - _shares(before)
    return np.bincount(group.max(axis=1), gain, count + 1).astype(np.int64)[1:]


def _shares(around: Mask) -> NDArray[np.int64]:
    """What corners with the solid cells (n, 8) around them add to eight times the characteristic.

    It is vertices - edges + faces - cells of the union of closed cells; an edge belongs to two
    corners, a face to four and a cell to eight.
    """
    cell = around.reshape(-1, 2, 2, 2)
    total = 8 * around.any(axis=1) - around.sum(axis=1)
    for axes in ((2, 3), (1, 3), (1, 2)):
        total -= 4 * cell.any(axis=axes).sum(axis=1)
    for axis in (1, 2, 3):
        total += 2 * cell.any(axis=axis).sum(axis=(1, 2))
    return total


def _closed(solid: Mask, radius: float) -> Mask:
    """Closed by a ball: without what no ball in the air reaches."""
    air = ~_grown(np.pad(solid, 2 * int(radius)), radius)
    return ~_grown(air, radius)


def _grown(solid: Mask, radius: float) -> Mask:
    """Dilated by a ball, less a border of its radius; several times as fast as by SciPy."""
    reach = int(radius)
    size = np.array(solid.shape) - 2 * reach
    rods = [solid[:, :, reach : reach + size[2]]]  # dilated along z, by 0, 1, ... cells
    for far in range(1, reach + 1):
        ends = (solid[:, :, start : start + size[2]] for start in (reach - far, reach + far))
        rods.append(np.logical_or.reduce([rods[-1], *ends]))
    result = np.zeros(size, bool)
    for x, y in product(range(-reach, reach + 1), repeat=2):
        if x * x + y * y <= radius**2:
            rod = rods[int((radius**2 - x * x - y * y) ** 0.5)]
            result |= rod[reach + x : reach + x + size[0], reach + y : reach + y + size[1]]
    return result
