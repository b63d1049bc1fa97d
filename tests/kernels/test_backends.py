"""Every backend agrees with the dense reference, and the reference with SciPy."""

import importlib.util

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from pcgen import kernels
from pcgen.errors import BackendError, InputError
from pcgen.kernels.backends import keops_usable, native_usable

keops = pytest.param(
    "keops", marks=[pytest.mark.slow, pytest.mark.skipif(not keops_usable(), reason="no compiler")]
)
native = pytest.param("native", marks=pytest.mark.skipif(not native_usable(), reason="no compiler"))
torch3d = pytest.param("pytorch3d", marks=pytest.mark.pytorch3d)


def clouds(n, m, dim=3, batch=2, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(batch, n, dim, generator=draw), torch.randn(batch, m, dim, generator=draw)


def test_dense_nearest_equals_scipy_distances():
    x, y = clouds(40, 30)
    squared, index = kernels.nearest(x, y, k=4, backend="dense")
    for row in range(2):
        table = cdist(x[row].numpy(), y[row].numpy(), "sqeuclidean")
        assert np.allclose(np.sort(table, 1)[:, :4], squared[row], atol=1e-5)
        assert (np.argsort(table, 1)[:, :4] == index[row].numpy()).all()


@pytest.mark.parametrize("backend", ["kdtree", native, keops, torch3d])
@pytest.mark.parametrize("k", [1, 5])
def test_nearest_is_the_same_on_every_backend(backend, k):
    x, y = clouds(300, 200)
    reference, index = kernels.nearest(x, y, k=k, backend="dense")
    squared, other = kernels.nearest(x, y, k=k, backend=backend)
    assert squared.shape == (2, 300, k)
    assert torch.allclose(squared, reference, atol=1e-5)
    assert (index == other).float().mean() > 0.999


@pytest.mark.parametrize("backend", ["dense", "kdtree", native, keops, torch3d])
def test_chamfer_and_its_gradient_are_the_same_on_every_backend(backend):
    x, y = (cloud.requires_grad_() for cloud in clouds(50, 60))
    value = kernels.chamfer(x, y, backend=backend)
    value.sum().backward()
    table = torch.cdist(x.detach().double(), y.detach().double()).square()
    index_y, index_x = table.argmin(2), table.argmin(1)
    a, b = x.detach().double().requires_grad_(), y.detach().double().requires_grad_()
    rows = torch.arange(2)[:, None]
    there = (a - b[rows, index_y]).square().sum(-1).mean(-1)
    back = (b - a[rows, index_x]).square().sum(-1).mean(-1)
    (there + back).sum().backward()
    assert torch.allclose(value.detach().double(), (there + back).detach(), atol=1e-6)
    assert torch.allclose(x.grad.double(), a.grad, atol=1e-6)
    assert torch.allclose(y.grad.double(), b.grad, atol=1e-6)


def test_chamfer_of_a_cloud_with_itself_is_zero():
    x, _ = clouds(64, 1)
    assert torch.equal(kernels.chamfer(x, x), torch.zeros(2))


@pytest.mark.parametrize("backend", ["dense", keops])
@pytest.mark.parametrize("k", [1, 3])
def test_best_cells_are_the_largest_affine_scores(backend, k, generator):
    x = torch.randn(70, 6, generator=generator)
    atoms, offset = torch.randn(90, 6, generator=generator), torch.randn(90, generator=generator)
    scores, index = kernels.best_cells(x, atoms, offset, k=k, backend=backend)
    expected = (x @ atoms.T + offset).topk(k, dim=1)
    assert torch.allclose(scores, expected.values, atol=1e-5)
    assert torch.equal(index, expected.indices)


def test_best_cells_does_not_depend_on_the_block_size(generator, monkeypatch):
    x = torch.randn(20, 4, generator=generator)
    atoms, offset = torch.randn(101, 4, generator=generator), torch.zeros(101)
    whole = kernels.best_cells(x, atoms, offset, k=5, backend="dense")
    monkeypatch.setattr("pcgen.kernels.dense.BLOCK_ENTRIES", 200)
    monkeypatch.setattr("pcgen.kernels.dense.CACHE_ENTRIES", 200)
    for columns in (1, 40, 1024):
        monkeypatch.setattr("pcgen.kernels.dense.COLUMNS", columns)
        blocked = kernels.best_cells(x, atoms, offset, k=5, backend="dense")
        assert torch.equal(whole[1], blocked[1])


@pytest.mark.parametrize("count", [10, 20_000])
def test_no_points_have_no_best_cells(count):
    atoms = torch.zeros(count, 4)
    values, indices = kernels.best_cells(
        torch.zeros(0, 4), atoms, torch.zeros(count), k=2, backend="dense"
    )
    assert values.shape == indices.shape == (0, 2)


@pytest.mark.parametrize("backend", ["dense", keops])
@pytest.mark.parametrize("epsilon", [0.01, 3.0])
def test_soft_cells_are_a_softmax_of_the_scores(backend, epsilon, generator):
    x = torch.randn(70, 6, generator=generator)
    atoms, offset = torch.randn(90, 6, generator=generator), torch.randn(90, generator=generator)
    values, mass = kernels.soft_cells(x, atoms, offset, epsilon, backend=backend)
    scores = (x.double() @ atoms.double().T + offset.double()) / epsilon
    assert torch.allclose(values.double(), epsilon * scores.logsumexp(1), atol=1e-4)
    assert torch.allclose(mass, scores.softmax(1).sum(0), atol=1e-3)
    assert mass.sum().item() == pytest.approx(70, abs=1e-4)


def test_soft_cells_do_not_depend_on_the_block_size(generator, monkeypatch):
    x, atoms = torch.randn(50, 4, generator=generator), torch.randn(101, 4, generator=generator)
    whole = kernels.soft_cells(x, atoms, torch.zeros(101), 0.5, backend="dense")
    monkeypatch.setattr("pcgen.kernels.dense.CACHE_ENTRIES", 200)
    blocked = kernels.soft_cells(x, atoms, torch.zeros(101), 0.5, backend="dense")
    assert torch.allclose(whole[1], blocked[1], atol=1e-5)
    assert torch.allclose(whole[0], blocked[0], atol=1e-5)


def test_a_missing_batch_axis_is_explained():
    with pytest.raises(InputError, match=r"add a batch axis"):
        kernels.nearest(torch.zeros(5, 3), torch.zeros(5, 3))


def test_an_unknown_backend_is_named():
    with pytest.raises(InputError, match="got 'cuda'"):
        kernels.nearest(*clouds(3, 3), backend="cuda")


@pytest.mark.skipif(importlib.util.find_spec("pytorch3d") is not None, reason="it is installed")
def test_a_missing_backend_names_its_extra():
    from pcgen.errors import MissingPackage

    with pytest.raises(MissingPackage, match=r"pcgen\[pytorch3d\]"):
        kernels.nearest(*clouds(3, 3), backend="pytorch3d")


@pytest.mark.parametrize("backend", ["kdtree", "native"])
def test_an_operation_that_a_backend_lacks_is_refused(backend):
    x = torch.zeros(2, 3)
    with pytest.raises(BackendError, match=f"the {backend} backend has no soft_cells"):
        kernels.soft_cells(x, x, torch.zeros(2), 0.1, backend=backend)
