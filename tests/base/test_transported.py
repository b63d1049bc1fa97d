"""The AE-OT base: new points between latents of one mode, with the covariance of the latents."""

import math

import pytest
import torch

from pcgen import base, checkpoint
from pcgen.base.transported import TransportedSettings
from pcgen.errors import InputError
from pcgen.transport.assignment import centred_cost


def draw(seed):
    return torch.Generator().manual_seed(seed)


def eight_gaussians(count, generator):
    angle = torch.randint(8, (count,), generator=generator) * math.pi / 4
    centres = 4 * torch.stack([angle.cos(), angle.sin()], 1)
    return centres + 0.15 * torch.randn(count, 2, generator=generator)


def curved(count, generator, dim=32, inner=6):
    """Latents on a curved manifold of ``inner`` dimensions, with a little noise."""
    fixed = draw(99)
    a = torch.randn(inner, 48, generator=fixed) / 2
    b = torch.randn(48, dim, generator=fixed) / 7
    z = torch.randn(count, inner, generator=generator)
    return torch.tanh(z @ a) @ b + 0.03 * torch.randn(count, dim, generator=generator)


def test_the_base_restores_exactly(tmp_path):
    latents = curved(120, draw(0))
    for singular in ["route", "reject"]:
        omega = base.fit("ae-ot", latents, generator=draw(1), settings={"singular": singular})
        path = tmp_path / f"{singular}.safetensors"
        checkpoint.save(path, *omega.to_checkpoint())
        again = base.from_checkpoint(*checkpoint.load(path))
        assert torch.equal(omega.sample(200, draw(2)), again.sample(200, draw(2)))
        assert again.describe()["evidence"]["chi2"] < 0.05


def test_draws_are_new_and_keep_the_variance_where_mixing_alone_loses_it():
    latents, held = curved(500, draw(0)), curved(500, draw(1))
    omega = base.fit("ae-ot", latents, generator=draw(2))
    mixed = base.fit("ae-ot", latents, generator=draw(2), settings={"restore": 0.0})
    report = base.check_collapse(omega, latents, generator=draw(3), validation=held)
    assert report.ok, report.faults
    assert report.novelty > 0.75
    assert report.spread == pytest.approx(1, abs=0.1)
    assert base.check_collapse(mixed, latents, generator=draw(3)).spread < 0.8
    drawn, other = omega.sample(500, draw(4)).split(250)
    gaussian = base.fit("gaussian", latents, generator=draw(0)).sample(500, draw(4))
    ours = centred_cost(drawn, other, held[:250], held[250:])
    assert ours < centred_cost(*gaussian.split(250), held[:250], held[250:])


def test_the_hard_map_trips_the_guard():
    latents = curved(200, draw(0))
    omega = base.fit("ae-ot", latents, generator=draw(1), settings={"mode": "hard"})
    report = base.check_collapse(omega, latents, generator=draw(2))
    assert report.replay == 1
    assert "replay" in report.faults[0]


def test_every_mode_gets_its_share_and_nothing_lies_between():
    latents = eight_gaussians(800, draw(0))
    omega = base.fit("ae-ot", latents, generator=draw(1), settings={"tolerance": 0.01})
    drawn = omega.sample(8000, draw(2))
    centres = 4 * torch.tensor(
        [[math.cos(k * math.pi / 4), math.sin(k * math.pi / 4)] for k in range(8)]
    )
    distance, mode = torch.cdist(drawn, centres).min(1)
    assert (distance > 1.0).float().mean() <= 0.001
    shares = torch.bincount(torch.cdist(latents, centres).argmin(1), minlength=8) / 800
    counts = torch.bincount(mode, minlength=8) / 8000
    assert torch.allclose(counts, shares, atol=4 * (0.125 * 0.875 / 8000) ** 0.5 + 0.005)


def test_rejecting_draws_again_until_none_is_near_the_singular_set():
    latents = eight_gaussians(300, draw(0))
    wide = {"band": 2.0, "tolerance": 0.02}
    route = base.fit("ae-ot", latents, generator=draw(1), settings=wide)
    reject = base.fit("ae-ot", latents, generator=draw(1), settings={**wide, "singular": "reject"})
    x = torch.randn(2000, 2, generator=draw(2))
    _, rejected = route.push(x, draw(3))
    assert 0.005 < rejected.float().mean() < 0.5
    kept, redrawn = route.sample(2000, draw(2)), reject.sample(2000, draw(2))
    assert torch.equal(kept[~rejected], redrawn[~rejected])
    assert (kept[rejected] != redrawn[rejected]).any(1).all()


def test_relaxation_moves_each_draw_towards_its_noise():
    latents = 5 + curved(100, draw(0))
    near = base.fit("ae-ot", latents, generator=draw(1), settings={"relaxation": 1.0})
    plain = base.fit("ae-ot", latents, generator=draw(1))
    x = torch.randn(100, 32, generator=draw(5))
    pushed, _ = plain.push(x, draw(6))
    relaxed, _ = near.push(x, draw(6))
    assert torch.allclose(relaxed, (pushed + x) / 2, atol=1e-5)
    far = base.fit("ae-ot", latents, generator=draw(1), settings={"relaxation": 1e6})
    assert torch.allclose(torch.cov(far.sample(20_000, draw(2)).T), torch.eye(32), atol=0.06)


def test_duplicates_count_by_their_weight_and_few_latents_are_enough():
    twice = torch.tensor([[0.0, 0], [4.0, 0], [4.0, 0], [4.0, 0]])
    omega = base.fit("ae-ot", twice, generator=draw(0), settings={"mode": "hard"})
    share = (omega.sample(20_000, draw(1))[:, 0] > 2).float().mean()
    assert float(share) == pytest.approx(0.75, abs=0.04)
    line = base.fit("ae-ot", twice, generator=draw(0)).sample(100, draw(1))
    assert (line[:, 1] == 0).all()
    assert torch.isfinite(line).all()


def test_bad_settings_are_refused():
    for wrong in [{"neighbours": 0}, {"restore": 1.5}, {"relaxation": -0.1}]:
        with pytest.raises(InputError):
            TransportedSettings(**wrong)
