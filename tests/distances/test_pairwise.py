"""Distances of pairs agree with SciPy, closed forms and other backends."""

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from pcgen.distances.pairwise import DCD_ALPHA, DISTANCES, estimate_normals, pick_backend
from pcgen.errors import BackendError, InputError
from pcgen.kernels import backends
from tests.evaluate.shapes import surfaces

FAST = [
    name for name in ("native", "kdtree", "dense") if name != "native" or backends.native_usable()
]


def chamfer(x, y):
    table = cdist(x.astype(np.float64), y.astype(np.float64), "sqeuclidean")
    return table.min(1).mean() + table.min(0).mean()


@pytest.mark.parametrize("backend", FAST)
def test_chamfer_is_the_papers_on_every_backend(backend):
    x, y = surfaces(3, 90)[0], surfaces(2, 70, seed=1)[0]
    expected = [[chamfer(a, b) for b in y] for a in x]
    assert np.allclose(DISTANCES["cd"].table(x, y, backend), expected, rtol=1e-6, atol=1e-9)


def test_chamfer_of_a_shifted_point_is_twice_the_square():
    x = np.zeros((1, 1, 3), np.float32)
    assert DISTANCES["cd"].table(x, x + np.float32(0.5), "kdtree").item() == pytest.approx(1.5)


@pytest.mark.parametrize("backend", FAST)
def test_chamfer_far_from_the_origin_keeps_its_digits(backend):
    x, y = surfaces(1, 90)[0], surfaces(1, 70, seed=1)[0]
    x, y = (np.round(cloud * 1024) / 1024 + 1000 for cloud in (x, y))  # exact in float32
    x, y = x.astype(np.float32), y.astype(np.float32)
    value = DISTANCES["cd"].table(x, y, backend).item()
    assert value == pytest.approx(chamfer(x[0], y[0]), rel=1e-6)


def test_exact_emd_is_scipys_assignment():
    x, y = surfaces(1, 50)[0], surfaces(1, 50, seed=1)[0]
    cost = cdist(x[0], y[0])
    expected = cost[linear_sum_assignment(cost)].mean()
    assert DISTANCES["emd_exact"].table(x, y, "pot").item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("backend", FAST)
def test_density_aware_distance_follows_its_formula(backend):
    x, y = surfaces(2, 40)[0] * 0.1, surfaces(2, 60, seed=1)[0] * 0.1

    def side(a, b):
        table = cdist(a.astype(np.float64), b.astype(np.float64), "sqeuclidean")
        index = table.argmin(1)
        terms = []
        for i, j in enumerate(index):
            served = (index == j).sum()
            terms.append(1 - len(b) / len(a) / served * np.exp(-DCD_ALPHA * table[i, j]))
        return np.mean(terms)

    expected = [[(side(a, b) + side(b, a)) / 2 for b in y] for a in x]
    assert np.allclose(DISTANCES["dcd"].table(x, y, backend), expected, rtol=1e-4, atol=1e-6)


def test_density_aware_distance_sees_what_chamfer_does_not():
    x = surfaces(1, 200)[0]
    crowded = np.concatenate([x[:, :100], x[:, :100]], 1)  # half of the places, each twice
    other = surfaces(1, 200, draws=2)[1]
    table = DISTANCES["dcd"].table
    assert table(x, crowded, "kdtree").item() > 0.2
    assert table(x, x, "kdtree").item() == 0
    assert table(x, other, "kdtree").item() <= 1


@pytest.mark.parametrize("backend", FAST)
def test_normals_of_one_sphere_agree_and_of_crossed_planes_do_not(backend):
    sphere = surfaces(1, 400, draws=2)
    sphere /= np.linalg.norm(sphere, axis=-1, keepdims=True)
    both = np.concatenate([sphere, sphere], -1)
    table = DISTANCES["normals"].table
    assert table(both[0], both[0], backend).item() == pytest.approx(0, abs=1e-6)
    assert table(both[0], both[1], backend).item() < 0.02
    plane = np.zeros((1, 20, 6), np.float32)
    plane[..., 3] = 1
    across = plane.copy()
    across[..., 3:] = (0, 1, 0)
    assert table(plane, across, backend).item() == pytest.approx(1)
    assert table(plane, -plane, backend).item() == pytest.approx(0)  # signs do not matter


def test_estimated_normals_of_a_sphere_are_its_radii():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2, 500, 3)).astype(np.float32)
    points /= np.linalg.norm(points, axis=2, keepdims=True)
    agreement = np.abs((estimate_normals(points) * points).sum(2))
    assert agreement.mean() > 0.99


def test_auto_names_the_measured_backend(monkeypatch):
    monkeypatch.setattr(backends, "native_usable", lambda: True)
    assert pick_backend("cd", 2048) == "native"
    assert pick_backend("cd", 15_000) == "kdtree"
    assert pick_backend("emd_pointflow", 15_000) == "native"
    monkeypatch.setattr(backends, "native_usable", lambda: False)
    assert pick_backend("cd", 2048) == "kdtree"
    assert pick_backend("emd_pointflow", 2048) == "dense"
    assert pick_backend("emd_exact", 2048) == "pot"


def test_a_backend_that_a_distance_lacks_is_refused():
    with pytest.raises(BackendError, match="not on 'keops'"):
        pick_backend("emd_pytorchemd", 2048, "keops")
    with pytest.raises(InputError, match="got 'emd'"):
        pick_backend("emd", 2048)


@pytest.mark.slow
@pytest.mark.skipif(not backends.keops_usable(), reason="no compiler")
def test_chamfer_on_keops_is_that_of_the_tree():
    x, y = surfaces(3, 90)[0], surfaces(2, 70, seed=1)[0]
    table = DISTANCES["cd"].table
    assert np.allclose(table(x, y, "keops"), table(x, y, "kdtree"), rtol=1e-5)


@pytest.mark.pytorch3d
@pytest.mark.parametrize("name", ["cd", "dcd", "normals"])
def test_distances_on_pytorch3d_are_those_of_the_reference(name):
    x, y = surfaces(3, 90)[0], surfaces(2, 70, seed=1)[0]
    if DISTANCES[name].channels == 6:
        x, y = (np.concatenate([c, estimate_normals(c)], 2) for c in (x, y))
    table = DISTANCES[name].table
    assert np.allclose(table(x, y, "pytorch3d"), table(x, y, "dense"), rtol=1e-5, atol=1e-7)


def test_no_distance_changes_its_input():
    x = surfaces(2, 30)[0]
    six = np.concatenate([x, x], 2)
    for name, spec in DISTANCES.items():
        clouds = six.copy() if spec.channels == 6 else x.copy()
        before = torch.from_numpy(clouds.copy())
        spec.table(clouds, clouds[::-1], pick_backend(name, 30))
        assert torch.equal(torch.from_numpy(clouds), before)
