"""The conjugate-moment base as a member of the family."""

import torch

from pcgen import base, checkpoint
from pcgen.base.conjugate import ConjugateMomentSettings
from pcgen.transport.conjugate import measure


def draw(seed):
    return torch.Generator().manual_seed(seed)


QUICK = {"hidden": [16, 16], "steps": 4, "dual_steps": 30, "chains": 256}


def test_the_base_restores_exactly_and_reports_its_fit(tmp_path):
    latents = torch.randn(300, 5, generator=draw(0)) * torch.linspace(0.5, 1.5, 5) + 0.3
    omega = base.fit("conjugate-moment", latents, generator=draw(1), settings=QUICK)
    path = tmp_path / "base.safetensors"
    checkpoint.save(path, *omega.to_checkpoint())
    again = base.from_checkpoint(*checkpoint.load(path))
    assert torch.equal(omega.sample(40, draw(2)), again.sample(40, draw(2)))
    evidence = again.describe()["evidence"]
    assert evidence["failed_conjugates"] == 0
    assert 0.4 < evidence["acceptance"] < 0.75
    assert len(evidence["steps"]) == 4


def test_the_pushed_base_draws_on_the_latents_and_the_plain_one_from_the_log_concave_base():
    latents = torch.randn(500, 3, generator=draw(0)) * 2
    settings = ConjugateMomentSettings(
        hidden=(16,), steps=4, dual_steps=30, chains=256, pushed=True
    )
    pushed = base.fit("conjugate-moment", latents, generator=draw(1), settings=settings)
    plain = base.fit("conjugate-moment", latents, generator=draw(1), settings=QUICK)
    # The base of N(0, 4 I) is N(0, 4^(1/3) I).
    assert abs(pushed.sample(2000, draw(2)).std() - 2) < 0.2
    assert abs(plain.sample(2000, draw(2)).std() - 2 ** (1 / 3)) < 0.15


def test_failed_conjugates_of_pushed_draws_are_counted_and_shown(monkeypatch):
    """One iteration is too few for most; the fit notes it, and each base counts its own draws."""
    monkeypatch.setattr(measure, "PUSH_ITERATIONS", 1)
    latents = torch.randn(300, 3, generator=draw(0)).exp()
    settings = QUICK | {"pushed": True}
    omega = base.fit("conjugate-moment", latents, generator=draw(1), settings=settings, guard="off")
    described = omega.describe()
    assert described["evidence"]["failed_pushed"] > 0.5
    assert any("of the conjugates of its samples fail" in note for note in described["notes"])
    omega.sample(40, draw(2))
    assert omega.sample(60, draw(3)).isfinite().all()
    pushes = omega.describe()["pushes"]
    assert pushes["draws"] == 100
    assert pushes["failed"] > 50


def test_a_diverged_fit_says_so_in_the_notes():
    latents = 8 * torch.randn(400, 2, generator=draw(0))
    settings = {"hidden": [8], "steps": 10, "dual_steps": 40, "learning_rate": 0.1, "damping": 1.0}
    omega = base.fit("conjugate-moment", latents, generator=draw(1), settings=settings)
    assert "diverged" in omega.notes[0]
    assert omega.describe()["evidence"]["status"] == "diverged"
