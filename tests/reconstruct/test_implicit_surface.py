"""An implicit surface around points: noisy or clean, with gaps, thin parts and open sheets."""

import numpy as np
import pytest
import trimesh

from pcgen.reconstruct.cloud import prepare_cloud
from pcgen.reconstruct.flatten import flattened
from pcgen.reconstruct.implicit_surface import CLEAN, NOISY
from pcgen.reconstruct.methods import MeshSettings, reconstruct
from pcgen.reconstruct.normals import with_normals
from pcgen.reconstruct.report import distance_to_mesh
from pcgen.reconstruct.self_intersections import crossing_faces
from tests.reconstruct.shapes import box, noisy, sphere, square, torus, tube, unsigned

VOLUME = 8 * 0.6 * 0.4


def gapped(count=16000, radius=0.06):
    """A noisy box with a round gap in each of its two largest faces."""
    points, normals = box(count)
    off = np.linalg.norm(points[:, :2] - [0.3, 0.1], axis=1)
    kept = (off > radius) | (np.abs(points[:, 2]) < 0.4)
    return noisy(points[kept], 0.3), unsigned(normals[kept])


def test_gaps_of_a_noisy_box_are_sealed_and_noise_is_averaged_out():
    points, normals = gapped()
    found = reconstruct(points, normals)
    assert found.report.method == "implicit"
    assert (found.report.components, found.report.genus) == (1, 0)
    assert found.report.manifold
    assert found.report.volume == pytest.approx(VOLUME, rel=0.05)
    clean, _ = box(4000, seed=5)
    of_points = np.abs(np.abs(points) - [1, 0.6, 0.4]).min(axis=1).mean()
    of_mesh = distance_to_mesh(clean, found.mesh.vertices, found.mesh.faces).mean()
    assert of_mesh < 0.7 * of_points


def test_a_real_opening_stays_open():
    points, normals = box(16000)
    open_ = (np.linalg.norm(points[:, :2], axis=1) > 0.5) | (points[:, 2] < 0.39)
    report = reconstruct(noisy(points[open_], 0.25), unsigned(normals[open_])).report
    assert report.method == "implicit"
    assert report.components == 1
    assert report.volume < 0.6 * VOLUME


@pytest.mark.parametrize("shape", [sphere, box, torus])
@pytest.mark.parametrize("given", [False, True])
def test_samples_of_surfaces_are_clean_and_scattered_ones_noisy(shape, given):
    points, normals = shape(2048)
    known = normals if given else None
    assert with_normals(prepare_cloud(points, known)).noise < CLEAN
    assert with_normals(prepare_cloud(noisy(points, 0.3), known)).noise > NOISY


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["random", "equal", "tilted"])
def test_normals_are_used_if_they_fit_the_points(share, kind):
    points, normals = box(4096)
    wrong = {
        "random": np.random.default_rng(0).normal(size=points.shape),
        "equal": np.tile([0.6, 0.64, 0.48], (len(points), 1)),
        "tilted": unsigned(normals),
    }[kind]
    cloud = prepare_cloud(noisy(points, share), wrong)
    found = with_normals(cloud)
    assert (found.normals is cloud.normals) == (kind == "tilted")
    assert any("do not fit" in note for note in found.notes) == (kind != "tilted")


def test_clean_points_keep_detail_that_noise_would_hide():
    points, _ = box(3000)
    clean, blurred = (reconstruct(places).mesh for places in (points, noisy(points, 0.1, seed=4)))
    off = [distance_to_mesh(points, mesh.vertices, mesh.faces).mean() for mesh in (clean, blurred)]
    assert off[0] < 0.005
    assert off[0] < off[1] / 2


@pytest.mark.parametrize("count", [2048, 16000])
def test_an_open_tube_of_clean_points_becomes_a_thin_wall(count):
    report = reconstruct(tube(count)[0]).report
    assert report.manifold
    assert report.components == 1
    assert report.genus < 60  # of one sheet without sides, hundreds
    assert report.area == pytest.approx(4 * np.pi, rel=0.15)  # of both sides
    assert 0 < report.volume < 0.4


def test_the_thickness_of_a_sheet_is_at_least_what_is_asked_for():
    points, _ = square(16000)
    thin, thick = (
        reconstruct(points, None, MeshSettings(thickness=share)).report.volume / 4
        for share in (0.004, 0.03)
    )
    assert 0.008 < thin < 0.03
    assert thick == pytest.approx(0.06, rel=0.15)


def test_fewer_cells_are_coarser():
    points, normals = gapped()
    few, many = (
        reconstruct(points, normals, MeshSettings(method="implicit", resolution=cells)).report
        for cells in (24, 64)
    )
    assert few.faces < many.faces / 3
    assert few.points_to_mesh > many.points_to_mesh


def test_points_without_normals_get_a_skin_when_asked_for():
    points, _ = box(3000)
    assert prepare_cloud(points).normals is None
    report = reconstruct(points, None, MeshSettings(method="implicit", resolution=48)).report
    assert (report.components, report.genus) == (1, 0)
    assert report.volume == pytest.approx(VOLUME, rel=0.08)


def test_flattening_makes_no_faces_of_near_walls_cross():
    shells, count = [], 0
    for radius, level in ((1.0, 3), (1.05, 4)):
        sphere = trimesh.creation.icosphere(level)
        wave = radius + 0.1 * np.sin(8 * sphere.vertices).prod(axis=1, keepdims=True)
        shells.append((sphere.vertices * wave, sphere.faces + count))
        count += len(sphere.vertices)
    vertices, faces = (np.concatenate(part) for part in zip(*shells, strict=True))
    assert not len(crossing_faces(vertices, faces))
    assert not len(crossing_faces(flattened(vertices, faces).astype(float), faces))


def test_a_face_without_area_moves_no_vertex_to_nan():
    sphere = trimesh.creation.icosphere(2)
    vertices, faces = np.array(sphere.vertices), np.array(sphere.faces, np.int64)
    vertices[faces[0, 2]] = vertices[faces[0, 1]]
    assert np.isfinite(flattened(vertices, faces)).all()
