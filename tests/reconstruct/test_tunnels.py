"""Small tunnels through a solid on a grid."""

import numpy as np
import pytest

from pcgen.reconstruct.tunnels import close_tunnels, euler_characteristic


def block(*holes):
    """A sheet of 3 cells in a grid of 30, with holes (x, y, half width, half length)."""
    solid = np.zeros((30, 30, 12), bool)
    solid[3:27, 3:27, 5:8] = True
    for x, y, wide, long in holes:
        solid[x - wide : x + wide, y - long : y + long] = False
    return np.where(solid, -1, 1).astype(np.float32)


@pytest.mark.parametrize("holes", [0, 1, 2])
def test_the_euler_characteristic_is_one_less_the_tunnels(holes):
    solid = block(*[(8, 8, 1, 1), (18, 18, 2, 5)][:holes]) < 0
    assert euler_characteristic(solid) == 1 - holes


def test_a_cavity_adds_one():
    solid = block() < 0
    solid[10, 10, 6] = False
    assert euler_characteristic(solid) == 2


def test_small_holes_are_filled_and_long_or_wide_ones_are_not():
    small, wide, slat = (8, 8, 1, 1), (20, 8, 4, 4), (14, 18, 1, 7)
    values = block(small, wide, slat)
    close_tunnels(values)
    solid, most = values < 0, block(wide, slat) < 0
    assert euler_characteristic(solid) == euler_characteristic(most) == -1
    assert (solid <= most).all()
    assert solid[7:9, 7:9, 6].all()


def test_corners_stay_sharp():
    values = block()
    values[10:13, :, 8:] = np.where(block()[10:13, :, 5:6] < 0, -1, 1)  # a rib on the sheet
    before = values.copy()
    close_tunnels(values)
    assert (values == before).all()
