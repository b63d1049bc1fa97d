import numpy as np
import pytest
import trimesh

from pcgen.errors import InputError
from pcgen.reconstruct.methods import REMOVED, MeshSettings, reconstruct
from tests.reconstruct.shapes import box, sphere, square, torus


def test_a_sphere_is_one_closed_piece_of_the_right_volume():
    points, normals = sphere(3000)
    result = reconstruct(points, normals)
    report = result.report
    assert (report.watertight, report.manifold, report.components) == (True, True, 1)
    assert report.genus == 0
    assert report.volume == pytest.approx(4 / 3 * np.pi, rel=0.02)
    assert report.area == pytest.approx(4 * np.pi, rel=0.02)
    mesh = trimesh.Trimesh(result.mesh.vertices, result.mesh.faces)
    assert mesh.euler_number == 2
    assert mesh.volume == pytest.approx(report.volume)


def test_two_spheres_are_two_components():
    one, _ = sphere(1200, seed=1)
    two, _ = sphere(1200, seed=2)
    report = reconstruct(np.concatenate([one, two + np.array([4, 0, 0])])).report
    assert report.components == 2
    assert report.manifold


def test_the_mesh_is_in_the_unit_and_place_of_the_points():
    points, normals = sphere(1500)
    near = reconstruct(points, normals)
    far = reconstruct(points * 250 + [1000, -50, 3], normals)
    assert far.report.volume == pytest.approx(near.report.volume * 250**3, rel=1e-3)
    assert far.mesh.vertices.mean(axis=0) == pytest.approx([1000, -50, 3], abs=10)
    assert far.report.f_score == pytest.approx(near.report.f_score, abs=0.01)


def test_the_face_budget_is_kept_and_the_mesh_stays_manifold():
    points, normals = sphere(3000)
    report = reconstruct(points, normals, MeshSettings(faces=500)).report
    assert report.faces <= 520
    assert report.manifold
    assert report.volume == pytest.approx(4 / 3 * np.pi, rel=0.05)


def test_three_points_are_refused_with_the_number_needed():
    with pytest.raises(InputError, match="at least 10 distinct finite points"):
        reconstruct(np.eye(3))


def test_equal_points_are_refused():
    with pytest.raises(InputError, match="got 1 of 500"):
        reconstruct(np.full((500, 3), 7.0))


def test_points_on_a_line_are_refused():
    with pytest.raises(InputError, match="on one line"):
        reconstruct(np.outer(np.linspace(0, 1, 100), [1, 2, 3]))


@pytest.mark.parametrize("tilted", [False, True])
def test_coplanar_points_become_a_plate(tilted):
    points, _ = square(500)
    if tilted:
        points = points @ np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    report = reconstruct(points).report
    assert report.manifold
    assert report.area == pytest.approx(8, rel=0.15)


def test_nan_and_outliers_are_dropped_and_noted():
    points, _ = sphere(2000)
    dirty = np.concatenate([points, [[np.nan, 0, 0], [np.inf, 0, 0], [40, 0, 0], [0, -55, 9]]])
    report = reconstruct(dirty).report
    assert report.notes == (
        "2 points with NaN, infinity or over 1e+30 dropped",
        "2 outliers dropped",
    )
    assert report.volume == pytest.approx(4 / 3 * np.pi, rel=0.05)


@pytest.mark.parametrize("size", [1e-28, 1e-12, 1e12, 1e28])
def test_huge_and_tiny_units_change_nothing(size):
    points, normals = sphere(1500)
    report = reconstruct(points * size, normals).report
    assert (report.watertight, report.manifold, report.genus) == (True, True, 0)
    assert report.volume / size**3 == pytest.approx(4 / 3 * np.pi, rel=0.03)


@pytest.mark.parametrize(("size", "says"), [(1e-200, "at least 2e-30"), (1e200, "over 1e.30")])
def test_units_beyond_those_of_files_are_refused(size, says):
    with pytest.raises(InputError, match=says):
        reconstruct(sphere(1500)[0] * size)


def test_zero_normals_are_replaced_by_estimates_and_noted():
    points, normals = sphere(1500)
    normals[3] = 0
    report = reconstruct(points, normals).report
    assert any("normals are zero or NaN" in note for note in report.notes)
    assert report.volume == pytest.approx(4 / 3 * np.pi, rel=0.05)


@pytest.mark.parametrize(
    "wrong", [{"method": "magic"}, {"faces": 2}, {"thickness": 0.0}, {"thickness": 0.5}]
)
def test_settings_say_what_they_take(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        MeshSettings(**wrong)


@pytest.mark.parametrize("shape", [(100,), (100, 2), (1, 100, 3)])
def test_a_cloud_of_the_wrong_shape_is_refused(shape):
    with pytest.raises(InputError, match="must be"):
        reconstruct(np.zeros(shape))


@pytest.mark.parametrize("method", REMOVED)
def test_removed_methods_are_refused_with_those_that_remain(method):
    with pytest.raises(InputError, match=r"one of auto, implicit, field, got .* was removed"):
        MeshSettings(method=method)


def test_ten_points_make_a_closed_mesh():
    assert reconstruct(sphere(10)[0]).report.watertight


def test_a_torus_has_genus_one():
    points, normals = torus(4000)
    report = reconstruct(points, normals).report
    assert (report.components, report.genus) == (1, 1)
    assert report.volume == pytest.approx(2 * np.pi**2 * 0.4**2, rel=0.03)


def test_the_edges_of_a_box_stay_sharp():
    points, _ = box(3000)
    result = reconstruct(points)
    inside = np.abs(result.mesh.vertices) / [1, 0.6, 0.4]
    assert np.quantile(inside, 0.99) < 1.05  # hardly anything sticks out
    assert result.report.volume == pytest.approx(8 * 0.6 * 0.4, rel=0.03)


def test_an_open_sheet_becomes_a_thin_closed_plate():
    points, _ = square(4000)
    points[:, 2] = 0.1 * np.sin(3 * points[:, 0])
    report = reconstruct(points, None, MeshSettings(thickness=0.01)).report
    assert report.manifold
    assert report.area == pytest.approx(2 * 4, rel=0.15)
    assert 4 * 0.02 < report.volume < 4 * 0.04


def test_noise_of_an_eighth_of_the_spacing_does_not_tear_a_sphere():
    points, _ = sphere(3000)
    points = points + 0.008 * np.random.default_rng(1).normal(size=points.shape)
    report = reconstruct(points).report
    assert report.components == 1
    assert report.volume == pytest.approx(4 / 3 * np.pi, rel=0.05)


def test_a_rod_hardly_thicker_than_the_spacing_of_its_points_is_kept():
    rng = np.random.default_rng(0)
    angle = rng.random(600) * 2 * np.pi
    points = np.stack([rng.uniform(-1, 1, 600), 0.02 * np.cos(angle), 0.02 * np.sin(angle)], 1)
    report = reconstruct(points).report
    assert report.manifold
    assert (report.components, report.genus) == (1, 0)
    assert report.points_to_mesh < 0.01


def test_no_face_crosses_another_even_of_points_on_a_lattice():
    """Lattice points lie four and more in every plane and on every sphere."""
    axis = np.linspace(-1, 1, 9)
    lattice = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    surface = lattice[np.abs(lattice).max(axis=1) == 1]
    report = reconstruct(surface).report
    assert report.manifold
    assert report.crossings == 0
    assert report.volume == pytest.approx(8, rel=0.1)


def test_the_old_name_of_a_method_is_understood():
    with pytest.warns(DeprecationWarning, match="implicit"):
        assert MeshSettings(method="skin").method == "implicit"
