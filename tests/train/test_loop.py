"""The training loop: exact resume, the NaN guard, the log."""

import pytest
import torch
from torch import nn

from pcgen.errors import TrainingError
from pcgen.train import loop
from pcgen.train.loop import LoopSettings, Trainer, read_metrics

SETTINGS = LoopSettings(steps=40, batch=8, rate=1e-2, log_every=5)


def build():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(2, 16), nn.SiLU(), nn.Linear(16, 1))


def loss(module, generator):
    x = torch.randn(8, 2, generator=generator)
    return (module(x) - x.prod(1, keepdim=True)).square().mean()


def run(folder, stop_after=None, settings=SETTINGS):
    trainer = Trainer(folder, build(), loss, settings, seed=3)
    for step in trainer.steps():
        if step.number == stop_after:
            return trainer
    return trainer


@pytest.fixture
def saves_at_every_log(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)


def test_training_lowers_the_loss(tmp_path):
    run(tmp_path)
    curve = read_metrics(tmp_path)
    assert [line["step"] for line in curve] == [*range(5, 41, 5)]
    assert curve[-1]["loss"] < curve[0]["loss"]


@pytest.mark.usefixtures("saves_at_every_log")
@pytest.mark.parametrize("stop_after", [1, 5, 17, 39])
def test_a_stopped_run_ends_at_the_weights_of_an_uninterrupted_one(tmp_path, stop_after):
    run(tmp_path / "whole")
    run(tmp_path / "parts", stop_after)
    run(tmp_path / "parts")
    for name in ("weights.safetensors", "metrics.jsonl"):
        whole, parts = (tmp_path / f / name for f in ("whole", "parts"))
        if name == "metrics.jsonl":
            assert [m["loss"] for m in read_metrics(whole.parent)] == [
                m["loss"] for m in read_metrics(parts.parent)
            ]
        else:
            assert whole.read_bytes() == parts.read_bytes()


def test_a_finished_loop_takes_no_more_steps(tmp_path):
    run(tmp_path)
    assert list(Trainer(tmp_path, build(), loss, SETTINGS, seed=3).steps()) == []


@pytest.mark.usefixtures("saves_at_every_log")
def test_a_loss_that_is_not_finite_stops_with_its_name_and_keeps_the_last_state(tmp_path):
    def sick(module, generator):
        value = loss(module, generator)
        return value * float("nan") if trainer.done == 12 else value

    trainer = Trainer(tmp_path, build(), sick, SETTINGS, seed=3)
    with pytest.raises(TrainingError, match="the loss is not a finite number at step 12"):
        list(trainer.steps())
    assert Trainer(tmp_path, build(), loss, SETTINGS, seed=3).done == 10


def test_a_gradient_that_is_not_finite_is_named(tmp_path):
    def steep(module, generator):
        return (module[0].weight * 0).sqrt().sum() + loss(module, generator)

    trainer = Trainer(tmp_path, build(), steep, SETTINGS, seed=3)
    with pytest.raises(TrainingError, match=r"gradient of 0\.weight"):
        trainer.step()


def test_a_state_of_another_architecture_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(TrainingError, match="does not fit this stage"):
        Trainer(tmp_path, nn.Linear(2, 1), loss, SETTINGS, seed=3)


def test_the_rate_rises_then_falls():
    rates = [SETTINGS.rate_at(step) for step in range(40)]
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) <= SETTINGS.rate


def test_a_step_leaves_denormal_numbers_to_the_rest_of_the_process(tmp_path):
    # SciPy's KD-trees recurse without end where these count as zero, and end the process.
    Trainer(tmp_path, build(), loss, SETTINGS, seed=3).step()
    assert float(torch.tensor([1e-40]) * 0.5) > 0
