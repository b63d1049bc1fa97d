"""Close small tunnels through a solid on a grid: holes that noise leaves in thin sheets.

A closing by a ball adds the cells that no ball outside reaches. Of these, the connected groups that
raise the Euler characteristic of the solid fill a tunnel and are kept. The others, which only fill
a corner, are not, so edges stay sharp.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Radii of the balls, in cells, one after the other: tunnels up to twice as wide are filled.
RADII = (1.0, 1.5, 2.0, 3.0)
LONGEST = 12  # cells: the gap between two slats, which is longer, stays open
INSIDE = -0.5  # value of cells that are added

Grid = NDArray[np.float32]
Mask = NDArray[np.bool_]


def close_tunnels(values: Grid) -> None:
    """Make values (x, y, z), negative inside, negative in small tunnels too, in place."""
    from scipy import ndimage

    solid = values < 0
    for radius in RADII:
        added = _closed(solid, radius) & ~solid
        groups, _ = ndimage.label(added, np.ones((3, 3, 3)))
        for number, group in enumerate(ndimage.find_objects(groups), 1):
            if max(part.stop - part.start for part in group) > LONGEST:
                continue
            around = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in group)
            here, plug = solid[around], groups[around] == number
            if euler_characteristic(here | plug) > euler_characteristic(here):
                here |= plug
                values[around][plug] = INSIDE


def euler_characteristic(solid: Mask) -> int:
    """Vertices − edges + faces − cells of the union of closed cells, as seen from inside the grid.

    Cells on the border of the grid count as if they went on; what a change within the grid adds to
    the characteristic is exact.
    """
    total = -int(solid.sum())
    for axes, sign in (((0,), 1), ((1,), 1), ((2,), 1), ((0, 1), -1), ((0, 2), -1), ((1, 2), -1),
                       ((0, 1, 2), 1)):  # fmt: skip
        touched = solid
        for axis in axes:
            low, high = (
                touched[(slice(None),) * axis + (part,)] for part in (slice(-1), slice(1, None))
            )
            touched = low | high
        total += sign * int(touched.sum())
    return total


def _closed(solid: Mask, radius: float) -> Mask:
    from scipy import ndimage

    reach = int(np.ceil(radius))
    steps = np.arange(-reach, reach + 1) ** 2
    ball = steps[:, None, None] + steps[:, None] + steps <= radius**2
    padded = np.pad(solid, reach)
    found = ndimage.binary_erosion(ndimage.binary_dilation(padded, ball), ball)
    inner = slice(reach, -reach)
    return np.asarray(found[inner, inner, inner])
