"""The camera: known directions, and the shape fits the picture."""

import numpy as np
import pytest

from pcgen.errors import InputError
from pcgen.render.camera import MARGIN, fit, orbit_axes


def test_azimuth_and_elevation_point_where_they_say():
    assert np.allclose(orbit_axes(0, 0)[2], [0, 0, 1])
    assert np.allclose(orbit_axes(90, 0)[2], [1, 0, 0])
    assert np.allclose(orbit_axes(0, 90)[2], [0, 1, 0])
    assert np.allclose(orbit_axes(0, 0)[0], [1, 0, 0])


@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (35, 22), (200, -40), (77, 89)])
def test_axes_are_a_right_handed_frame_with_up_on_top(azimuth, elevation):
    axes = orbit_axes(azimuth, elevation)
    assert np.allclose(axes @ axes.T, np.eye(3))
    assert np.isclose(np.linalg.det(axes), 1)
    assert axes[1, 1] >= 0


@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.0])
def test_the_frame_holds_every_point_and_is_filled(aspect):
    points = np.random.default_rng(0).normal(size=(400, 3)) * [1, 2, 0.3] + 5
    width, height = int(600 * aspect), 600
    camera = fit(points, 35, 22, aspect=aspect)[0]
    x, y, depth = camera.project(points, width, height)
    filled = max(np.abs(2 * x / width - 1).max(), np.abs(2 * y / height - 1).max())
    assert (depth > 0).all()
    assert 0.93 * MARGIN < filled <= MARGIN + 1e-9


def test_a_turntable_keeps_one_distance_that_holds_every_view():
    points = np.random.default_rng(1).normal(size=(300, 3)) * [3, 1, 0.2]
    cameras = fit(points, np.arange(0, 360, 30.0), 20)
    assert len({camera.distance for camera in cameras}) == 1
    for camera in cameras:
        x, y, _ = camera.project(points, 100, 100)
        assert x.min() >= 0
        assert x.max() <= 100
        assert y.min() >= 0
        assert y.max() <= 100


def test_a_far_outlier_does_not_shrink_the_shape(sphere_points):
    lone = np.concatenate([sphere_points, [[500.0, 0, 0]]])
    assert fit(lone)[0].distance == pytest.approx(fit(sphere_points)[0].distance, rel=1e-6)


def test_rays_go_back_through_the_pixels_they_came_from():
    points = np.random.default_rng(2).normal(size=(50, 3))
    camera = fit(points, 50, 10)[0]
    x, y, depth = camera.project(points, 320, 200)
    assert np.allclose(camera.eye + depth[:, None] * camera.rays(x, y, 320, 200), points)


def test_angles_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="finite degrees"):
        orbit_axes(float("nan"), 0)
