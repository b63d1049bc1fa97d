"""Mirror images of the points of symmetric shapes."""

import numpy as np
import pytest

from pcgen.reconstruct.cloud import prepare_cloud
from pcgen.reconstruct.methods import MeshSettings, reconstruct
from pcgen.reconstruct.mirror_images import MOST, with_mirror_images
from pcgen.reconstruct.report import distance_to_mesh
from tests.reconstruct.shapes import box, noisy, unsigned


def wedge(count=9000, seed=0, lean=0.0):
    """A noisy block whose top falls along z, and rises along x by ``lean``: else symmetric in x."""
    points, normals = box(count, seed=seed)
    top = points[:, 1] > 0
    points[top, 1] *= 1 + 0.8 * points[top, 2] + lean * points[top, 0]
    return noisy(points, 0.25), unsigned(normals, 10)


def test_images_are_added_along_axes_of_symmetry_alone():
    points, normals = wedge()
    cloud = prepare_cloud(points, normals)
    found = with_mirror_images(cloud)
    count = len(cloud.points)
    assert len(found.points) == 2 * count
    assert found.notes == ("symmetric along x: mirror images of the points were added",)
    assert np.allclose(found.points[count:, 1:], cloud.points[:, 1:])
    assert np.ptp(found.points[count:, 0] + cloud.points[:, 0]) < 1e-9
    assert np.allclose(found.normals[count:], cloud.normals * [-1, 1, 1])


@pytest.mark.parametrize("lean", [0.25, -0.25])
def test_a_shape_that_leans_is_left_as_it_is(lean):
    cloud = prepare_cloud(*wedge(lean=lean))
    assert with_mirror_images(cloud) is cloud


def test_a_plane_is_where_most_points_match():
    points, normals = wedge()
    side = points[:, 0] > 0.97
    points[side & (points[:, 2] > 0.3), 0] += 0.1  # what sticks out on one side
    cloud = prepare_cloud(points, normals)
    found = with_mirror_images(cloud)
    count = len(cloud.points)
    middle = (found.points[count:, 0] + cloud.points[:, 0])[0] / 2 * cloud.scale + cloud.centre[0]
    assert abs(middle) < 0.01


def test_a_box_has_no_more_points_than_are_useful():
    points, normals = box(12000)
    cloud = with_mirror_images(prepare_cloud(noisy(points, 0.25), unsigned(normals, 10)))
    assert "along x and y and z" in cloud.notes[0]
    assert len(cloud.points) == len(cloud.normals) == MOST


def test_a_mesh_is_nearer_to_a_symmetric_shape_with_images_than_without():
    points, normals = wedge()
    clean, _ = wedge_surface()
    away = {}
    for symmetry in (True, False):
        found = reconstruct(points, normals, MeshSettings(method="implicit", symmetry=symmetry))
        off = distance_to_mesh(clean, found.mesh.vertices, found.mesh.faces)
        away[symmetry] = np.median(off)  # away from edges
        assert bool(found.report.notes) == symmetry
    assert away[True] < 0.97 * away[False]


def wedge_surface(count=4000):
    points, normals = box(count, seed=7)
    top = points[:, 1] > 0
    points[top, 1] *= 1 + 0.8 * points[top, 2]
    return points, normals


def test_clean_points_get_no_mirror_images():
    assert reconstruct(*box(6000)).report.notes == ()
