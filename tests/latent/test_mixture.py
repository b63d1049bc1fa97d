"""The mixture agrees with torch.distributions, and its samples with a surface."""

import math

import pytest
import torch

from pcgen.latent.mixture import MixtureBatch


def random_mixture(generator, *, dim=3, parts=5, batch=2, thickness=0.1):
    factor = torch.randn(batch, parts, dim, dim, generator=generator).tril()
    return MixtureBatch(
        centre=torch.randn(batch, parts, dim, generator=generator),
        factor=factor,
        log_weight=torch.randn(batch, parts, generator=generator).log_softmax(-1),
        thickness=thickness,
    )


def reference_log_likelihood(mixture, points):
    components = torch.distributions.MultivariateNormal(mixture.centre, mixture.covariance())
    each = components.log_prob(points[:, :, None, :].transpose(0, 1)).transpose(0, 1)
    return (each + mixture.log_weight[:, None]).logsumexp(-1).mean(-1)


@pytest.mark.parametrize("dim", [2, 3, 4])
def test_the_likelihood_is_that_of_torch_distributions(dim, generator):
    mixture = random_mixture(generator, dim=dim)
    points = torch.randn(2, 40, dim, generator=generator)
    expected = reference_log_likelihood(mixture, points)
    assert torch.allclose(mixture.log_likelihood(points), expected, atol=2e-4)


def test_the_gradient_of_the_likelihood_is_that_of_autograd(generator):
    mixture = random_mixture(generator)
    points = torch.randn(2, 40, 3, generator=generator)
    leaves = [mixture.centre, mixture.factor, mixture.log_weight]
    for leaf in leaves:
        leaf.requires_grad_()
    ours = torch.autograd.grad(mixture.log_likelihood(points).sum(), leaves)
    theirs = torch.autograd.grad(reference_log_likelihood(mixture, points).sum(), leaves)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_samples_have_the_moments_of_the_mixture(generator):
    mixture = random_mixture(generator, batch=1)
    points = mixture.sample(200_000, generator).points[0]
    weight = mixture.log_weight[0].exp()
    mean = (weight[:, None] * mixture.centre[0]).sum(0)
    spread = mixture.centre[0] - mean
    second = mixture.covariance()[0] + spread[:, :, None] * spread[:, None, :]
    covariance = (weight[:, None, None] * second).sum(0)
    assert torch.allclose(points.mean(0), mean, atol=0.02)
    assert torch.allclose(points.T.cov(), covariance, atol=0.05)


def test_less_fuzz_takes_off_its_share_of_the_thickness(generator):
    mixture = random_mixture(generator, batch=1, parts=1, thickness=0.5)
    points = mixture.sample(200_000, generator, fuzz=0.5).points[0]
    expected = mixture.covariance()[0, 0] - (1 - 0.5**2) * 0.5**2 * torch.eye(3)
    assert torch.allclose(points.T.cov(), expected, atol=0.05)


def test_each_component_gets_its_expected_count_up_to_one_point(generator):
    mixture = random_mixture(generator)
    part = mixture.sample(1000, generator).part
    for row in range(2):
        counts = torch.bincount(part[row], minlength=5)
        expected = 1000 * mixture.log_weight[row].exp()
        assert ((counts - expected).abs() <= 1 + 1e-3).all()


def test_the_first_points_of_a_sample_are_a_fair_smaller_one(generator):
    weight = torch.tensor([[0.5, 0.3, 0.2]]).log()
    mixture = MixtureBatch(torch.zeros(1, 3, 3), torch.zeros(1, 3, 3, 3), weight, 0.1)
    part = mixture.sample(8000, generator).part[0, :2000]
    share = torch.bincount(part, minlength=3) / 2000
    assert torch.allclose(share, weight[0].exp(), atol=0.04)


def test_the_normal_of_a_flat_component_is_its_thin_axis():
    factor = torch.diag(torch.tensor([0.5, 0.0, 0.3]))[None, None]
    mixture = MixtureBatch(torch.zeros(1, 1, 3), factor, torch.zeros(1, 1), 0.01)
    assert torch.allclose(mixture.normals().abs(), torch.tensor([0.0, 1.0, 0.0]), atol=1e-5)


def test_the_likelihood_of_far_points_is_finite():
    mixture = MixtureBatch(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3, 3), torch.zeros(1, 2), 0.01)
    value = mixture.log_likelihood(torch.full((1, 4, 3), 50.0))
    assert torch.isfinite(value).all()


def test_one_gaussian_has_its_closed_form():
    mixture = MixtureBatch(torch.zeros(1, 1, 3), torch.zeros(1, 1, 3, 3), torch.zeros(1, 1), 0.5)
    value = mixture.log_likelihood(torch.zeros(1, 1, 3))
    assert value.item() == pytest.approx(-1.5 * math.log(2 * math.pi * 0.25), abs=1e-5)


def test_pruning_drops_the_sparsest_components_and_no_more_than_the_share():
    size = torch.tensor([0.1, 0.1, 2.0, 0.1])
    factor = size[None, :, None, None] * torch.eye(3)
    weight = torch.tensor([[0.30, 0.30, 0.02, 0.38]])
    mixture = MixtureBatch(torch.zeros(1, 4, 3), factor, weight.log(), 0.01)
    kept = mixture.pruned(0.03).log_weight.exp()
    assert torch.allclose(kept, torch.tensor([[0.30, 0.30, 0.0, 0.38]]) / 0.98)
    assert torch.equal(mixture.pruned(0.0).log_weight.exp() > 0, weight > 0)


def test_no_point_starts_beyond_the_reach(generator):
    mixture = MixtureBatch(torch.zeros(1, 1, 3), torch.eye(3)[None, None], torch.zeros(1, 1), 1e-3)
    points = mixture.sample(1000, generator, reach=2.0).points
    assert 1.9 < points.norm(dim=-1).max() < 2.01
