"""The relaxed energy agrees with closed forms; the guard finds copies and collapse."""

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from pcgen import base
from pcgen.base import collapse_guard, energies
from pcgen.base.collapse_guard import check_collapse
from pcgen.base.gaussian import StandardBase, gaussian_from_moments
from pcgen.base.measure import TensorMeasure
from pcgen.errors import InputError, TrainingError
from pcgen.transport.assignment import assignment_cost


def draw(seed):
    return torch.Generator().manual_seed(seed)


def gaussian(scales, mean=0.0):
    scales = torch.as_tensor(scales)
    return gaussian_from_moments(torch.full_like(scales, mean), scales.square().diag())


@dataclass(frozen=True, kw_only=True)
class Replay(TensorMeasure):
    """Draws training latents, moved by noise: the over-rich optimum at λ = 0."""

    name: ClassVar[str] = "replay"
    atoms: torch.Tensor
    noise: float = 0.0

    @property
    def dim(self):
        return self.atoms.shape[1]

    def sample(self, count, generator):
        rows = torch.randint(len(self.atoms), (count,), generator=generator)
        return self.atoms[rows] + self.noise * torch.randn(count, self.dim, generator=generator)


def test_gaussian_energies_are_closed_forms():
    omega, target = gaussian([1.0, 2.0, 0.5], mean=1.0), gaussian([2.0, 2.0, 1.5])
    found = base.energy(omega, target, generator=draw(0), relaxation=0.5)
    assert found.transport.value == pytest.approx(3 + 1 + 0 + 1, rel=1e-5)
    assert found.divergence.value == pytest.approx(3 + 0 + 1 + 0.25, rel=1e-5)
    assert found.total.value == pytest.approx(5 + 0.5 * 4.25, rel=1e-5)
    assert found.total.error == 0


def test_assignment_cost_equals_pot():
    ot = pytest.importorskip("ot")
    x, y = torch.randn(40, 3, generator=draw(0)), torch.rand(40, 3, generator=draw(1))
    weights = np.full(40, 1 / 40)
    expected = ot.emd2(weights, weights, ot.dist(x.double().numpy(), y.double().numpy()))
    assert assignment_cost(x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dim", [2, 64])
def test_a_gaussian_scores_zero_on_its_own_samples_within_the_error_bar(dim):
    target = gaussian(torch.linspace(0.3, 2, dim))
    values, errors = [], []
    for seed in range(6):
        latents = target.sample(800, draw(seed))
        found = energies.transport_term(target, latents, generator=draw(seed + 50))
        values.append(found.value)
        errors.append(found.error)
    pooled = math.sqrt(sum(e**2 for e in errors)) / 6
    assert abs(np.mean(values)) < 4 * pooled
    assert np.std(values) < 3 * np.mean(errors)


def test_the_sampled_energy_agrees_with_the_closed_form_in_the_plane():
    target = gaussian([1.0, 0.4])
    latents = target.sample(3000, draw(0))
    for omega in [gaussian([1.5, 1.2]), gaussian([1.0, 0.4], mean=1.0)]:
        exact = energies.transport_term(omega, target, generator=draw(1)).value
        found = energies.transport_term(omega, latents, generator=draw(2))
        assert found.value == pytest.approx(exact, abs=4 * found.error + 0.02)


def test_kl_and_entropy_agree_with_closed_forms():
    omega = gaussian([2.0, 0.5])
    kl = base.energy(omega, gaussian([1.0, 1.0]), generator=draw(0), kind="kl", blocks=64)
    expected = 0.5 * (4 + 0.25 - 2)
    assert kl.divergence.value == pytest.approx(expected, abs=4 * kl.divergence.error)
    found = energies.divergence_term(omega, "entropy", generator=draw(1), blocks=64)
    assert found.value == pytest.approx(-math.log(2 * math.pi * math.e), abs=4 * found.error)


def test_energy_does_not_rise_over_nested_families_on_two_blobs():
    g = draw(0)
    label = torch.randint(2, (1600, 1), generator=g)
    latents = 3.0 * (2 * label - 1) * torch.tensor([1.0, 0.5]) + 0.4 * torch.randn(
        1600, 2, generator=g
    )
    nested = [
        base.fit("standard", latents, generator=g),
        base.fit("gaussian", latents, generator=g, settings={"structure": "isotropic"}),
        base.fit("gaussian", latents, generator=g, settings={"structure": "diagonal"}),
        base.fit("gaussian", latents, generator=g, settings={"structure": "full"}),
        base.fit("gmm", latents, generator=g, settings={"components": [2]}),
    ]
    found = [energies.transport_term(omega, latents, generator=draw(1)) for omega in nested]
    for poorer, richer in itertools.pairwise(found):
        assert richer.value <= poorer.value + 2 * math.hypot(richer.error, poorer.error)
    assert found[-1].value < 0.1 * found[0].value


def test_an_energy_needs_latents_and_a_density_where_it_uses_one():
    omega = StandardBase(dim=2)
    with pytest.raises(InputError, match="at least 4 latents, got 3"):
        base.energy(omega, torch.rand(3, 2), generator=draw(0))
    with pytest.raises(InputError, match="no density for D = kl; use D = w2"):
        energies.divergence_term(Replay(atoms=torch.rand(4, 2)), "kl", generator=draw(0))
    with pytest.raises(InputError, match="2 dimensions, its target 3"):
        base.energy(omega, StandardBase(dim=3), generator=draw(0))
    with pytest.raises(InputError, match="blocks"):
        base.energy(omega, omega, generator=draw(0), blocks=1)
    with pytest.raises(InputError, match="2 dimensions, its target 3"):
        base.energy(omega, torch.rand(40, 3), generator=draw(0))
    for relaxation in [-1.0, math.nan]:
        with pytest.raises(InputError, match="relaxation must be"):
            base.energy(omega, omega, generator=draw(0), relaxation=relaxation)
    with pytest.raises(InputError, match="one of w2, kl, entropy, got 'tv'"):
        base.energy(omega, omega, generator=draw(0), kind="tv")


def test_the_guard_wants_latents_of_the_dimension_of_its_base():
    omega, latents = StandardBase(dim=2), torch.randn(40, 2, generator=draw(0))
    with pytest.raises(InputError, match="2 dimensions, the latents 3"):
        check_collapse(omega, torch.rand(40, 3), generator=draw(1))
    with pytest.raises(InputError, match="2 dimensions, the validation latents 3"):
        check_collapse(omega, latents, generator=draw(1), validation=torch.rand(9, 3))


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("dim", [4, 64])
def test_the_guard_passes_new_draws_and_trips_on_copies(dim, validated):
    target = gaussian(torch.linspace(0.3, 2, dim))
    latents = target.sample(300, draw(0))
    validation = target.sample(100, draw(1)) if validated else None
    passed = check_collapse(target, latents, generator=draw(2), validation=validation)
    assert passed.ok, passed.faults
    assert passed.novelty == pytest.approx(1, abs=0.15)
    for noise in [0.0, 0.02]:
        copies = Replay(atoms=latents, noise=noise)
        report = check_collapse(copies, latents, generator=draw(2), validation=validation)
        assert report.replay > 0.9
        with pytest.raises(TrainingError, match="replay training latents"):
            report.require_ok("replay")


def test_a_sample_of_many_latents_is_as_good_a_reference(monkeypatch):
    z = torch.randn(2000, 5, generator=draw(1))
    whole = check_collapse(gaussian([1.0] * 5), z, generator=draw(2))
    monkeypatch.setattr(collapse_guard, "REFERENCE", 500)
    monkeypatch.setattr(collapse_guard, "TABLE_ENTRIES", 2000 * 7)  # in blocks of 7 rows
    some = check_collapse(gaussian([1.0] * 5), z, generator=draw(2))
    assert (some.replay, some.spread) == (whole.replay, whole.spread)
    assert some.replay_reference == pytest.approx(whole.replay_reference, abs=0.05)
    assert some.novelty == pytest.approx(whole.novelty, rel=0.1)


def test_the_nearest_other_is_that_of_the_whole_table():
    z = torch.randn(90, 3, generator=draw(3))
    table = torch.cdist(z, z).fill_diagonal_(torch.inf)
    rows = torch.tensor([4, 80, 4])
    distance, index = collapse_guard.nearest_other(z, rows)
    assert torch.equal(index, table[rows].argmin(1))
    assert torch.allclose(distance, table[rows].amin(1))
    table[rows, index] = torch.inf
    further, _ = collapse_guard.nearest_other(z, rows, without=index)
    assert torch.allclose(further, table[rows].amin(1))


def test_the_guard_trips_on_a_point():
    latents = torch.randn(200, 3, generator=draw(0))
    report = check_collapse(Replay(atoms=torch.zeros(1, 3), noise=0.05), latents, generator=draw(1))
    assert "collapsed" in report.faults[-1]


def test_the_guard_accepts_duplicates_among_the_latents():
    latents = torch.randn(100, 8, generator=draw(0)).repeat(2, 1)
    omega = base.fit("gaussian", latents, generator=draw(1))
    assert check_collapse(omega, latents, generator=draw(2)).ok
    assert not check_collapse(Replay(atoms=latents, noise=0.02), latents, generator=draw(2)).ok


@pytest.mark.parametrize("pull", [0.2, 2.0])
def test_the_relaxed_gaussian_is_the_minimiser(pull):
    factor = torch.randn(4, 4, generator=draw(0), dtype=torch.float64) / 2
    covariance = factor @ factor.T + 0.2 * torch.eye(4, dtype=torch.float64)
    nu = gaussian_from_moments(torch.randn(4, generator=draw(1)), covariance)
    fitted = gaussian_from_moments(nu.mean, covariance, relaxation=pull)

    def total(omega):
        return base.energy(omega, nu, generator=draw(2), relaxation=pull).total.value

    best = total(fitted)
    assert best < total(gaussian_from_moments(torch.zeros(4), torch.eye(4)))
    for scale in [0.97, 1.03]:
        assert total(gaussian_from_moments(fitted.mean, fitted.covariance * scale)) > best
        assert total(gaussian_from_moments(fitted.mean * scale, fitted.covariance)) > best
