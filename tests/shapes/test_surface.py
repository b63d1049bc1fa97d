"""Surface sampling agrees with areas, closed forms and the uniform distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pcgen.errors import InputError, MeshError
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.surface import sample_surface
from tests.shapes.small_shapes import box_mesh


def draw(seed=0):
    return np.random.default_rng(seed)


def test_every_face_is_drawn_in_proportion_to_its_area(box):
    points, normals = sample_surface(box, 60_000, draw())
    side = np.abs(normals).argmax(1)
    shares = np.bincount(side, minlength=3) / len(points)
    # sides across x have 1 × 0.5, across y 2 × 0.5, across z 2 × 1; four standard deviations
    assert np.allclose(shares, [1 / 7, 2 / 7, 4 / 7], atol=4 * np.sqrt(0.25 / 60_000))


def test_points_lie_on_the_surface_and_normals_across_it(box):
    points, normals = sample_surface(box, 500, draw())
    half = np.array([1, 0.5, 0.25])
    inside = (points - [3, -1, 10]) / half
    side = np.abs(inside).argmax(1)
    assert np.allclose(np.abs(inside).max(1), 1)
    outward = np.eye(3)[side] * np.sign(inside)
    assert np.allclose(normals, outward, atol=1e-12)


def test_draws_inside_a_triangle_are_uniform():
    mesh = Mesh(np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float), np.array([[0, 1, 2]]))
    points, _ = sample_surface(mesh, 40_000, draw())
    # Moments of the uniform law on the triangle: E x = 1/3, E x² = 1/6, E xy = 1/12.
    x, y = points[:, 0], points[:, 1]
    assert np.allclose(
        [x.mean(), (x * x).mean(), (x * y).mean()], [1 / 3, 1 / 6, 1 / 12], atol=5e-3
    )
    assert (x + y <= 1 + 1e-12).all()


def test_equal_generators_give_equal_points(box):
    one, two = sample_surface(box, 50, draw(4)), sample_surface(box, 50, draw(4))
    assert np.array_equal(one[0], two[0])
    assert not np.array_equal(one[0], sample_surface(box, 50, draw(5))[0])


@given(st.integers(-120, 120))
def test_scale_changes_nothing_but_scale(power):
    box = box_mesh(centre=(0, 0, 0))
    scale = 2.0**power
    points, normals = sample_surface(Mesh(box.vertices * scale, box.faces), 30, draw())
    plain, same = sample_surface(box, 30, draw())
    assert np.allclose(points / scale, plain, rtol=1e-12)
    assert np.allclose(normals, same)


def test_degenerate_and_doubled_faces_do_no_harm(box):
    degenerate = np.array([[0, 0, 0], [1, 1, 2]])
    faces = np.concatenate([degenerate, box.faces, box.faces[:, ::-1], degenerate])
    points, normals = sample_surface(Mesh(box.vertices, faces), 4000, draw())
    assert np.isfinite(points).all()
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    assert 0.4 < (normals[:, 2] > 0.5).sum() / (np.abs(normals[:, 2]) > 0.5).sum() < 0.6


def test_a_mesh_without_surface_is_refused():
    with pytest.raises(MeshError, match="zero"):
        sample_surface(Mesh(np.eye(3), np.array([[0, 1, 1]])), 5, draw())
    with pytest.raises(MeshError, match="extent"):
        sample_surface(Mesh(np.ones((3, 3)), np.array([[0, 1, 2]])), 5, draw())
    with pytest.raises(InputError, match="at least 1"):
        sample_surface(box_mesh(), 0, draw())
