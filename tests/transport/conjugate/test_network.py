"""The convex network and its parts: gradients, conjugates, Langevin chains, the outer iteration."""

import math

import pytest
import torch

from pcgen.errors import InputError
from pcgen.transport.assignment import assignment_cost, centred_cost
from pcgen.transport.conjugate import ConjugateSettings, conjugate_gaussian, conjugate_network
from pcgen.transport.conjugate.convex import FLOOR, ConvexPotential
from pcgen.transport.conjugate.iteration import IterationStatus
from pcgen.transport.conjugate.legendre import conjugate
from pcgen.transport.conjugate.mala import mala, split_r_hat
from pcgen.transport.conjugate.network import ConjugateFit


def draw(seed):
    return torch.Generator().manual_seed(seed)


def potential(dim=3, hidden=(16, 16, 8), seed=0, strength=3.0):
    """A network whose hidden layers matter."""
    made = ConvexPotential(torch.ones(dim), torch.ones(dim), hidden, draw(seed))
    with torch.no_grad():
        made.output += 2 + strength
    return made.requires_grad_(False)


def test_the_written_out_gradient_is_that_of_autograd():
    w = potential().double()
    v = torch.randn(20, 3, generator=draw(1), dtype=torch.float64).requires_grad_()
    (expected,) = torch.autograd.grad(w(v).sum(), v)
    assert torch.allclose(w.gradient(v), expected, rtol=1e-10)


def test_the_network_is_strongly_convex():
    w = potential().double()
    a, b = (5 * torch.randn(500, 3, generator=draw(s), dtype=torch.float64) for s in (1, 2))
    gain = ((w.gradient(a) - w.gradient(b)) * (a - b)).sum(1)
    assert (gain >= FLOOR * (a - b).square().sum(1)).all()


def test_a_new_network_is_almost_the_gaussian_answer():
    w = ConvexPotential(torch.ones(4), torch.arange(4.0), (32, 32), draw(0))
    v = torch.randn(100, 4, generator=draw(1))
    assert (w.gradient(v) - v - torch.arange(4.0)).abs().mean() < 0.2
    assert torch.allclose(w.gradient(torch.zeros(1, 4))[0], torch.arange(4.0), atol=1e-6)


def test_conjugates_satisfy_the_equality_of_fenchel_and_young():
    w = potential(strength=5.0).double()
    x = 3 * torch.randn(300, 3, generator=draw(2), dtype=torch.float64)
    z = w.gradient(x)
    found = conjugate(w.gradient, z, torch.zeros_like(z), tolerance=1e-8, max_iterations=2000)
    assert not found.failed.any()
    assert torch.allclose(found.points, x, atol=1e-5)
    # Any other point gives a lower value of <x, z> - w(x).
    value = (found.points * z).sum(1) - w(found.points)
    other = found.points + 0.1 * torch.randn_like(x)
    assert ((other * z).sum(1) - w(other) <= value).all()


def test_failed_conjugates_are_counted_and_returned():
    w = potential()
    z = torch.randn(10, 3, generator=draw(0))
    z[3] = torch.nan
    found = conjugate(w.gradient, z, torch.zeros_like(z), tolerance=1e-4, max_iterations=300)
    assert found.failed.tolist() == [row == 3 for row in range(10)]
    hurried = conjugate(w.gradient, 5 * z, torch.zeros_like(z), tolerance=1e-7, max_iterations=1)
    assert hurried.failed.all()
    assert hurried.points.shape == z.shape


def test_mala_has_the_moments_of_its_target_and_ula_would_not():
    scales = torch.tensor([1.0, 0.5])
    run = mala(
        lambda x: 0.5 * (x / scales).square().sum(1),
        lambda x: x / scales**2,
        torch.zeros(4000, 2),
        steps=60,
        step=0.2,
        generator=draw(0),
    )
    assert torch.allclose(run.points.std(0), scales, rtol=0.05)
    # The unadjusted chain has variance s² / (1 − τ / (2 s²)): 29 % too wide in the second one.
    assert run.points[:, 1].std() < 0.5 * 1.1
    assert 0.5 < run.acceptance < 1


def test_the_step_length_is_tuned_to_the_best_acceptance():
    run = mala(
        lambda x: 0.5 * x.square().sum(1),
        lambda x: x,
        torch.randn(500, 10, generator=draw(1)),
        steps=100,
        step=1e-3,
        generator=draw(0),
        adapt=True,
    )
    again = mala(
        lambda x: 0.5 * x.square().sum(1),
        lambda x: x,
        run.points,
        steps=50,
        step=run.step,
        generator=draw(2),
    )
    assert again.acceptance == pytest.approx(0.574, abs=0.06)


def test_r_hat_tells_chains_that_agree_from_chains_that_do_not():
    agree = torch.randn(400, 8, 2, generator=draw(0))
    assert split_r_hat(agree) < 1.02
    apart = agree + 3 * torch.arange(8.0)[:, None]
    assert split_r_hat(apart) > 3
    assert math.isnan(split_r_hat(agree[:3]))


def gaussian_data(scales, mean, count=2000):
    scales = torch.as_tensor(scales)
    x = torch.randn(count, len(scales), generator=draw(3))
    return (x - x.mean(0)) / x.std(0) * scales + mean


def test_gaussian_data_keep_the_closed_form():
    data = gaussian_data([1.5, 0.4], mean=0.7)
    covariance = torch.cov(data.T)
    settings = ConjugateSettings(hidden=(16, 16), steps=6, dual_steps=40)
    found = conjugate_network(data, covariance, settings, draw(0))
    found.status.require_converged()
    exact = conjugate_gaussian(data.mean(0), covariance)
    z = found.network.sample(2000, draw(1))
    assert torch.allclose(z.mean(0).double(), exact.centre, atol=0.12)
    assert torch.allclose(torch.cov(z.T).double(), exact.covariance, atol=0.2)
    pushed = found.network.push(exact.sample(500, draw(2)))
    assert not pushed.failed.any()
    assert torch.allclose(pushed.points.std(0), data.std(0), rtol=0.2)
    # Map and inverse map undo each other.
    assert torch.allclose(found.network.push(found.network.gradient(data)).points, data, atol=0.02)


def test_a_wide_base_diverges_undamped_and_not_under_the_rule():
    data = gaussian_data([8.0, 8.0], mean=0.0, count=1000)
    small = {"hidden": (8,), "steps": 12, "dual_steps": 40, "learning_rate": 0.1}
    covariance = torch.cov(data.T)
    # λ_max of the base is 4: the undamped mean is multiplied by −4 at every step.
    wild = conjugate_network(data, covariance, ConjugateSettings(damping=1.0, **small), draw(0))
    assert wild.status is IterationStatus.DIVERGED
    tame = conjugate_network(data, covariance, ConjugateSettings(**small), draw(0))
    assert tame.status is IterationStatus.CONVERGED
    assert all(r.damping < 2 / (1 + r.largest) for r in tame.records)


def test_two_blobs_are_separated_from_a_log_concave_base():
    g = draw(0)
    label = torch.randint(2, (1000, 1), generator=g) * 2.0 - 1
    data = 1.5 * label * torch.tensor([1.0, 0.3]) + 0.2 * torch.randn(1000, 2, generator=g)
    covariance = torch.cov(data.T)
    settings = ConjugateSettings(hidden=(32, 32), steps=10, dual_steps=60, learning_rate=0.04)
    found = conjugate_network(data, covariance, settings, g)
    assert all(r.failed == 0 and 0.4 < r.acceptance < 0.8 for r in found.records)
    pushed = found.network.push(found.network.sample(600, g)).points
    between = (pushed @ torch.tensor([1.0, 0.3])).abs() < 0.5
    gaussian = conjugate_gaussian(data.mean(0), covariance).sample(600, g)
    naive = conjugate_gaussian(data.mean(0), covariance).push(gaussian)
    before = centred_cost(naive[:300], naive[300:], data[:300], data[300:600])
    after = centred_cost(pushed[:300], pushed[300:], data[:300], data[300:600])
    assert after < 0.5 * before
    assert between.float().mean() < 0.1
    assert found.network.diagnose(g, steps=100).r_hat < 1.1


def test_a_fit_can_be_followed_step_by_step():
    data = gaussian_data([1.0, 1.0], mean=0.0, count=200)
    settings = ConjugateSettings(hidden=(8,), steps=3, dual_steps=5, chains=64)
    fit = ConjugateFit(data, torch.cov(data.T), settings, draw(0))
    assert len(list(fit)) == len(fit.records) == 3
    assert fit.network().sample(0, draw(1)).shape == (0, 2)


def test_degenerate_data_and_settings_are_refused():
    with pytest.raises(InputError, match="singular"):
        conjugate_network(torch.rand(9, 2), torch.zeros(2, 2), ConjugateSettings(), draw(0))
    with pytest.raises(InputError, match="positive"):
        ConjugateSettings(chains=0)
    with pytest.raises(InputError, match="damping"):
        ConjugateSettings(damping=0.0)
    for wrong in [{"learning_rate": math.nan}, {"tolerance": -1}, {"dual_steps": 0}]:
        with pytest.raises(InputError, match="positive"):
            ConjugateSettings(**wrong)
    for wrong in [{"mixing_steps": -1}, {"chains": 1}]:
        with pytest.raises(InputError, match="mixing_steps"):
            ConjugateSettings(**wrong)


@pytest.mark.parametrize(
    ("data", "covariance", "message"),
    [
        (torch.rand(1, 2), torch.eye(2), "at least 2 finite rows"),
        (torch.rand(0, 2), torch.eye(2), "at least 2 finite rows"),
        (torch.rand(9), torch.eye(1), "at least 2 finite rows"),
        (torch.full((9, 2), torch.nan), torch.eye(2), "NaN"),
        (torch.rand(9, 2), torch.full((2, 2), torch.nan), "NaN"),
        (torch.rand(9, 2), torch.eye(3), "got"),
        (torch.rand(9, 2), -torch.eye(2), "positive semi-definite"),
    ],
)
def test_broken_samples_are_refused(data, covariance, message):
    with pytest.raises(InputError, match=message):
        conjugate_network(data, covariance, ConjugateSettings(), draw(0))


def test_the_centred_cost_of_equal_laws_is_zero_on_average():
    values = [
        centred_cost(*torch.randn(4, 64, 20, generator=draw(seed)).unbind()) for seed in range(40)
    ]
    spread = torch.tensor(values)
    assert abs(spread.mean()) < 4 * spread.std() / 40**0.5
    x = torch.randn(30, 3, generator=draw(0))
    assert assignment_cost(x, x[torch.randperm(30, generator=draw(1))] + 1) == pytest.approx(3)
