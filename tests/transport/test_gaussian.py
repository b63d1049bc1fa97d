"""The Bures map agrees with the closed form, POT, and itself at low rank."""

import numpy as np
import ot
import pytest
import torch
from scipy.linalg import sqrtm

from pcgen.errors import InputError, TransportError
from pcgen.transport.gaussian import GaussianMap, GaussianMeasure, bures_squared


def covariance(dim, rank=None, seed=0):
    factor = np.random.default_rng(seed).normal(size=(dim, rank or dim))
    return factor @ factor.T


@pytest.mark.parametrize("dim", [1, 3, 64])
def test_the_map_meets_the_closed_form_and_pot(dim):
    s0, s1 = covariance(dim, seed=1) + np.eye(dim), covariance(dim, seed=2)
    m0, m1 = np.random.default_rng(3).normal(size=(2, dim))
    source, target = GaussianMeasure.of_covariance(m0, s0), GaussianMeasure.of_covariance(m1, s1)
    root = np.real(sqrtm(s0))
    closed = np.linalg.inv(root) @ np.real(sqrtm(root @ s1 @ root)) @ np.linalg.inv(root)
    matrix = GaussianMap(source, target).matrix.numpy()
    assert np.allclose(matrix, closed, atol=1e-8 * np.abs(closed).max())
    assert np.allclose(matrix @ s0 @ matrix, s1, atol=1e-8 * np.abs(s1).max())
    expected = ot.gaussian.bures_wasserstein_distance(m0, m1, s0, s1) ** 2
    assert bures_squared(source, target) == pytest.approx(expected, rel=1e-8)


def test_low_rank_equals_full_rank_with_far_fewer_numbers():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(50, 8))
    f0, f1 = torch.from_numpy(shared), torch.from_numpy(shared @ rng.normal(size=(8, 5)))
    source, target = GaussianMeasure(torch.zeros(50), f0), GaussianMeasure(torch.ones(50), f1)
    transport = GaussianMap(source, target)
    x = source.sample(100, torch.Generator().manual_seed(0)).double()
    y = transport.gradient(x)
    matrix = transport.matrix
    on_range = f0 @ torch.linalg.pinv(f0)
    assert torch.allclose(on_range @ matrix @ on_range, (on_range @ matrix @ on_range).T, atol=1e-8)
    assert torch.allclose(matrix @ source.covariance @ matrix.T, target.covariance, atol=1e-8)
    # An optimal map satisfies Young's equality with the potential it is the gradient of.
    young = transport.value(x) + transport.conjugate(y) - (x * y).sum(1)
    assert young.abs().max() < 1e-5 * y.abs().max() ** 2
    cost = bures_squared(source, target)
    linear = torch.eye(50).double() - matrix
    direct = 50 + torch.trace(linear @ source.covariance @ linear.T).item()
    assert cost == pytest.approx(direct, rel=1e-8)


def test_equal_gaussians_are_left_alone():
    measure = GaussianMeasure.of_covariance(np.ones(4), covariance(4))
    assert bures_squared(measure, measure) == pytest.approx(0, abs=1e-8)
    assert torch.allclose(GaussianMap(measure, measure).matrix, torch.eye(4).double(), atol=1e-8)


def test_a_source_of_too_low_a_rank_has_no_map():
    thin = GaussianMeasure(torch.zeros(4), torch.eye(4)[:, :2])
    full = GaussianMeasure(torch.zeros(4), torch.eye(4))
    with pytest.raises(TransportError, match="no optimal map exists"):
        GaussianMap(thin, full)
    assert bures_squared(thin, full) == pytest.approx(2)
    assert torch.equal(
        GaussianMap(full, thin).matrix, torch.diag(torch.tensor([1.0, 1, 0, 0])).double()
    )


def test_samples_have_the_moments_of_their_measure(generator):
    measure = GaussianMeasure.of_covariance([1.0, 2, 3], covariance(3))
    points = measure.sample(100_000, generator).double()
    assert torch.allclose(points.mean(0), measure.mean, atol=0.05)
    assert torch.allclose(torch.cov(points.T), measure.covariance, atol=0.1)


def test_covariances_are_checked():
    with pytest.raises(InputError, match="symmetric"):
        GaussianMeasure.of_covariance(np.zeros(2), [[1.0, 0.5], [0, 1]])
    with pytest.raises(InputError, match="negative eigenvalues"):
        GaussianMeasure.of_covariance(np.zeros(2), [[1.0, 2], [2, 1]])
    with pytest.raises(InputError, match="have the same dimension"):
        GaussianMap(
            GaussianMeasure(torch.zeros(2), torch.eye(2)),
            GaussianMeasure(torch.zeros(3), torch.eye(3)),
        )
