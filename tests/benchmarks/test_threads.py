"""Steps with several numbers of threads, in turns."""

import torch
from torch import nn

from pcgen.batch_random import mine, whole
from pcgen.train.loop import LoopSettings
from tests.benchmarks import threads


def test_numbers_of_threads_take_turns_and_first_steps_do_not_count(tmp_path):
    trainer, rows = threads._timed([1, 2])
    parts = []

    def loss(module, draw):
        x = mine(torch.randn(whole(4, draw), 2, generator=draw), draw)
        parts.append(len(x))
        return module(x).square().mean()

    settings = LoopSettings(steps=4 * threads.ROUND, batch=4)
    list(trainer(tmp_path / "field", nn.Linear(2, 1), loss, settings, seed=0).steps())
    # Those of this process, which computes the first part of each batch.
    assert parts == 2 * ([4] * threads.ROUND + [2] * threads.ROUND)
    counted = {number: len(steps) for number, steps in rows["field"].items()}
    assert counted == dict.fromkeys((1, 2), 2 * (threads.ROUND - 1))


def test_the_ratio_is_that_of_medians_by_the_clock():
    taken = {1: [(0.04, 0.1), (0.06, 0.1), (9.0, 9.0)], 2: [(0.03, 0.1)] * 3}
    found = threads.medians({"field": taken})
    assert found["field"][1] == {"seconds": 0.06, "cpu": 0.1}
    line = threads.describe({"preset": "cpu-tiny", "threads": [1, 2], "loops": found})
    assert line.endswith("  2.00")
