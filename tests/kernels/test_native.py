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
from pcgen.kernels import pooled as pooling

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


@pytest.mark.parametrize("m", [2, 33, 300, 5000])
@pytest.mark.parametrize("k", [2, 7, 40])
def test_several_neighbours_are_scipys_for_any_sizes(m, k):
    x, y = torch.from_numpy(draw(2, 50, 3)), torch.from_numpy(draw(2, m, 3, seed=1))
    k = min(k, m)
    squared, index = kernels.nearest(x, y, k=k, backend="native")
    for row in range(2):
        table = cdist(x[row].double(), y[row].double(), "sqeuclidean")
        assert np.allclose(squared[row], np.sort(table, 1)[:, :k], rtol=1e-5)
        assert (index[row].numpy() == np.argsort(table, 1)[:, :k]).all()


def test_several_neighbours_of_a_flat_cloud_and_far_points_are_scipys():
    x, y = 10 * torch.from_numpy(draw(1, 30, 3)), torch.from_numpy(draw(1, 700, 3, seed=1))
    y[..., 1] = 0
    _, index = kernels.nearest(x, y, k=9, backend="native")
    table = cdist(x[0].double(), y[0].double(), "sqeuclidean")
    assert (index[0].numpy() == np.argsort(table, 1)[:, :9]).all()


def test_the_lowest_indices_win_ties_among_several_neighbours():
    squared, index = kernels.nearest(
        torch.zeros(1, 3, 3), torch.ones(1, 300, 3), k=4, backend="native"
    )
    assert (index == torch.arange(4)).all()
    assert (squared == 3).all()


def test_what_is_no_number_has_no_distance_and_a_valid_index():
    x, y = torch.zeros(1, 2, 3), torch.ones(1, 100, 3)
    x[0, 1], y[0, :98] = torch.nan, torch.nan
    squared, index = kernels.nearest(x, y, k=3, backend="native")
    assert index[0, 0].tolist() == [98, 99, 0]
    assert squared[0, 0, :2].tolist() == [3, 3]
    assert squared[0, 0, 2].isnan()
    assert squared[0, 1].isnan().all()
    assert (index[0, 1] == 0).all()


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
@pytest.mark.parametrize(("n", "m", "levels"), [(1, 1, 0), (5, 8, 3), (64, 64, 4), (1000, 992, 5)])
def test_median_cells_are_those_of_repeated_sorting(n, m, levels, dim, generator):
    along = torch.randn(3, n, dim, generator=generator)
    ranks = torch.linspace(0, n - 1, m).round().long()
    cells = kernels.median_cells(along, ranks, levels, backend="native")
    reference = kernels.median_cells(along, ranks, levels, backend="dense")
    assert torch.equal(cells.sort(2).values, reference.sort(2).values)


def test_median_cells_take_negative_zero_for_zero():
    along = torch.tensor([0.0, -0.0, 0.0, -0.0])[None, :, None]
    cells = kernels.median_cells(along, torch.arange(4), 2, backend="native")
    assert cells.flatten().tolist() == [0, 1, 2, 3]


def test_auto_divides_float32_on_the_cpu_by_the_loops_and_all_else_densely():
    x = torch.zeros(1, 8, 3)
    assert backends.choose_backend("median_cells", x, x, 1) == "native"
    assert backends.choose_backend("median_cells", x.double(), x, 1) == "dense"
    with pytest.raises(BackendError, match="divides float32 on the CPU"):
        kernels.median_cells(x.double(), torch.arange(8), 1, backend="native")


def test_ranks_that_do_not_fill_the_cells_are_refused():
    with pytest.raises(InputError, match="m a multiple of 4"):
        kernels.median_cells(torch.zeros(1, 8, 3), torch.arange(7), 2)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 6, 17), (2, 66, 10, 300)])
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


@pytest.mark.parametrize("table", [(1, 3, 4), (2, 2, 4), (3, 4)])
def test_mean_log_sum_exp_refuses_tables_of_other_sizes(table):
    with pytest.raises(InputError, match=r"features must be \(batch, m, F\)"):
        kernels.mean_log_sum_exp(torch.zeros(2, 5, 3), torch.zeros(*table))


def test_the_lowest_index_wins_a_tie():
    x, y = torch.zeros(1, 5, 3), torch.ones(1, 300, 3)
    assert (kernels.nearest(x, y, backend="native")[1] == 0).all()


@pytest.mark.parametrize("k", [1, 6])
def test_threads_do_not_change_the_nearest_points(monkeypatch, k):
    x, y = torch.from_numpy(draw(5, 90, 3)), torch.from_numpy(draw(5, 80, 3, seed=1))
    alone = kernels.nearest(x, y, k=k, backend="native")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(compiled, "PAIRS_PER_THREAD", 1000)
    together = kernels.nearest(x, y, k=k, backend="native")
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


def test_other_dimensions_are_refused_by_name():
    with pytest.raises(BackendError, match="got 2D"):
        kernels.nearest(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), backend="native")


def test_without_a_compiler_auto_means_another_backend(monkeypatch):
    x = torch.zeros(1, 300, 3)
    assert backends.choose_backend("nearest", x, x, 1) == "native"
    assert backends.choose_backend("nearest", x, x, 24) == "native"
    assert backends.choose_backend("nearest", x, x, 300) == "kdtree"
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


def pooled(batch, k, dim, hidden, features, dtype=torch.float32):
    """Points, weights and a gradient of what they pool."""
    shapes = [(*batch, k, dim), (hidden, dim), (hidden,), (features, hidden), (features,)]
    shapes.append((*batch, features))
    points, *weights, upstream = (
        torch.from_numpy(draw(*shape, seed=seed)).to(dtype) for seed, shape in enumerate(shapes)
    )
    return points, [w.requires_grad_() for w in weights], upstream


def with_gradients(backend, points, weights, upstream):
    value = kernels.pooled_features(points, *weights, backend=backend)
    return [value, *torch.autograd.grad(value, weights, upstream)]


@pytest.mark.parametrize(
    "shape",
    [
        ((3,), 1, 2, 5, 7),
        ((2, 5), 24, 3, 32, 64),
        ((), 9, 1, 1, 1),
        ((2, 2, 2), 8, 4, 17, 33),
        ((0,), 3, 3, 4, 5),
    ],
)
def test_pooled_features_and_their_gradients_are_those_of_dense_float64(shape):
    expected = with_gradients("dense", *pooled(*shape, dtype=torch.float64))
    points, weights, upstream = pooled(*shape)
    for backend in ("native", "dense"):
        found = with_gradients(backend, points, weights, upstream)
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert one.is_contiguous()  # the fused optimiser takes it to be
            assert torch.allclose(one.double(), other, rtol=1e-5, atol=1e-4)


def test_pooled_features_of_strided_arguments_are_the_same():
    points, weights, upstream = pooled((6,), 5, 3, 4, 7)
    expected = with_gradients("native", points, weights, upstream)
    turned = [
        t.detach().mT.contiguous().mT.requires_grad_(t.requires_grad)
        for t in (points, weights[0], weights[2], upstream)
    ]
    assert not any(t.is_contiguous() for t in turned)
    points, weights[0], weights[2], upstream = turned
    found = with_gradients("native", points, weights, upstream)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("backend", ["native", "dense"])
def test_the_first_of_several_maxima_has_the_gradient(backend):
    points, weights, upstream = pooled((3,), 20, 2, 4, 6)
    weights[2].data.zero_()  # so all points have all maxima
    slope = with_gradients(backend, points, weights, upstream)[3]
    hidden = torch.nn.functional.silu(points[:, 0] @ weights[0].T + weights[1])
    assert torch.allclose(slope, upstream.T @ hidden, atol=1e-5)


def test_a_pooled_nan_is_nan():
    points, weights, _ = pooled((3,), 20, 3, 4, 5)
    points[1, 13] = torch.nan
    value = kernels.pooled_features(points, *weights, backend="native")
    assert value[1].isnan().all()
    assert value[[0, 2]].isfinite().all()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_pooled_features_are_the_same_without_a_gradient(mode):
    points, weights, _ = pooled((3,), 6, 3, 4, 5)
    expected = kernels.pooled_features(points, *weights, backend="native")
    frozen = [w.detach() for w in weights] if mode is torch.enable_grad else weights
    with mode():
        value = kernels.pooled_features(points, *frozen, backend="native")
    assert not value.requires_grad
    assert torch.equal(value, expected)


def test_threads_do_not_change_pooled_features(monkeypatch):
    given = pooled((50,), 6, 3, 20, 18)
    alone = with_gradients("native", *given)
    ran = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(compiled, "PAIRS_PER_THREAD", 1000)
    monkeypatch.setattr(pooling, "call", lambda *a: ran.append(a[0]) or compiled.call(*a))
    together = with_gradients("native", *given)
    assert ran == ["pool_table"] * 3 + ["pool_gradient"]
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_auto_pools_float32_on_the_cpu_by_the_loops_and_all_else_densely():
    points, weights, _ = pooled((2,), 3, 3, 4, 5)
    assert backends.choose_backend("pooled_features", points, weights[0], 1) == "native"
    for other in (points.double(), points.to("meta"), points.clone().requires_grad_()):
        cast = [w.to(other) for w in weights]
        assert backends.choose_backend("pooled_features", other, cast[0], 1) == "dense"
        assert kernels.pooled_features(other, *cast).shape == (2, 5)


def test_pooled_features_refuse_what_they_would_round_or_leave_out():
    points, weights, _ = pooled((2,), 3, 3, 4, 5)
    for given in ([points.double(), *weights], [points, *weights[:3], weights[3].double()]):
        with pytest.raises(BackendError, match=r"float32 on the CPU, got torch.float64 on cpu"):
            kernels.pooled_features(*given, backend="native")
    with pytest.raises(BackendError, match="no gradient in the points"):
        kernels.pooled_features(points.requires_grad_(), *weights, backend="native")


def test_pooled_features_of_other_shapes_are_refused():
    points, weights, _ = pooled((2,), 3, 3, 4, 5)
    with pytest.raises(InputError, match=r"w2 \(features, hidden\), got \(4, 3\) and \(4, 5\)"):
        kernels.pooled_features(points, *weights[:2], weights[2].T, weights[3])
    with pytest.raises(InputError, match="k at least 1"):
        kernels.pooled_features(points[:, :0], *weights)


def gaussians(batch, parts, dim=3, dtype=torch.float32):
    """Centres, factors, log-weights, and a gradient of their coefficients."""
    numbers = dim * (dim + 1) // 2 + dim + 1
    shapes = [(batch, parts, dim), (batch, parts, dim, dim), (batch, parts)]
    *given, upstream = (
        torch.from_numpy(draw(*shape, seed=seed)).to(dtype)
        for seed, shape in enumerate([*shapes, (batch, numbers, parts)])
    )
    return [value.requires_grad_() for value in given], upstream


def coefficients_with_gradients(backend, given, upstream, thickness=0.3):
    value = kernels.mixture_coefficients(*given, thickness, backend=backend)
    return [value, *torch.autograd.grad(value, given, upstream)]


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_coefficients_give_the_log_density_of_a_gaussian(dim):
    (centre, factor, log_weight), _ = gaussians(2, 5, dim, torch.float64)
    found = kernels.mixture_coefficients(centre, factor, log_weight, 0.3)
    x = torch.from_numpy(draw(2, 7, dim, seed=9)).double()
    rows, columns = torch.triu_indices(dim, dim)
    features = torch.cat([x[..., rows] * x[..., columns], x, torch.ones(2, 7, 1)], -1)
    covariance = factor @ factor.mT + 0.09 * torch.eye(dim)
    normal = torch.distributions.MultivariateNormal(centre[:, None], covariance[:, None])
    expected = log_weight[:, None] + normal.log_prob(x[:, :, None])
    assert torch.allclose(features @ found, expected, atol=1e-6)


@pytest.mark.parametrize(("batch", "parts"), [(1, 1), (3, 17), (0, 4)])
def test_coefficients_and_their_gradients_are_those_of_dense_float64(batch, parts):
    expected = coefficients_with_gradients("dense", *gaussians(batch, parts, dtype=torch.float64))
    given, upstream = gaussians(batch, parts)
    for backend in ("native", "dense"):
        found = coefficients_with_gradients(backend, given, upstream)
        for one, other in zip(found, expected, strict=True):
            assert one.shape == other.shape
            assert torch.allclose(one.double(), other, rtol=1e-3, atol=1e-3)


def test_coefficients_of_strided_arguments_are_the_same():
    given, upstream = gaussians(4, 6)
    expected = coefficients_with_gradients("native", given, upstream)
    turned = [t.detach().mT.contiguous().mT.requires_grad_() for t in given[:2]]
    assert not any(t.is_contiguous() for t in turned)
    found = coefficients_with_gradients("native", [*turned, given[2]], upstream)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_auto_has_coefficients_of_float32_in_three_dimensions_by_the_loops():
    given, _ = gaussians(2, 3)
    assert backends.choose_backend("mixture_coefficients", *given[:2], 1) == "native"
    for dim, dtype in ((2, torch.float32), (3, torch.float64)):
        other, _ = gaussians(2, 3, dim, dtype)
        assert backends.choose_backend("mixture_coefficients", *other[:2], 1) == "dense"
        with pytest.raises(BackendError, match="use dense"):
            kernels.mixture_coefficients(*other, 0.1, backend="native")


def test_coefficients_of_other_shapes_are_refused():
    (centre, factor, log_weight), _ = gaussians(2, 3)
    with pytest.raises(InputError, match=r"\(2, 3, 3\), \(2, 3, 3, 3\) and \(2, 2\)"):
        kernels.mixture_coefficients(centre, factor, log_weight[:, :2], 0.1)
