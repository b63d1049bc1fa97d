import numpy as np
import pytest

from pcgen.reconstruct.cloud import prepare_cloud
from pcgen.reconstruct.creases import find_creases
from pcgen.reconstruct.planes import estimate_normals, noise_width, orient_normals, settle
from tests.reconstruct.shapes import box, sphere


def test_normals_of_a_box_stay_those_of_its_faces_up_to_the_edges():
    points, normals = box(3000)
    cloud = prepare_cloud(points)
    found = estimate_normals(cloud.points, cloud.spacing)
    assert (np.abs((found * normals).sum(axis=1)) > 0.99).mean() > 0.93


def test_creases_of_a_box_lie_on_its_edges_and_corners():
    points, normals = box(3000)
    cloud = prepare_cloud(points)
    creases = find_creases(cloud.points, normals, cloud.spacing, 0.05 * cloud.spacing)
    off = np.sort(np.abs(np.abs(creases.points) - [1, 0.6, 0.4]), axis=1)
    assert len(creases.points) > 100
    assert off[:, 1].max() < 1e-9  # two coordinates of an edge point are those of the edge
    at_corner = (off < 1e-9).all(axis=1)
    assert len(np.unique(np.round(creases.points[at_corner], 6), axis=0)) >= 6  # of the 8 corners


def test_a_sphere_has_no_creases():
    points, normals = sphere(3000)
    cloud = prepare_cloud(points)
    assert not len(find_creases(cloud.points, normals, cloud.spacing, 0.05).points)


def test_noise_is_measured_and_settled():
    points, normals = sphere(4000)
    noisy = points + 0.015 * np.random.default_rng(9).normal(size=points.shape)
    spacing = prepare_cloud(noisy).spacing
    width = noise_width(noisy, normals, spacing)
    assert noise_width(points, normals, spacing) < width
    settled = settle(noisy, normals, spacing, width)
    error = [np.abs(np.linalg.norm(p, axis=1) - 1).mean() for p in (noisy, settled)]
    assert error[1] < 0.7 * error[0]


def test_noise_free_points_of_a_box_stay_where_they_are():
    points, normals = box(2000)
    width = noise_width(points, normals, 0.09)
    assert settle(points, normals, 0.09, width) is points


@pytest.mark.parametrize("seed", range(3))
def test_oriented_normals_of_a_sphere_point_outwards(seed):
    points, normals = sphere(1000, seed)
    cloud = prepare_cloud(points)
    turned = orient_normals(cloud.points, estimate_normals(cloud.points, cloud.spacing))
    assert ((turned * normals).sum(axis=1) > 0).mean() > 0.99
