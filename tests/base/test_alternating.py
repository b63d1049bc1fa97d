"""The alternating fit against what is known of Gaussians."""

import itertools
import math

import pytest
import torch

from pcgen.base import energy
from pcgen.base.alternating import AlternatingSettings, alternate
from pcgen.base.dual_ascent import DualAscent
from pcgen.base.gaussian import gaussian_from_moments
from pcgen.errors import InputError


def draw(seed):
    return torch.Generator().manual_seed(seed)


def target(dim=4, seed=0):
    g = draw(seed)
    factor = torch.randn(dim, dim, generator=g, dtype=torch.float64) / dim**0.5
    covariance = factor @ factor.T + 0.2 * torch.eye(dim, dtype=torch.float64)
    return gaussian_from_moments(torch.randn(dim, generator=g), covariance)


def test_a_gaussian_target_is_its_own_base_and_the_energy_vanishes():
    nu = target()
    fitted = alternate(nu, AlternatingSettings(), draw(0)).base
    assert torch.allclose(fitted.mean, nu.mean, atol=1e-6)
    assert torch.allclose(fitted.factor, nu.factor, atol=1e-5)
    assert energy(fitted, nu, generator=draw(1)).total.value < 1e-9


@pytest.mark.parametrize("pull", [0.3, 2.0])
def test_the_relaxed_minimiser_is_the_point_of_the_geodesic(pull):
    nu = target()
    fitted = alternate(nu, AlternatingSettings(relaxation=pull), draw(0)).base
    expected = gaussian_from_moments(nu.mean, nu.covariance, relaxation=pull)
    assert torch.allclose(fitted.mean, expected.mean, atol=1e-6)
    assert torch.allclose(fitted.factor, expected.factor, atol=1e-5)


def test_a_large_relaxation_returns_the_standard_base():
    fitted = alternate(target(), AlternatingSettings(relaxation=1e6), draw(0)).base
    assert torch.allclose(fitted.factor, torch.eye(4), atol=1e-5)
    assert torch.allclose(fitted.mean, torch.zeros(4), atol=1e-5)


@pytest.mark.parametrize("pull", [0.0, 0.5])
def test_energy_does_not_rise_over_nested_families(pull):
    nu = target()
    standard = gaussian_from_moments(torch.zeros(4), torch.eye(4))
    bases = [standard] + [
        alternate(nu, AlternatingSettings(structure=s, relaxation=pull), draw(0)).base
        for s in ["isotropic", "diagonal", "full"]
    ]
    totals = [energy(b, nu, generator=draw(1), relaxation=pull).total.value for b in bases]
    assert all(richer <= poorer + 1e-9 for poorer, richer in itertools.pairwise(totals))


@pytest.mark.parametrize("structure", ["isotropic", "diagonal", "full"])
def test_each_structure_is_minimal_within_its_family(structure):
    nu, pull = target(), 0.2
    fitted = alternate(nu, AlternatingSettings(structure=structure, relaxation=pull), draw(0)).base
    best = energy(fitted, nu, generator=draw(1), relaxation=pull).total.value
    for scale in [0.97, 1.03]:
        moved = gaussian_from_moments(fitted.mean, fitted.covariance * scale)
        assert energy(moved, nu, generator=draw(1), relaxation=pull).total.value > best


def test_the_energy_falls_at_every_step_against_a_gaussian():
    energies = alternate(target(), AlternatingSettings(damping=0.3), draw(0)).energies
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(energies))


def test_latents_of_a_gaussian_give_it_back_in_the_plane():
    nu = target(dim=2, seed=3)
    latents = nu.sample(1000, draw(1))
    fitted = alternate(latents, AlternatingSettings(steps=120), draw(2)).base
    assert torch.allclose(fitted.mean, nu.mean, atol=0.1)
    assert torch.allclose(fitted.covariance, nu.covariance, atol=0.12)


def test_latents_of_a_gaussian_give_the_relaxed_minimiser_too():
    nu = target(dim=2, seed=3)
    settings = AlternatingSettings(relaxation=1.0, steps=80, batch=512)
    fitted = alternate(nu.sample(600, draw(1)), settings, draw(2)).base
    expected = gaussian_from_moments(nu.mean, nu.covariance, relaxation=1.0)
    assert torch.allclose(fitted.mean, expected.mean, atol=0.08)
    assert torch.allclose(fitted.factor, expected.factor, atol=0.08)


@pytest.mark.parametrize(("dim", "share"), [(4, 0.88), (8, 0.56), (16, 0.26)])
def test_the_base_of_few_latents_shrinks_as_its_table_says(dim, share):
    latents = torch.randn(500, dim, generator=draw(dim + 500))
    fitted = alternate(latents, AlternatingSettings(steps=120, batch=512), draw(1)).base
    variance = fitted.covariance.trace() / torch.cov(latents.T).trace()
    assert float(variance) == pytest.approx(share, abs=0.08)


def test_the_base_of_two_blobs_is_smaller_in_variance_than_they_are():
    g = draw(0)
    label = torch.randint(2, (1000, 1), generator=g) * 2.0 - 1
    latents = 2 * label * torch.tensor([1.0, 0.0]) + 0.2 * torch.randn(1000, 2, generator=g)
    fitted = alternate(latents, AlternatingSettings(steps=120, batch=512), draw(1)).base
    assert fitted.covariance.trace() < torch.cov(latents.T).trace()
    # Along the first axis the map is monotone: sorted latents against normal quantiles.
    levels = (torch.arange(1000.0) + 0.5) / 1000
    normal = math.sqrt(2) * torch.erfinv(2 * levels - 1)
    expected = float((latents[:, 0].sort().values * normal).mean())
    assert float(fitted.factor[0, 0]) == pytest.approx(expected, rel=0.03)


def test_the_dual_fills_every_cell_alike():
    g = draw(0)
    atoms = torch.randn(64, 3, generator=g) * torch.tensor([1.0, 0.3, 2.0]) + 5
    dual = DualAscent(atoms)
    for _ in range(600):
        dual.step(torch.randn(512, 3, generator=g))
    mapped = dual.map(torch.randn(64_000, 3, generator=g))
    counts = (torch.cdist(mapped, atoms).argmin(1)).bincount(minlength=64)
    chi2 = float((counts / 1000 - 1).square().mean())
    assert chi2 < 0.05
    assert int(counts.min()) > 0


def test_bad_settings_are_refused():
    with pytest.raises(InputError, match="damping"):
        AlternatingSettings(damping=0.0)
    with pytest.raises(InputError, match="relaxation"):
        AlternatingSettings(relaxation=-1)
    with pytest.raises(InputError, match="one of full, diagonal, isotropic, got 'round'"):
        AlternatingSettings(structure="round")
