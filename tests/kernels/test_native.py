"""The compiled loops agree with SciPy and the dense reference, at sizes that fit no block."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from pcgen import kernels
from pcgen.errors import BackendError, InputError
from pcgen.kernels import backends, compiled, native

pytestmark = pytest.mark.skipif(not compiled.usable(), reason="no C compiler")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def chamfer(x, y):
    table = cdist(x.astype(np.float64), y.astype(np.float64), "sqeuclidean")
    return table.min(1).mean() + table.min(0).mean()


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 5), (4, 64), (65, 63), (130, 257)])
def test_chamfer_table_equals_scipy_for_any_sizes(n, m):
    x, y = draw(3, n, 3), draw(2, m, 3, seed=1)
    expected = [[chamfer(a, b) for b in y] for a in x]
    table = native.chamfer_table(native.prepare(x), native.prepare(y))
    assert np.allclose(table, expected, rtol=1e-6)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 3), (66, 129), (200, 64)])
def test_nearest_is_scipys_for_any_sizes(n, m):
    x, y = torch.from_numpy(draw(2, n, 3)), torch.from_numpy(draw(2, m, 3, seed=1))
    squared, index = kernels.nearest(x, y, backend="native")
    for row in range(2):
        table = cdist(x[row].double(), y[row].double(), "sqeuclidean")
        assert np.allclose(squared[row, :, 0], table.min(1), rtol=1e-5)
        assert (index[row, :, 0].numpy() == table.argmin(1)).all()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 6, 17), (2, 66, 10, 256)])
def test_mean_log_sum_exp_and_its_gradient_are_autograds(shape):
    batch, m, few, many = shape
    features = torch.from_numpy(draw(batch, m, few)).double()
    table = torch.from_numpy(draw(batch, few, many, seed=1)).double().mul_(5).requires_grad_()
    expected = torch.logsumexp(features @ table, 2).mean(1)
    (slope,) = torch.autograd.grad(expected.sum(), table)
    for backend in ("native", "dense"):
        value, gradient = kernels.mean_log_sum_exp(
            features.float(), table.detach().float(), backend=backend
        )
        assert torch.allclose(value.double(), expected, rtol=1e-5, atol=1e-5)
        assert torch.allclose(gradient.double(), slope, atol=1e-5)


def test_mean_log_sum_exp_refuses_what_it_would_round():
    with pytest.raises(BackendError, match="float32"):
        kernels.mean_log_sum_exp(
            torch.zeros(1, 2, 3).double(), torch.zeros(1, 3, 4).double(), backend="native"
        )


def test_the_lowest_index_wins_a_tie():
    x, y = torch.zeros(1, 5, 3), torch.ones(1, 300, 3)
    assert (kernels.nearest(x, y, backend="native")[1] == 0).all()


def test_threads_do_not_change_the_nearest_points(monkeypatch):
    x, y = torch.from_numpy(draw(5, 90, 3)), torch.from_numpy(draw(5, 80, 3, seed=1))
    alone = kernels.nearest(x, y, backend="native")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(compiled, "PAIRS_PER_THREAD", 1000)
    together = kernels.nearest(x, y, backend="native")
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_search_finds_the_nearest_cloud_in_any_order():
    x, y = draw(6, 70, 3), draw(40, 90, 3, seed=1)
    y += np.linspace(0, 3, 40, dtype=np.float32)[:, None, None]
    first, second = native.prepare(x), native.prepare(y)
    table = native.chamfer_table(first, second)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(40)
        for row in range(6):
            found = native.chamfer_search(first[row], second, order)
            assert found.argmin() == table[row].argmin()
            assert found.min() == table[row].min()
            assert (found <= table[row]).all()
            limit = float(np.median(table[row]))
            within = native.chamfer_search(first[row], second, order, limit)
            assert within.argmin() == table[row].argmin()
            assert within.min() == table[row].min()
            none = native.chamfer_search(first[row], second, order, 0.9 * table[row].min())
            assert (none > 0.9 * table[row].min()).all()


def test_more_neighbours_or_other_dimensions_are_refused_by_name():
    with pytest.raises(BackendError, match="k = 2 in 3D"):
        kernels.nearest(torch.zeros(1, 4, 3), torch.zeros(1, 4, 3), k=2, backend="native")
    with pytest.raises(BackendError, match="in 2D"):
        kernels.nearest(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), backend="native")


def test_without_a_compiler_auto_means_another_backend(monkeypatch):
    x = torch.zeros(1, 300, 3)
    assert backends.choose_backend("nearest", x, x, 1) == "native"
    monkeypatch.setattr(compiled, "usable", lambda: False)
    assert backends.choose_backend("nearest", x, x, 1) == "kdtree"


def test_without_a_compiler_native_by_name_says_what_to_install():
    code = (
        "from pcgen.kernels import compiled\n"
        "compiled._compiler = lambda: None\n"
        "try: compiled.library()\n"
        "except Exception as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "install gcc or clang" in done.stdout


def test_a_broken_compiler_is_quoted(monkeypatch, tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'fatal: no such luck' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PCGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(compiled, "_compiler", lambda: str(compiler))
    with pytest.raises(BackendError, match="no such luck"):
        compiled.library.__wrapped__()
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_loading_the_loops_leaves_denormal_numbers_alone():
    compiled.library()
    assert np.float32(1e-40) * np.float32(0.5) > 0


@pytest.mark.parametrize(("atoms", "r"), [(1, 1), (17, 2), (300, 4), (1100, 3)])
@pytest.mark.parametrize("epsilon", [0.0, 0.05, 2.0])
def test_redrawn_cells_equal_the_dense_reference(atoms, r, epsilon):
    x, points = (torch.from_numpy(draw(n, 6, seed=n)) for n in (9, atoms))
    given = {
        "slopes": torch.from_numpy(draw(2, r, atoms)),
        "moves": torch.from_numpy(draw(9, 2, 4, r, seed=3)),
        "importance": torch.from_numpy(draw(atoms, seed=4)).abs(),
    }
    offset = torch.from_numpy(draw(atoms, seed=5))
    ours, reference = (
        kernels.redrawn_cells(x, points, offset, epsilon, **given, backend=name)
        for name in ("native", "dense")
    )
    assert torch.allclose(ours[0], reference[0], atol=2e-3)  # the window of a softmax
    assert ours[1] == pytest.approx(reference[1], rel=2e-3)
    assert ours[0].sum().item() == pytest.approx(9, rel=1e-5)


def test_redrawn_cells_are_the_mean_of_sixteen_plain_ones():
    x, atoms = torch.from_numpy(draw(5, 3)), torch.from_numpy(draw(40, 7))
    moves = torch.from_numpy(draw(5, 2, 4, 2, seed=2))
    slopes = atoms[:, :4].T.reshape(2, 2, 40).contiguous()
    mass, square = kernels.redrawn_cells(
        x,
        atoms[:, 4:].contiguous(),
        torch.zeros(40),
        0.0,
        slopes=slopes,
        moves=moves,
        importance=torch.ones(40),
    )
    share = torch.zeros(5, 40)
    for a in range(4):
        for b in range(4):
            whole = torch.cat([moves[:, 0, a], moves[:, 1, b], x], 1)
            _, cell = kernels.best_cells(whole, atoms, torch.zeros(40))
            share.scatter_add_(1, cell, torch.full((5, 1), 1 / 16))
    assert torch.allclose(mass, share.sum(0).double(), atol=1e-6)
    assert square == pytest.approx(share.square().sum().item(), rel=1e-5)


def test_redrawn_cells_of_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"moves \(batch, 2, 4, r\)"):
        kernels.redrawn_cells(
            torch.zeros(5, 3),
            torch.zeros(4, 3),
            torch.zeros(4),
            0.1,
            slopes=torch.zeros(2, 2, 4),
            moves=torch.zeros(5, 2, 4, 1),
            importance=torch.ones(4),
        )
