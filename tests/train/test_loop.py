"""The training loop: exact resume, the NaN guard, the log."""

import dataclasses

import pytest
import torch
from torch import nn

from pcgen.batch_random import mine, whole
from pcgen.errors import InputError, TrainingError
from pcgen.train import loop
from pcgen.train.execution import Execution
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
    with pytest.raises(TrainingError, match="the loss is not finite at step 12"):
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
    rates = [SETTINGS.rate_at(step, step / 40) for step in range(40)]
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert max(rates) <= SETTINGS.rate


def test_a_step_leaves_denormal_numbers_to_the_rest_of_the_process(tmp_path):
    # SciPy's KD-trees recurse without end where these count as zero, and end the process.
    Trainer(tmp_path, build(), loss, SETTINGS, seed=3).step()
    assert float(torch.tensor([1e-40]) * 0.5) > 0


class Clocked(Trainer):
    """A step takes ``cost(step)`` seconds of its own clock."""

    def __init__(self, *args, cost, **options):
        super().__init__(*args, **options)
        self.now, self.cost, self.rates = 0.0, cost, []
        self.clock = lambda: self.now

    def step(self):
        lost = super().step()
        self.rates.append(self.optimiser.param_groups[0]["lr"])
        self.now += self.cost(self.done)
        return lost


def clocked(folder, cost, seconds=10.0):
    settings = dataclasses.replace(SETTINGS, seconds=seconds, warmup=1)
    return Clocked(folder, build(), loss, settings, seed=3, cost=cost)


@pytest.mark.parametrize("quick", [0.01, 0.1, 0.9])
def test_a_loop_ends_by_the_clock_whatever_a_step_takes(tmp_path, quick):
    """A machine that becomes ten times slower half-way: the rate still falls to its end."""
    trainer = clocked(tmp_path, lambda step: quick if trainer.now < 5 else 10 * quick)
    steps = list(trainer.steps())
    assert 10 <= steps[-1].seconds < 10 + 10 * quick
    assert (tmp_path / "weights.safetensors").exists()
    halves = [trainer.rates[k] for k, step in enumerate(steps[:-1], 1) if step.seconds >= 5]
    assert halves[0] == pytest.approx(0.51 * SETTINGS.rate, rel=0.5 * quick + 1e-9)
    share = steps[-2].seconds / 10
    assert trainer.rates[-1] == SETTINGS.rate_at(len(steps), share)


def test_a_loop_without_time_takes_one_step(tmp_path):
    assert [step.number for step in clocked(tmp_path, lambda _: 1.0, 1e-3).steps()] == [1]


@pytest.mark.usefixtures("saves_at_every_log")
def test_a_stopped_loop_goes_on_with_the_time_it_had_used(tmp_path):
    first = clocked(tmp_path, lambda _: 0.1)
    next(step for step in first.steps() if step.number == 57)
    second = clocked(tmp_path, lambda _: 0.1)
    assert (second.done, second.reached[0]) == (55, pytest.approx(5.5))
    steps = list(second.steps())
    assert steps[-1].number == pytest.approx(100, abs=1)
    assert second.rates[0] == pytest.approx(first.rates[55])


def test_a_process_follows_the_clock_of_the_first(tmp_path):
    class Other:
        """A group whose first process reports twice the time."""

        size, rank, first = 2, 1, False

        def value(self, make):
            made = make()
            return 2 * made if isinstance(made, float) else made

        def sum_(self, tensors):
            pass

        def same(self, make, complaint):
            pass

    trainer = clocked(tmp_path, lambda _: 1.0)
    trainer.group = Other()
    assert list(trainer.steps())[-1].number == 5


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_loop_needs_a_time_that_is_positive(seconds):
    with pytest.raises(InputError, match="seconds must be positive"):
        LoopSettings(steps=1, seconds=seconds)


def full_above(rows):
    """A loss on a device that has memory for this many rows."""

    def loss(module, generator):
        x = mine(torch.randn(whole(8, generator), 2, generator=generator), generator)
        if len(x) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return module(x).square().mean()

    return loss


def steps_of(folder, rows, accumulate=1):
    settings = dataclasses.replace(SETTINGS, steps=6, batch=8)
    execution = Execution(accumulate=accumulate)
    trainer = Trainer(folder, build(), full_above(rows), settings, seed=3, execution=execution)
    trainer._threads = 1
    list(trainer.steps())
    return trainer


def test_a_step_without_memory_is_taken_in_smaller_parts(tmp_path, capsys):
    found = steps_of(tmp_path / "found", 2)
    assert found.execution.accumulate == 4
    assert capsys.readouterr().err.count("cut into") == 2
    expected = steps_of(tmp_path / "expected", 2, accumulate=4)
    for a, b in zip(found.module.parameters(), expected.module.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_row_without_memory_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(TrainingError, match=r"out of memory .* 2.00 GiB.*smaller --preset"):
        steps_of(tmp_path, 0)
