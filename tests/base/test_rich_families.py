"""Network base, collapse guard in fit, and the choice of auto."""

import pytest
import torch

from pcgen import base, checkpoint
from pcgen.base.energies import Estimate
from pcgen.base.network import NetworkSettings
from pcgen.base.selection import AutoSettings, separation, simplest_candidate
from pcgen.errors import InputError, TrainingError
from pcgen.transport.assignment import centred_cost


def draw(seed):
    return torch.Generator().manual_seed(seed)


def two_blobs(count, generator, dim=2):
    label = torch.randint(2, (count, 1), generator=generator) * 2.0 - 1
    return 2 * label * torch.eye(dim)[0] + 0.4 * torch.randn(count, dim, generator=generator)


def test_the_network_base_comes_closer_than_a_gaussian_and_restores_exactly(tmp_path):
    latents, fresh = two_blobs(600, draw(0)), two_blobs(512, draw(1))
    settings = NetworkSettings(hidden=64, steps=160, relaxation=0.0, batch=256)
    omega = base.fit("network", latents, generator=draw(2), settings=settings)
    gaussian = base.fit("gaussian", latents, generator=draw(2))
    halves = fresh.split(256)
    ours = centred_cost(*omega.sample(512, draw(3)).split(256), *halves)
    plain = centred_cost(*gaussian.sample(512, draw(3)).split(256), *halves)
    assert ours < 0.4 * plain
    path = tmp_path / "base.safetensors"
    checkpoint.save(path, *omega.to_checkpoint())
    again = base.from_checkpoint(*checkpoint.load(path))
    assert torch.equal(omega.sample(30, draw(4)), again.sample(30, draw(4)))
    assert again.describe()["evidence"]["looks"] == omega.evidence["looks"]


def test_the_network_base_returns_to_the_noise_under_a_large_relaxation():
    latents = 3 + two_blobs(200, draw(0))
    settings = {"relaxation": 1e3, "held_out": 0.0, "steps": 250, "learning_rate": 0.02}
    omega = base.fit("network", latents, generator=draw(1), settings=settings)
    drawn = omega.sample(4000, draw(2))
    assert drawn.mean(0).abs().max() < 0.15
    assert torch.allclose(torch.cov(drawn.T), torch.eye(2), atol=0.15)


OVER_RICH = {
    "hidden": 256,
    "steps": 400,
    "relaxation": 0.0,
    "held_out": 0.0,
    "learning_rate": 0.01,
    "batch": 256,
}


def test_an_over_rich_network_trips_the_guard_and_is_said():
    latents = torch.randn(16, 6, generator=draw(0))
    omega = base.fit("network", latents, generator=draw(1), settings=OVER_RICH)
    assert "replay training latents" in omega.notes[-1]


def test_the_guard_says_regularises_or_refuses():
    latents = torch.randn(100, 12, generator=draw(0))
    hard = {"mode": "hard"}
    fitted = base.fit("ae-ot", latents, generator=draw(1), settings=hard)
    assert "collapse guard" in fitted.notes[-1]
    eased = base.fit("ae-ot", latents, generator=draw(1), settings=hard, guard="regularise")
    assert eased.relaxation > 0
    assert "λ raised to" in eased.notes[-1]
    assert base.check_collapse(eased, latents, generator=draw(2)).ok
    with pytest.raises(TrainingError, match="base ae-ot is refused"):
        base.fit("ae-ot", latents, generator=draw(1), settings=hard, guard="refuse")
    quiet = base.fit("ae-ot", latents, generator=draw(1), settings=hard, guard="off")
    assert quiet.notes == ()


def test_auto_takes_the_gaussian_for_gaussian_latents_and_keeps_its_table():
    g = draw(0)
    latents = 0.5 + torch.randn(600, 8, generator=g) * torch.linspace(0.3, 2, 8)
    omega = base.fit("auto", latents, generator=g)
    assert omega.name == "gaussian"
    assert omega.notes[0].startswith("auto chose gaussian")
    assert sum(row.chosen for row in omega.table) == 1
    families = {row.family for row in omega.table}
    assert families == {"standard", "gaussian", "gmm", "ae-ot"}


def test_auto_takes_a_richer_family_where_one_gaussian_is_wrong(tmp_path):
    latents = two_blobs(800, draw(0), dim=4)
    omega = base.fit("auto", latents, generator=draw(1))
    assert omega.name in ("gmm", "ae-ot")
    checkpoint.save(tmp_path / "base.safetensors", *omega.to_checkpoint())
    again = base.from_checkpoint(*checkpoint.load(tmp_path / "base.safetensors"))
    assert torch.equal(omega.sample(50, draw(2)), again.sample(50, draw(2)))
    assert again.table == omega.table
    assert again.notes == omega.notes


def curved(count, generator):
    """A 5-dimensional manifold in 24 dimensions: a Gaussian has its moments, but not its shape."""
    fixed = draw(99)
    a, b = torch.randn(5, 40, generator=fixed) / 2, torch.randn(40, 24, generator=fixed) / 6
    return torch.sin(2 * torch.randn(count, 5, generator=generator) @ a) @ b


def test_the_choice_follows_from_the_table():
    settings = AutoSettings(relaxations=(0.0, 0.3))
    latents = curved(500, draw(0))
    omega = base.fit("auto", latents, generator=draw(1), settings=settings)
    lowest = min(row.energy for row in omega.table if not row.faults)
    near = [r for r in omega.table if not r.faults and r.behind <= r.behind_error]
    assert any(row.energy == lowest and row.behind == 0 for row in near)
    assert len(near) < len(omega.table)
    bound = min(row.separation for row in near) + 0.5 / (2 * 125) ** 0.5
    expected = next(row for row in near if row.separation <= bound)
    assert expected.chosen
    # The nearest-neighbour test decided: W₂² alone would have taken an earlier row.
    assert near[0].family != omega.name


def test_the_rule_asks_energy_first_then_neighbours_then_simplicity():
    behind = [Estimate(3.0, 1.0), Estimate(0.5, 1.0), Estimate(0.9, 1.0), Estimate(0.0, 0.0)]
    # The first is too far behind, although its neighbours are best; the fourth ties with the third.
    apart = [0.0, 0.3, 0.11, 0.1]
    assert simplest_candidate([0, 1, 2, 3], behind, apart, 200) == 2
    assert simplest_candidate([0, 1, 3], behind, apart, 200) == 3
    assert simplest_candidate([0, 1, 2, 3], behind, apart, 2) == 1


def test_separation_tells_copies_apart_from_the_law_and_not_the_law_from_itself():
    x, y = torch.randn(2, 400, 8, generator=draw(0)).unbind()
    assert separation(x, y) < 0.06
    assert separation(x + 20, y) == 0.5
    assert separation(0.3 * x, y) > 0.3


def test_auto_never_takes_what_the_guard_refuses(monkeypatch):
    latents = two_blobs(400, draw(0), dim=4)
    settings = AutoSettings(relaxations=(0.0,))
    free = base.fit("auto", latents, generator=draw(1), settings=settings)
    assert free.name != "standard"
    # A guard that faults every draw leaves only the standard base, which copies nothing.
    monkeypatch.setattr("pcgen.base.collapse_guard.EXCESS", -10)
    held = base.fit("auto", latents, generator=draw(1), settings=settings)
    assert held.name == "standard"
    assert all(row.faults for row in held.table if not row.chosen)
    only = AutoSettings(families=("gmm",), relaxations=(0.0,))
    none = base.fit("auto", latents, generator=draw(1), settings=only)
    assert "every candidate fails" in none.notes[0]


@pytest.mark.parametrize("count", [2, 20])
def test_auto_falls_back_to_the_gaussian_on_few_latents_and_says_so(count):
    omega = base.fit("auto", torch.randn(count, 5, generator=draw(0)), generator=draw(1))
    assert omega.name == "gaussian"
    assert "too few for a selection" in omega.notes[0]


def test_bad_requests_are_refused():
    latents = torch.randn(50, 2, generator=draw(0))
    with pytest.raises(InputError, match="guard must be one of"):
        base.fit("gaussian", latents, generator=draw(0), guard="maybe")
    with pytest.raises(InputError, match="other than auto"):
        AutoSettings(families=("auto",))
    with pytest.raises(InputError, match="one of standard"):
        base.fit("auto", latents, generator=draw(0), settings={"families": ["unknown"]})
    with pytest.raises(InputError, match="needs at least 8"):
        base.fit("network", latents[:4], generator=draw(0))
    with pytest.raises(InputError, match="positive"):
        NetworkSettings(steps=0)
