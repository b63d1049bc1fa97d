"""The base stage: both of its transports end by the clock, and it is reported."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from pcgen import base
from pcgen.model.coupling import LatentCoupling, Latents
from pcgen.processes import ALONE
from pcgen.train import budget as budget_module
from pcgen.train import latents as stage
from pcgen.train.budget import Budget
from pcgen.train.presets import BaseSettings
from pcgen.transport.stochastic import time_limit

SHARES = {"base": 0.25, "point-flow": 0.75}
ENCODING = 40.0


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances while latents are encoded, and whenever a solver reads it."""
    now = SimpleNamespace(seconds=1000.0, tick=4.0)

    def monotonic():
        now.seconds += now.tick
        return now.seconds

    monkeypatch.setattr(budget_module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    monkeypatch.setattr(time_limit, "monotonic", monotonic)

    def encoded(context, spent):
        assert not spent()
        now.seconds += ENCODING
        draw = torch.Generator().manual_seed(0)
        count = torch.arange(60)
        pairs = torch.stack([count, count.roll(1)], 1)
        none, z = torch.zeros(60, 3).bool(), torch.randn(60, 6, generator=draw)
        return Latents.of(z, pairs, pairs > 90, none, count % 1, 6), {"reach": 1}

    monkeypatch.setattr(stage, "_latents", encoded)
    return now


def context_of(folder, minutes, family="gaussian", tolerance=0.05):
    budget = Budget(folder, minutes, SHARES)
    (folder / "base").mkdir(exist_ok=True)
    settings = SimpleNamespace(base=BaseSettings(name=family, tolerance=tolerance))
    return SimpleNamespace(
        run=SimpleNamespace(settings=settings, stage=lambda name: folder / name),
        budget=budget,
        clouds=range(60),
        seconds=budget.share,
        seed=lambda stage, part=0: part,
        device="cpu",
        group=ALONE,
    )


def test_the_stage_ends_by_the_clock_and_says_so(clock, tmp_path, capsys):
    """The tolerance would take millions of samples."""
    begun = clock.seconds
    facts = stage.train(context_of(tmp_path, 20.0, tolerance=1e-5))
    share = 1200 * SHARES["base"]
    assert share <= clock.seconds - begun <= 1.1 * share + 3 * clock.tick
    assert facts["map"]["status"] == "budget"
    assert facts["map"]["dead"] == 0
    message = capsys.readouterr().err
    assert "the map from the base to the latents was ended by its budget of" in message
    coupling = LatentCoupling.load(tmp_path / "base", None, 1)
    assert coupling.omega.sample(5, torch.Generator()).isfinite().all()
    assert coupling.potential.isfinite().all()


def test_a_base_ends_by_the_clock_too(clock, tmp_path, capsys, monkeypatch):
    """Steps are so slow that the base and the map get only a few."""
    clock.tick, begun, couple = 12.0, clock.seconds, stage.couple
    noise = base.fit("standard", torch.zeros(2, 6), generator=torch.Generator())
    monkeypatch.setattr(stage, "couple", lambda _, *rest: couple(noise, *rest))
    stage.train(context_of(tmp_path, 20.0, "ae-ot", tolerance=1e-5))
    share = 1200 * SHARES["base"]
    assert share <= clock.seconds - begun <= 1.1 * share + 4 * clock.tick
    message = capsys.readouterr().err
    assert f"the transport was ended by its budget of {(share - ENCODING) / 3:.3g} s" in message
    assert "the map from the base to the latents was ended by its budget" in message
    coupling = LatentCoupling.load(tmp_path / "base", None, 1)
    assert coupling.omega.sample(5, torch.Generator()).isfinite().all()
    assert coupling.potential.isfinite().all()


@pytest.mark.parametrize(("shapes", "share"), [(60, 0.7), (3000, 0.5)])
def test_encoding_leaves_time_to_the_transports(clock, tmp_path, monkeypatch, shapes, share):
    asked, encoded = [], stage._latents

    def slowly(context, spent):
        for _ in range(7):
            clock.seconds += 40.0
            asked.append(spent())
        return encoded(context, lambda: False)

    monkeypatch.setattr(stage, "_latents", slowly)
    monkeypatch.setattr(clock, "tick", 0.0)
    context = context_of(tmp_path, 20.0)
    context.clouds = range(shapes)
    stage.train(context)
    assert asked == [40.0 * k >= share * 300 for k in range(1, 8)]


def test_an_interrupted_stage_counts_the_time_that_it_took(clock, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stage, "couple", killed)
        with pytest.raises(KeyboardInterrupt):
            stage.train(context_of(tmp_path, 20.0))
    again = context_of(tmp_path, 20.0)
    again.budget.begin("base")
    assert ENCODING <= again.budget.used() < 1200 * SHARES["base"]
    assert stage.train(again)["map"]["status"] == "converged"


def test_without_a_budget_samples_are_counted(clock, tmp_path, monkeypatch):
    solvers, couple, begun = [], stage.couple, clock.seconds

    def quickly(omega, y, solver, *rest):
        solvers.append(solver)
        return couple(omega, y, dataclasses.replace(solver, tolerance=0.5), *rest)

    monkeypatch.setattr(stage, "couple", quickly)
    stage.train(context_of(tmp_path, None))
    assert clock.seconds == begun + ENCODING  # no solver looks at it
    (solver,) = solvers
    products = 2 / 3 * stage.PLAIN_SECONDS * stage.MAP_PRODUCTS
    assert solver.max_samples == int(products / stage.FEWEST_PRODUCTS)  # more than 60 · 6
    assert solver.max_seconds is None
    assert not (tmp_path / "base" / "clock.json").exists()


@pytest.mark.parametrize(
    ("count", "stop", "wanted"),
    [
        (3000, 5, stage.IN_ORDER),
        (3000, 40, 40 * stage.CHUNK),  # in random order, anywhere
        (3000, 10_000, 6000),
        (100, 1, 100),  # a whole round of few shapes
        (100, 2, 200),  # the second chunk reaches into the second round
        (100, 10_000, 200),
    ],
)
def test_encoding_ends_when_its_time_is_spent(count, stop, wanted):
    shapes, asked = torch.arange(count) * 3, iter(range(1, 10_001))
    chunks = list(stage.rounds(shapes, 2, lambda: next(asked) >= stop))
    assert torch.equal(torch.cat(chunks), shapes.repeat(2)[:wanted])
    assert all(0 < len(chunk) <= stage.CHUNK for chunk in chunks)


def test_a_few_latents_get_no_more_samples_than_many():
    """Three that no map balances once took hours; every sample takes some time."""
    few, many = (stage._samples(torch.zeros(count, 8), 0.5, 2e9) for count in (3, 100_000))
    assert few == 150_000
    assert many == 37_500
