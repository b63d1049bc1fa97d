"""Shares of a batch add up to the whole, whichever process computes them."""

import itertools
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from pcgen.batch_random import BatchGenerator, mine, whole
from pcgen.errors import InputError
from pcgen.flow.characteristic import StudentSettings, matching_loss, semigroup_loss
from pcgen.flow.networks import LatentFlowNetwork
from pcgen.latent.augment import augment
from pcgen.latent.autoencoder import Autoencoder, AutoencoderSettings
from pcgen.processes import Group
from pcgen.train import loop
from pcgen.train.data import TrainingClouds
from pcgen.train.execution import Execution
from pcgen.train.loop import LoopSettings, Trainer
from pcgen.train.step_workers import StepWorkers
from tests.boxes import boxes

BATCH = 7


def generator_for(rows, seed=5):
    generator = BatchGenerator()
    generator.manual_seed(seed)
    generator.batch, generator.rows = BATCH, rows
    return generator


def autoencoder_loss(kind):
    clouds = torch.from_numpy(boxes(9, 400)[0])
    torch.manual_seed(0)
    sizes = AutoencoderSettings(
        encoder=kind, latent_dim=8, width=16, parts=8, points=64, scored=64, levels=2, code=4,
        patch_width=8, tokens=4,
    )  # fmt: skip
    module = Autoencoder(sizes, clouds[0, :8])
    data = TrainingClouds(torch.arange(9), clouds, None, torch.zeros(9, dtype=torch.int64), ("a",))

    def loss(generator):
        shapes = mine(torch.randint(9, (BATCH,), generator=generator), generator)
        drawn, _ = data.draw(shapes, 128, generator)
        return module.loss(augment(drawn, 0.2, generator)[0], generator)

    return module, loss


def flow_losses(kind):
    torch.manual_seed(0)
    module, average, teacher = (LatentFlowNetwork(3, 16, 1) for _ in range(3))
    nn.init.normal_(module.leave.weight)
    data = torch.randn(20, 3)

    def loss(generator):
        index = mine(torch.randint(20, (BATCH,), generator=generator), generator)
        start, end = data[index], 2 * data[index] + 1
        if kind == "teacher":
            return matching_loss(module, start, end, generator)
        return semigroup_loss(module, average, teacher, start, end, StudentSettings(), generator)

    return module, loss


LOSSES = {
    **{
        kind: lambda kind=kind: autoencoder_loss(kind) for kind in ("patches", "tokens", "pointnet")
    },
    "teacher": lambda: flow_losses("teacher"),
    "student": lambda: flow_losses("student"),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("cuts", [(0, 7), (0, 3, 7), (0, 1, 2, 4, 7)])
def test_a_loss_of_parts_is_the_loss_of_the_batch(name, cuts):
    """They agree in value, gradient and final state of the generator."""
    module, loss = LOSSES[name]()
    plain = torch.Generator().manual_seed(5)
    expected = loss(plain)
    (wanted,) = torch.autograd.grad(expected, next(module.parameters()))
    total, gradient = torch.zeros(()), torch.zeros_like(wanted)
    for begin, end in itertools.pairwise(cuts):
        generator = generator_for(slice(begin, end))
        part = loss(generator) * ((end - begin) / BATCH)
        gradient += torch.autograd.grad(part, next(module.parameters()))[0]
        total += part.detach()
        assert torch.equal(generator.get_state(), plain.get_state())
    assert float(total) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert torch.allclose(gradient, wanted, rtol=1e-4, atol=1e-6)


def test_a_plain_generator_draws_for_the_rows_at_hand(generator):
    assert whole(3, generator) == 3
    assert mine(torch.arange(3), generator).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("size", "accumulate", "batch"), [(1, 1, 8), (3, 1, 8), (2, 3, 7)])
def test_parts_cover_a_batch_once(size, accumulate, batch):
    rows = [
        np.arange(batch)[part]
        for rank in range(size)
        for part in Execution(Group(rank, size), accumulate).parts(batch)
    ]
    assert np.concatenate(rows).tolist() == list(range(batch))
    assert {len(part) for part in rows} <= {batch // len(rows), -(-batch // len(rows))}
    shares = [np.arange(batch)[Group(rank, size).rows(batch)] for rank in range(size)]
    assert np.concatenate(shares).tolist() == list(range(batch))


def test_a_batch_is_not_cut_into_crumbs_for_a_machine_of_many_cores():
    """64 parts of 4 rows of the latent flow took three times as long as 8 of 32."""
    assert len(list(Execution().parts(256, 64))) == 8
    assert len(list(Execution(accumulate=3).parts(256, 64))) == 24


def test_more_parts_than_rows_are_refused():
    with pytest.raises(InputError, match=r"batches of 8.*start fewer"):
        Execution(Group(0, 3), 3).check_batch(8, "this preset")


def trained(folder, **options):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 16), nn.SiLU(), nn.Linear(16, 1))

    def loss(module, generator):
        x = mine(torch.randn(whole(0, generator), 2, generator=generator), generator)
        return (module(x) - x.prod(1, keepdim=True)).square().mean()

    settings = LoopSettings(steps=30, batch=8, rate=1e-2)
    trainer = Trainer(folder, module, loss, settings, seed=3, execution=Execution(**options))
    losses = [step.loss for step in trainer.steps()]
    return module[0].weight.detach(), losses


def test_accumulation_takes_the_same_steps(tmp_path):
    weight, losses = trained(tmp_path / "whole")
    parts, of_parts = trained(tmp_path / "parts", accumulate=3)
    assert torch.allclose(parts, weight, atol=1e-5)
    assert of_parts == pytest.approx(losses, rel=1e-4)


@pytest.fixture
def threads():
    """Sets torch's threads; as before afterwards."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("options", [{}, {"precision": "bfloat16"}, {"accumulate": 2}])
def test_workers_take_the_steps_of_as_many_parts(tmp_path, threads, options):
    threads(1)
    parts = {**options, "accumulate": 2 * options.get("accumulate", 1)}
    weight, losses = trained(tmp_path / "parts", **parts)
    threads(2)
    shared, of_shared = trained(tmp_path / "workers", **options)
    assert torch.get_num_threads() == 2
    assert torch.equal(shared, weight)
    assert of_shared == losses


@pytest.mark.parametrize(
    ("batch", "accumulate", "rounds"),
    [
        (7, 1, [[2, 2, 3]]),
        (2, 1, [[1, 1]]),
        (1, 1, []),
        (5, 1, [[1, 2, 2]]),
        (5, 2, [[1, 1], [1, 2]]),  # there are rows for two processes
        (5, 3, []),
        (5, 4, []),
    ],
)
def test_workers_share_a_batch_in_as_many_rounds_as_accumulation_asks_for(
    tmp_path, threads, monkeypatch, batch, accumulate, rounds
):
    threads(3)
    seen, forked = [], []
    of_parts, begin = StepWorkers.of_parts, StepWorkers.__init__

    def begun(self, count, *others):
        forked.append(count)
        begin(self, count, *others)

    def watched(self, parts, state):
        seen.append([part.stop - part.start for part in parts])
        return of_parts(self, parts, state)

    def loss(module, generator):
        assert torch.get_num_threads() == 1
        x = torch.randn(whole(0, generator), 2, generator=generator)
        return module(mine(x, generator)).mean()

    monkeypatch.setattr(StepWorkers, "__init__", begun)
    monkeypatch.setattr(StepWorkers, "of_parts", watched)
    settings, execution = LoopSettings(steps=1, batch=batch), Execution(accumulate=accumulate)
    trainer = Trainer(tmp_path, nn.Linear(2, 1), loss, settings, seed=0, execution=execution)
    for _ in trainer.steps():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    assert seen == rounds
    assert forked == [len(parts) for parts in rounds[:1]]


def test_a_weight_that_only_some_rows_use_has_the_gradients_of_all_rounds(tmp_path, threads):
    """It is used by the copy, once in each of two rounds, and not by the calling process."""

    def loss(module, generator):
        x = mine(torch.randn(8, generator=generator), generator)
        weight = module.weight[0, 0] + (module.bias[0] if generator.rows.start % 4 else 0)
        return (weight * x).square().mean()

    weights = []
    for count, accumulate in ((1, 4), (2, 2)):
        threads(count)
        module = nn.Linear(1, 1)
        nn.init.ones_(module.weight)
        nn.init.ones_(module.bias)
        settings, execution = LoopSettings(steps=20, batch=8), Execution(accumulate=accumulate)
        folder = tmp_path / str(count)
        list(Trainer(folder, module, loss, settings, seed=0, execution=execution).steps())
        weights.append([float(module.weight), float(module.bias)])
    assert weights[0] == weights[1]
    assert weights[0][1] != 1


@pytest.mark.parametrize("kind", ["aliased", "expanded"])
def test_gradients_that_share_memory_are_clipped_once(tmp_path, threads, kind):
    """Of weights that only the first part uses: torch returns one tensor for both."""

    def loss(module, generator):
        x = mine(torch.randn(4, generator=generator), generator)
        rest = x.mean() * module.other.sum()
        if generator.rows.start:
            return rest
        own = (module.weight + module.bias).square() if kind == "aliased" else module.weight
        return rest + 9 * own.sum()

    weights = []
    for count, accumulate in ((1, 2), (2, 1)):
        threads(count)
        module = nn.Module()
        for name in ("weight", "bias", "other"):
            setattr(module, name, nn.Parameter(torch.ones(3)))
        settings, execution = LoopSettings(steps=5, batch=4), Execution(accumulate=accumulate)
        folder = tmp_path / str(count)
        list(Trainer(folder, module, loss, settings, seed=0, execution=execution).steps())
        weights.append(module.weight.tolist())
    assert weights[0] == weights[1]
    assert weights[0][0] != 1


def test_denormals_are_zero_in_the_whole_step(tmp_path, threads, monkeypatch):
    threads(2)
    products = []

    def loss(module, generator):
        tiny = torch.full((1,), 1e-40) * 0.5
        return module(mine(torch.randn(4, 2, generator=generator), generator)).mean() + 1e38 * tiny

    def watched(self):
        products.append(float(torch.full((1,), 1e-40) * 0.5))

    monkeypatch.setattr(Trainer, "_move_average", watched)
    module = nn.Linear(2, 1)
    nn.init.zeros_(module.weight)
    nn.init.zeros_(module.bias)
    trainer = Trainer(tmp_path, module, loss, LoopSettings(steps=1, batch=4), seed=0)
    assert [step.loss for step in trainer.steps()] == [0.0]
    assert products == [0.0]


def test_where_processes_cannot_be_forked_one_computes_all_rows(tmp_path, threads, monkeypatch):
    threads(1)
    weight, losses = trained(tmp_path / "one")
    threads(2)
    monkeypatch.setattr(loop, "can_fork", lambda: False)
    whole_batch, of_whole = trained(tmp_path / "unable")
    assert torch.equal(whole_batch, weight)
    assert of_whole == losses


def test_a_fault_in_a_worker_is_told_and_leaves_the_threads_of_torch(tmp_path, threads):
    threads(2)

    def loss(module, generator):
        if generator.rows.start:
            raise InputError("no such batch")
        return module(torch.ones(2, 2)).mean()

    trainer = Trainer(tmp_path, nn.Linear(2, 1), loss, LoopSettings(steps=1, batch=4), seed=0)
    with pytest.raises(InputError, match="no such batch") as caught:
        list(trainer.steps())
    assert "in loss" in caught.value.__notes__[0]
    assert torch.get_num_threads() == 2


def test_bfloat16_rounds_products_and_nothing_else(tmp_path):
    weight, losses = trained(tmp_path / "single")
    rounded, of_rounded = trained(tmp_path / "rounded", precision="bfloat16")
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, weight)
    assert of_rounded == pytest.approx(losses, rel=0.05)
    x, layer = torch.randn(50, 64), nn.Linear(64, 64)
    with Execution(precision="bfloat16").rounding():
        product, exact = layer(x), x @ layer.weight.T
    assert torch.equal(exact, x @ layer.weight.T)
    assert 0 < float((product - layer(x)).abs().max()) < 0.05


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match="float32, tf32, bfloat16"):
        Execution(precision="float16")


def test_a_device_without_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(InputError, match="does not support bfloat16"):
        Execution(precision="bfloat16").check_device("cuda:0")
