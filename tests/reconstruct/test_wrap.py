"""A closed surface over noisy points, with gaps and thin parts as generators leave them."""

import numpy as np
import pytest

from pcgen.errors import MeshError
from pcgen.reconstruct import wrap as module
from pcgen.reconstruct.cloud import prepare_cloud
from pcgen.reconstruct.methods import AUTO_OF_NOISY, MeshSettings, reconstruct
from tests.reconstruct.shapes import box, square
from tests.reconstruct.test_denoise import noisy

VOLUME = 8 * 0.6 * 0.4


def gapped(count=6000, radius=0.16):
    """A noisy box with a round gap in each of its two largest faces."""
    points, normals = box(count)
    off = np.linalg.norm(points[:, :2] - [0.3, 0.1], axis=1)
    kept = (off > radius) | (np.abs(points[:, 2]) < 0.4)
    return noisy(points[kept], 0.25), normals[kept]


def test_gaps_of_a_noisy_box_are_sealed():
    report = reconstruct(*gapped()).report
    assert report.method == "wrap"
    assert report.components == 1
    assert report.volume == pytest.approx(VOLUME, rel=0.05)
    assert report.manifold
    assert report.crossings == 0


def test_without_gates_the_gaps_of_a_box_stay(monkeypatch):
    """The case is one that needs them."""
    monkeypatch.setattr(module, "SEALED", module.SEALED._replace(gate=0.0))
    assert reconstruct(*gapped()).report.volume < 0.2 * VOLUME


def test_a_real_opening_stays_open():
    points, normals = box(6000)
    off = np.linalg.norm(points[:, :2], axis=1)
    open_ = (off > 0.5) | (points[:, 2] < 0.39)
    report = reconstruct(noisy(points[open_], 0.25), normals[open_]).report
    assert report.method == "wrap"
    assert report.volume < 0.6 * VOLUME


def test_thin_noisy_legs_stay_in_one_piece():
    rng = np.random.default_rng(0)
    top, up = box(9000, half=(1.0, 0.05, 0.6))
    legs = []
    for x, z in ((-0.9, -0.5), (-0.9, 0.5), (0.9, -0.5), (0.9, 0.5)):
        angle = rng.uniform(0, 2 * np.pi, 600)
        ring = 0.03 * np.c_[np.cos(angle), np.zeros(600), np.sin(angle)]
        legs.append(ring + np.c_[np.full(600, x), rng.uniform(-1.2, 0, 600), np.full(600, z)])
    points = noisy(np.concatenate([top, *legs]), 0.15)
    outward = np.concatenate([up, *[leg - leg.mean(0) * [1, 0, 1] for leg in legs]])
    outward[9000:, 1] = 0
    report = reconstruct(points, outward, MeshSettings(method="wrap")).report
    assert report.method == "wrap"
    assert report.components == 1
    assert report.points_to_mesh < 0.02


def test_noisy_points_that_cannot_be_wrapped_get_facets(monkeypatch):
    def nothing(cloud):
        return cloud.points, np.zeros((0, 3), np.int64)

    from pcgen.reconstruct.methods import METHODS

    monkeypatch.setitem(METHODS, "wrap", nothing)
    assert reconstruct(*gapped()).report.method == AUTO_OF_NOISY[1]


def test_points_of_one_plane_cannot_be_wrapped():
    with pytest.raises(MeshError, match="use method facets"):
        reconstruct(square(500)[0], None, MeshSettings(method="wrap"))


def test_points_without_noise_can_be_wrapped_too():
    points, normals = box(3000)
    assert not prepare_cloud(points).noisy
    report = reconstruct(points, normals, MeshSettings(method="wrap")).report
    assert report.volume == pytest.approx(VOLUME, rel=0.05)
    assert report.manifold
    assert report.crossings == 0


def leaves(count=1000, each=3):
    """Small round sheets at random, without normals."""
    rng = np.random.default_rng(0)
    middles = rng.uniform(-1, 1, (count, 1, 3))
    axes = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0][:, :2]
    radius, angle = (
        0.1 * np.sqrt(rng.random((count, each, 1))),
        rng.uniform(0, 2 * np.pi, (count, each, 1)),
    )
    flat = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=2)
    return (middles + flat @ axes).reshape(-1, 3)


def test_foliage_without_normals_is_not_wrapped():
    report = reconstruct(leaves()).report
    assert any("smoothed" in note for note in report.notes)
    assert report.candidates["wrap"] < report.candidates["facets"]
    assert report.method == "facets"
