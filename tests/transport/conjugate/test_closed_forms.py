"""Conjugate moment measures with known answers: Gaussian and univariate."""

import numpy as np
import pytest
import torch

from pcgen.errors import InputError, TransportError
from pcgen.transport.conjugate import conjugate_gaussian, conjugate_univariate
from pcgen.transport.conjugate.gaussian import GaussianConjugate, matrix_power
from pcgen.transport.conjugate.iteration import IterationStatus, damping_rule, iteration_status
from pcgen.transport.conjugate.univariate import Distribution
from tests.transport.conjugate.gaussian_iteration import iterate_gaussian


def problem(largest, dim=4, seed=0):
    """A mean, and a covariance whose cube root has ``largest`` as its largest eigenvalue."""
    g = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(dim, dim, generator=g, dtype=torch.float64))
    thirds = torch.linspace(0.2, 1, dim, dtype=torch.float64) * largest
    return torch.randn(dim, generator=g, dtype=torch.float64), (axes * thirds**3) @ axes.T


def test_the_map_pushes_the_base_exactly_onto_the_target():
    mean, covariance = problem(1.7)
    w = conjugate_gaussian(mean, covariance)
    # N(a, C) through z -> C z + a has mean C a + a and covariance C C C.
    assert torch.allclose(w.covariance @ w.centre + w.centre, mean, atol=1e-12)
    cube = w.covariance @ w.covariance @ w.covariance
    assert torch.allclose(cube, covariance, atol=1e-12)
    z = w.sample(100_000, torch.Generator().manual_seed(1))
    assert torch.allclose(torch.cov(w.push(z).T).double(), covariance, atol=0.15)
    assert torch.allclose(w.gradient(w.push(z)), z, atol=1e-4)


@pytest.mark.parametrize("largest", [0.4, 0.95, 3.0])
def test_the_iteration_converges_to_the_closed_form(largest):
    mean, covariance = problem(largest)
    g = torch.Generator().manual_seed(5)
    factor = torch.randn(4, 4, generator=g, dtype=torch.float64)
    start = GaussianConjugate(
        torch.ones(4, dtype=torch.float64), factor @ factor.T + torch.eye(4, dtype=torch.float64)
    )
    found = iterate_gaussian(mean, covariance, start=start)
    expected = conjugate_gaussian(mean, covariance)
    found.status.require_converged()
    assert torch.allclose(found.measure.centre, expected.centre, atol=1e-8)
    assert torch.allclose(found.measure.covariance, expected.covariance, atol=1e-8)


def test_the_undamped_iteration_halves_its_error_each_step():
    mean, covariance = problem(0.3)
    found = iterate_gaussian(mean, covariance, damping=1.0)
    ratios = np.array(found.residuals[13:24]) / np.array(found.residuals[12:23])
    assert ratios == pytest.approx(0.5, abs=0.01)


def test_the_undamped_iteration_diverges_when_the_base_is_wide_and_says_so():
    mean, covariance = problem(1.5)
    found = iterate_gaussian(mean, covariance, damping=1.0)
    assert found.status is IterationStatus.DIVERGED
    with pytest.raises(TransportError, match="use the damping rule"):
        found.status.require_converged()
    assert iterate_gaussian(mean, covariance).status is IterationStatus.CONVERGED
    # The bound 2 / (1 + λ_max) is sharp.
    for eta, status in [(0.76, IterationStatus.CONVERGED), (0.82, IterationStatus.DIVERGED)]:
        assert iterate_gaussian(mean, covariance, damping=eta).status is status


def test_the_rule_stays_below_the_bound_of_stability():
    for smallest, largest in [(0.0, 0.1), (0.5, 2.0), (3.0, 3.0), (0.0, 50.0)]:
        assert 0 < damping_rule(smallest, largest) < 2 / (1 + largest)


@pytest.mark.parametrize("seed", range(4))
def test_residuals_that_end_in_rounding_errors_are_no_divergence(seed):
    mean, covariance = problem(3.0, seed=seed)
    found = iterate_gaussian(mean, covariance, tolerance=0.0)
    assert found.status is IterationStatus.EXHAUSTED
    expected = conjugate_gaussian(mean, covariance)
    assert torch.allclose(found.measure.covariance, expected.covariance, atol=1e-8)


def test_running_out_of_steps_is_not_convergence():
    found = iterate_gaussian(*problem(0.9), max_steps=3)
    assert found.status is IterationStatus.EXHAUSTED
    assert iteration_status([1.0, 0.5, float("nan")], 1e-3) is IterationStatus.DIVERGED


def test_bad_gaussians_are_refused():
    mean, covariance = problem(1.0)
    with pytest.raises(InputError, match="positive semi-definite"):
        conjugate_gaussian(mean, -covariance)
    with pytest.raises(InputError, match="got"):
        conjugate_gaussian(mean[:2], covariance)
    with pytest.raises(InputError, match="NaN"):
        conjugate_gaussian(mean * torch.nan, covariance)
    with pytest.raises(InputError, match="singular"):
        matrix_power(torch.zeros(4, 4), -0.5)
    with pytest.raises(InputError, match="damping"):
        conjugate_univariate(two_modes(1.0), damping=1.5)
    with pytest.raises(InputError, match=r"mean must be \(dim,\)"):
        conjugate_gaussian(torch.tensor(0.0), covariance)
    with pytest.raises(InputError, match=r"mean must be \(dim,\)"):
        conjugate_gaussian(mean[:0], covariance[:0, :0])
    flat = conjugate_gaussian(torch.zeros(2), torch.diag(torch.tensor([1.0, 0.0])))
    with pytest.raises(InputError, match="singular"):
        flat.gradient(torch.zeros(3, 2))
    with pytest.raises(InputError, match="0 or more, got -1"):
        flat.sample(-1, torch.Generator())
    assert matrix_power(torch.zeros(2, 2).double(), 1 / 3).abs().max() == 0


def two_modes(scale, cells=8000):
    """Two unit Gaussians at ±1.75, scaled; the standard deviation is about twice ``scale``."""
    half = 14 * max(scale, scale ** (1 / 3)) + 2 * scale
    nodes = np.linspace(-half, half, cells + 1)
    z = nodes / scale
    return Distribution.from_density(
        nodes, np.exp(-0.5 * (z - 1.75) ** 2) + np.exp(-0.5 * (z + 1.75) ** 2)
    )


@pytest.mark.parametrize(
    ("scale", "damping"),
    [(0.25, 1.0), (0.45, 1.0), (1.0, 0.5), (2.0, 0.2), (0.25, None), (2.0, None)],
)
def test_two_modes_on_a_line_are_reached(scale, damping):
    found = conjugate_univariate(two_modes(scale), damping=damping)
    found.status.require_converged()
    assert found.distance() < 2e-6 * max(1, scale**2)
    assert (np.diff(found.slope) >= 0).all()


@pytest.mark.parametrize(("apart", "scale"), [(2.5, 3.0), (2.5, 4.0), (4.0, 4.0), (6.0, 1.0)])
def test_far_modes_of_unequal_mass_are_damped_until_they_converge(apart, scale):
    """With the rule alone, 2 / (1 + λ), each of these diverges."""
    half = 14 * max(scale, scale ** (1 / 3)) + apart * scale
    nodes = np.linspace(-half, half, 8001)
    z = nodes / scale
    left, right = np.exp(-0.5 * (z + apart) ** 2), np.exp(-0.5 * (z - apart) ** 2)
    found = conjugate_univariate(Distribution.from_density(nodes, left + 2 * right))
    found.status.require_converged()
    assert found.distance() < 1e-5 * max(1, scale**2)
    assert found.residuals[-1] == min(found.residuals)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_two_wide_modes_on_a_line_diverge_undamped(scale):
    assert conjugate_univariate(two_modes(scale), damping=1.0).status is IterationStatus.DIVERGED


def test_the_line_agrees_with_the_gaussian_closed_form():
    nodes = np.linspace(-9, 11, 8001)
    target = Distribution.from_density(nodes, np.exp(-0.5 * ((nodes - 0.8) / 0.6) ** 2))
    found = conjugate_univariate(target)
    expected = conjugate_gaussian(torch.tensor([0.8]), torch.tensor([[0.36]]))
    mean, variance = found.base.moments()
    assert mean == pytest.approx(float(expected.centre), abs=1e-5)
    assert variance == pytest.approx(float(expected.covariance), abs=1e-5)
    z = torch.linspace(-1, 2, 50, dtype=torch.float64)[:, None]
    assert np.allclose(found.push(z[:, 0].numpy()), expected.push(z)[:, 0], atol=1e-4)


def test_the_base_of_samples_is_pushed_onto_their_quantiles():
    rng = np.random.default_rng(0)
    samples = np.concatenate([rng.normal(-2, 0.3, 3000), rng.exponential(1.0, 2000)])
    found = conjugate_univariate(Distribution.from_samples(samples))
    found.status.require_converged()
    assert found.distance() < 0.01


def test_bad_densities_are_refused():
    with pytest.raises(InputError, match="two different"):
        Distribution.from_samples(np.ones(5))
    with pytest.raises(InputError, match="two different"):
        Distribution.from_samples(np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="non-negative"):
        Distribution.from_density(np.arange(3.0), np.array([1.0, -1, 1]))


@pytest.mark.parametrize(
    "nodes",
    [
        np.array([0.0, 1, 3]),
        np.array([2.0, 1, 0]),
        np.array([1.0, 1, 1]),
        np.array([0.0, np.nan, 2]),
        np.array([1.0]),
        np.array([]),
        np.zeros((2, 2)),
    ],
)
def test_grids_that_are_not_even_are_refused(nodes):
    with pytest.raises(InputError, match="evenly spaced"):
        Distribution.from_density(nodes, np.ones(nodes.shape))


def test_a_density_must_fit_its_grid():
    with pytest.raises(InputError, match="one density value per node"):
        Distribution.from_density(np.arange(5.0), np.ones(4))
    with pytest.raises(InputError, match="cells must be"):
        Distribution.from_samples(np.arange(5.0), cells=0)
    nodes = np.linspace(-3, 3, 401, dtype=np.float32)
    narrow = Distribution.from_density(nodes, np.exp(-0.5 * nodes**2))
    assert conjugate_univariate(narrow).status is IterationStatus.CONVERGED
