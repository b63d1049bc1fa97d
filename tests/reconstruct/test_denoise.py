"""Noise and unfit normals, as generators give them."""

from dataclasses import replace

import numpy as np
import pytest

from pcgen.reconstruct.cloud import prepare_cloud
from pcgen.reconstruct.denoise import denoise
from pcgen.reconstruct.facets import planar_facets
from pcgen.reconstruct.methods import MeshSettings, reconstruct
from pcgen.reconstruct.report import distance_to_mesh
from pcgen.reconstruct.topology import topology
from pcgen.reconstruct.watertight import close
from tests.reconstruct.shapes import box, sphere, torus, tube


def noisy(points, share, seed=1):
    """Points moved by ``share`` of their spacing."""
    spacing = prepare_cloud(points).spacing * np.ptp(points, axis=0).max() / 2
    return points + share * spacing * np.random.default_rng(seed).normal(size=points.shape)


@pytest.mark.parametrize("shape", [sphere, box, torus])
def test_points_of_a_surface_stay_as_they_are(shape):
    points, normals = shape(2048)
    for given in (normals, None):
        cloud = prepare_cloud(points, given)
        same = denoise(cloud)
        assert same.points is cloud.points
        assert same.normals is cloud.normals
        assert same.notes == ()


def test_a_noisy_sphere_is_one_smooth_piece():
    points, _ = sphere(6000)
    report = reconstruct(noisy(points, 0.4), None, MeshSettings(method="facets")).report
    assert any("smoothed" in note for note in report.notes)
    assert report.points == 6000
    assert (report.components, report.genus) == (1, 0)
    assert report.volume == pytest.approx(4 / 3 * np.pi, rel=0.06)
    assert report.area == pytest.approx(4 * np.pi, rel=0.06)  # splinters have several times that


def test_a_noisy_box_keeps_its_flat_sides():
    points = noisy(box(6000)[0], 0.4)
    mesh = reconstruct(points, None, MeshSettings(method="facets")).mesh
    off = lambda places: np.median(np.abs(np.abs(places) - [1.0, 0.6, 0.4]).min(axis=1))  # noqa: E731
    assert off(mesh.vertices) < 0.6 * off(points)


def test_normals_that_do_not_fit_the_points_are_not_used():
    points, _ = box(2048)
    random = np.random.default_rng(0).normal(size=points.shape)
    report = reconstruct(points, random).report
    assert any("do not fit" in note for note in report.notes)
    assert report.volume == pytest.approx(8 * 0.6 * 0.4, rel=0.03)
    assert report.f_score == pytest.approx(reconstruct(points).report.f_score, abs=0.01)


def tilted(normals, degrees, seed=2):
    """Normals turned by about so many degrees, and every other one around."""
    rng = np.random.default_rng(seed)
    turned = normals + np.tan(np.radians(degrees)) * rng.normal(size=normals.shape) / np.sqrt(2)
    turned *= rng.choice([-1.0, 1.0], len(turned))[:, None]
    return turned / np.linalg.norm(turned, axis=1, keepdims=True)


def test_less_noise_is_smoothed_where_normals_say_whose_it_is():
    """0.042 spacings off their planes: with normals a generated cloud, without them a shape."""
    points, normals = box(6000)
    points = noisy(points, 0.115)
    assert not denoise(prepare_cloud(points)).noisy
    assert denoise(prepare_cloud(points, tilted(normals, 15))).noisy


def test_predicted_normals_make_the_mesh_of_a_noisy_cloud_better():
    """As a run gives them: noisy points, normals of any sign and right to some degrees."""
    points, normals = box(2048)
    cloud = noisy(points, 0.4)
    own = lambda mesh: distance_to_mesh(points, mesh.vertices, mesh.faces)  # noqa: E731
    reports, off = [], []
    for given in (None, tilted(normals, 15)):
        made = reconstruct(cloud, given, MeshSettings(method="facets"))
        reports.append(made.report)
        off.append(np.mean(own(made.mesh)))
    assert off[1] < 0.8 * off[0]
    assert reports[1].volume == pytest.approx(8 * 0.6 * 0.4, rel=0.05)
    assert not any("do not fit" in note for note in reports[1].notes)
    assert reports[1].watertight
    assert reports[1].manifold


@pytest.mark.parametrize("kind", ["random", "equal"])
def test_normals_that_do_not_fit_noisy_points_are_not_used(kind):
    points = noisy(box(2048)[0], 0.4)
    wrong = np.random.default_rng(0).normal(size=points.shape)
    if kind == "equal":
        wrong = np.tile([0.6, 0.64, 0.48], (len(points), 1))
    calm = denoise(prepare_cloud(points, wrong))
    assert calm.planes is None
    assert any("do not fit" in note for note in calm.notes)


def test_what_noise_tears_in_a_thin_wall_is_closed():
    """Where the points were noisy, and only there: a sharp cloud may mean its small holes."""
    points, normals = tube(2048)
    cloud = prepare_cloud(noisy(points, 0.3))
    genus = []
    for torn in (False, True):
        noted = replace(cloud, planes=tilted(normals, 25), noisy=torn, joggle=0.0)
        genus.append(topology(*close(*planar_facets(noted), 0.008, full=torn)).genus)
    assert genus[0] > 3
    assert genus[1] == 1
