"""Small tunnels through a solid on a grid."""

from itertools import product

import numpy as np
from scipy import ndimage

from pcgen.reconstruct.surface_nets import surface_nets
from pcgen.reconstruct.tunnels import _gains, close_tunnels


def block(*holes):
    """A sheet of 3 cells in a grid of 30, with holes (x, y, half width, half length)."""
    solid = np.zeros((30, 30, 12), bool)
    solid[3:27, 3:27, 5:8] = True
    for x, y, wide, long in holes:
        solid[x - wide : x + wide, y - long : y + long] = False
    return np.where(solid, -1, 1).astype(np.float32)


def tunnels(solid):
    """Tunnels less cavities of one solid, from the Euler characteristic of its surface."""
    vertices, faces = surface_nets(np.where(solid, -1.0, 1.0))
    return 1 - (len(vertices) - len(faces) // 2) // 2


def brute_force(solid):
    """The Euler characteristic of the union of closed cells: vertices, edges, faces, cells."""
    solid, total = np.pad(solid, 1), 0
    for axes in product((False, True), repeat=3):
        touched = solid
        for axis in np.flatnonzero(axes):
            touched = touched.take(range(1, touched.shape[axis]), axis) | touched.take(
                range(touched.shape[axis] - 1), axis
            )
        total += (-1) ** (3 - sum(axes)) * int(touched.sum())
    return total


def test_gains_are_those_of_counting_the_cells_of_every_kind():
    random = np.random.default_rng(0)
    solid = np.pad(random.random((14, 15, 16)) < 0.5, 2)
    added = np.pad(random.random((14, 15, 16)) < 0.03, 2) & ~solid
    groups, count = ndimage.label(added, np.ones((3, 3, 3)))
    expected = [
        brute_force(solid | (groups == number)) - brute_force(solid)
        for number in range(1, count + 1)
    ]
    assert len(set(expected)) > 3
    assert (_gains(solid, groups, count) == 8 * np.array(expected)).all()


def test_small_holes_are_filled_and_long_or_wide_ones_are_not():
    small, wide, slat = (8, 8, 1, 1), (20, 8, 4, 4), (14, 18, 1, 7)
    values = block(small, wide, slat)
    close_tunnels(values)
    solid, most = values < 0, block(wide, slat) < 0
    assert tunnels(solid) == tunnels(most) == 2
    assert (solid <= most).all()
    assert solid[7:9, 7:9, 6].all()


def test_corners_stay_sharp():
    values = block()
    values[10:13, :, 8:] = np.where(block()[10:13, :, 5:6] < 0, -1, 1)  # a rib on the sheet
    before = values.copy()
    close_tunnels(values)
    assert (values == before).all()
