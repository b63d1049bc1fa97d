"""Copies of the process that compute parts of a batch: they see every step, and end with it."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from pcgen.errors import TrainingError
from pcgen.train.step_workers import PartialGradient, StepWorkers

STATE = torch.arange(4, dtype=torch.uint8)
HALVES = [slice(0, 2), slice(2, 4)]


class Unsendable(Exception):
    def __init__(self, one, two):
        super().__init__("gone")


@pytest.fixture
def workers():
    """Makes workers for a function of (weight, other, rows); closes them."""
    made = []

    def make(loss, count=2):
        weight, other, unused = (nn.Parameter(torch.tensor([2.0])) for _ in range(3))

        def differentiate(rows, state):
            value = loss(weight, other, rows)
            found = torch.autograd.grad(value, [weight, unused], allow_unused=True)
            return PartialGradient(value.detach(), found, state + 1)

        made.append(StepWorkers(count, differentiate, [weight, unused], [other]))
        return made[-1], weight, other

    yield make
    for one in made:
        one.close()


def test_workers_see_weights_and_other_parameters_that_change(workers):
    both, weight, other = workers(lambda w, o, rows: (w * o * rows.stop).sum())
    for value in (2.0, 3.0):
        weight.data.fill_(value)
        other.data.fill_(10 * value)
        first, second = both.of_parts(HALVES, STATE)
        assert [float(first.loss), float(second.loss)] == [20 * value**2, 40 * value**2]
        assert float(second.gradients[0]) == 40 * value
        assert first.gradients[1] is None
        assert second.gradients[1] is None
        assert torch.equal(second.state, STATE + 1)
    assert len(both.of_parts(HALVES[:1], STATE)) == 1


def test_parts_are_computed_in_different_processes(workers):
    three, *_ = workers(lambda w, o, rows: (w * os.getpid()).sum(), count=3)
    parts = three.of_parts([*HALVES, slice(4, 5)], STATE)
    numbers = [int(part.loss) // 2 for part in parts]
    assert numbers[0] == os.getpid()
    assert len(set(numbers)) == 3


def test_copies_use_one_thread_as_others_are_not_copied(workers):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        both, *_ = workers(lambda w, o, rows: (w * torch.get_num_threads()).sum())
        assert [float(part.loss) for part in both.of_parts(HALVES, STATE)] == [6, 2]
    finally:
        torch.set_num_threads(before)


def test_after_a_fault_replies_are_those_of_the_next_call(workers):
    def loss(w, o, rows):
        if float(w) == rows.start:
            raise Unsendable(1, 2)
        return (w * rows.stop).sum()

    both, weight, _ = workers(loss)
    for faulty in (0.0, 2.0):  # in this process, then in the other
        weight.data.fill_(faulty)
        with pytest.raises(Exception, match=r"gone" if not faulty else r"Unsendable: gone"):
            both.of_parts(HALVES, STATE)
        weight.data.fill_(5.0)
        assert [float(part.loss) for part in both.of_parts(HALVES, STATE)] == [10, 20]


def test_a_worker_that_was_killed_is_named(workers):
    both, *_ = workers(lambda w, o, rows: w.sum())
    os.kill(both._processes[0], signal.SIGKILL)
    with pytest.raises(TrainingError, match="was it killed"):
        both.of_parts(HALVES, STATE)


def test_closing_ends_the_copies(workers):
    three, *_ = workers(lambda w, o, rows: w.sum(), count=3)
    processes = list(three._processes)
    three.close()
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_a_machine_without_room_for_a_process_is_named(workers, monkeypatch):
    def full():
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    with pytest.raises(TrainingError, match=r"temporarily unavailable.*--threads 1"):
        workers(lambda w, o, rows: w.sum())


KILLED = """
import os, pathlib, signal, sys, torch
from torch import nn
from pcgen.train.step_workers import StepWorkers
weight = nn.Parameter(torch.ones(1))
workers = StepWorkers(4, lambda rows, state: None, [weight])
pathlib.Path(sys.argv[1]).write_text(" ".join(map(str, workers._processes)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_copies_end_when_their_process_is_killed(tmp_path):
    numbers = tmp_path / "processes"
    subprocess.run([sys.executable, "-c", KILLED, str(numbers)], timeout=60)
    processes = [int(word) for word in numbers.read_text().split()]
    assert len(processes) == 3
    deadline = time.monotonic() + 60
    while any(_alive(process) for process in processes):
        assert time.monotonic() < deadline, "a copy outlived its process"


SEEN = """
import pathlib, sys
from tests.device import simulation
simulation.install()
import torch
from torch import nn
from pcgen.batch_random import mine
from pcgen.train.loop import LoopSettings, Trainer
torch.set_num_threads(2)

def loss(module, draw):
    return module(mine(torch.randn(4, 2, generator=draw), draw)).square().mean()

for name in ("first", "second"):
    folder = pathlib.Path(sys.argv[1]) / name
    trainer = Trainer(folder, nn.Linear(2, 1), loss, LoopSettings(steps=2, batch=4), seed=0)
    print(len(list(trainer.steps())))
"""


def test_where_torch_sees_a_gpu_nothing_is_forked(tmp_path):
    """A copy could not differentiate, once this process has."""
    words = [sys.executable, "-c", SEEN, str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert ended.stdout.split() == ["2", "2"], ended.stderr


def _alive(process):
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
