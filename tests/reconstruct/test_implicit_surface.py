"""An implicit surface through many noisy points, with gaps, thin parts and normals of any sign."""

import numpy as np
import pytest

from pcgen.errors import InputError
from pcgen.reconstruct.cloud import prepare_cloud
from pcgen.reconstruct.denoise import noisy_with_normals
from pcgen.reconstruct.methods import MeshSettings, reconstruct
from pcgen.reconstruct.report import distance_to_mesh
from tests.reconstruct.shapes import box, square
from tests.reconstruct.test_denoise import noisy

VOLUME = 8 * 0.6 * 0.4


def unsigned(normals, degrees=25, seed=3):
    """As a run predicts them: of any sign, and tilted by some degrees."""
    rng = np.random.default_rng(seed)
    tilted = normals + np.tan(np.radians(degrees)) / 2**0.5 * rng.normal(size=normals.shape)
    tilted /= np.linalg.norm(tilted, axis=1, keepdims=True)
    return tilted * rng.choice([-1.0, 1.0], (len(normals), 1))


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


def test_it_is_for_many_noisy_points_with_normals_that_fit():
    sharp, normals = box(9000)
    scattered = noisy(sharp, 0.3)
    random = np.random.default_rng(2).normal(size=normals.shape)

    def fit(points, normals):
        return noisy_with_normals(prepare_cloud(points, normals))

    assert fit(scattered, unsigned(normals))
    assert not fit(sharp, normals)
    assert not fit(sharp, unsigned(normals))
    assert not fit(scattered, random)
    assert not fit(scattered, None)
    assert not fit(scattered[:7000], unsigned(normals)[:7000])


def test_fewer_cells_are_coarser():
    points, normals = gapped()
    few, many = (
        reconstruct(points, normals, MeshSettings(method="implicit", resolution=cells)).report
        for cells in (24, 64)
    )
    assert few.faces < many.faces / 3
    assert few.points_to_mesh > many.points_to_mesh


def test_what_cannot_have_a_skin_is_refused():
    with pytest.raises(InputError, match="use method facets"):
        reconstruct(square(500)[0], None, MeshSettings(method="implicit"))


def test_points_without_normals_get_a_skin_when_asked_for():
    points, _ = box(3000)
    assert prepare_cloud(points).normals is None
    report = reconstruct(points, None, MeshSettings(method="implicit", resolution=48)).report
    assert (report.components, report.genus) == (1, 0)
    assert report.volume == pytest.approx(VOLUME, rel=0.08)
