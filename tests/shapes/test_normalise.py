"""Frames follow their definitions, and can be inverted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pcgen.errors import InputError
from pcgen.shapes.normalise import box_frame, cube_frame, global_frame

CLOUDS = hnp.arrays(np.float64, (3, 6, 3), elements=st.floats(-1e3, 1e3, width=32)).filter(
    lambda points: (np.ptp(points, 1).max(1) > 1e-3).all()
)


@given(CLOUDS)
def test_every_frame_is_undone_by_restore(points):
    for make in (box_frame, cube_frame, global_frame):
        frame = make(points)
        assert np.allclose(frame.restore(frame.apply(points)), points, atol=1e-6)


@given(CLOUDS)
def test_box_frame_fills_the_cube_along_the_longest_side(points):
    inside = box_frame(points).apply(points)
    assert np.allclose((inside.max(1) + inside.min(1)) / 2, 0, atol=1e-6)
    assert np.allclose(np.ptp(inside, 1).max(1), 2, atol=1e-6)


def test_global_frame_is_the_flat_mean_and_std_of_pointflow():
    points = np.random.default_rng(0).normal(size=(7, 50, 3)) * 3 + [1, 5, -2]
    frame = global_frame(points, count=2)
    assert frame.centre.shape == (2, 3)
    assert np.allclose(frame.centre, points.reshape(-1, 3).mean(0))
    assert np.allclose(frame.scale, points.reshape(-1).std())


def test_a_shape_without_extent_cannot_be_normalised():
    for make in (box_frame, global_frame):
        with pytest.raises(InputError, match="no extent"):
            make(np.zeros((1, 4, 3)))
    with pytest.raises(InputError, match="count, n, dim"):
        box_frame(np.zeros((4, 3)))
