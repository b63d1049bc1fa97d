"""Bytes of live tensors, in cases where they are known."""

import json

import pytest
import torch

from pcgen.cli import run_module
from tests.benchmarks import memory
from tests.benchmarks.memory import peak_bytes


def test_the_peak_is_what_lives_at_one_time():
    def work():
        one = torch.zeros(1000)  # 4000 bytes
        two = one + 1  # 8000
        del one
        three = torch.cat([two, two])  # 12000, the peak
        del two
        return three[:10].clone()

    assert peak_bytes(work) == 12_000


def test_views_and_work_in_place_cost_nothing():
    def work():
        whole = torch.zeros(500, 2)
        whole.add_(1).T[1:].mul_(2)

    assert peak_bytes(work) == 4000


def test_what_a_gradient_needs_is_counted():
    weight = torch.ones(100, requires_grad=True)

    def work():
        # Each square keeps its input: 3 kept, then the sum; backward works in what is freed.
        weight.square().square().square().sum().backward()

    kept = 3 * 400  # the last square is freed by the sum, its input is not
    assert kept <= peak_bytes(work) <= kept + 3 * 400


@pytest.mark.slow
def test_every_loop_has_a_row_and_rows_cost_memory(capsys):
    assert run_module(memory, "memory", ["--preset", "cpu-tiny", "--quiet", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["loops"]
    assert [row["loop"] for row in rows] == [
        "autoencoder", "latent-flow/teacher", "latent-flow/student",
        "point-flow/teacher", "point-flow/student",
    ]  # fmt: skip
    for row in rows:
        assert row["state"] == 16 * row["weights"]
        assert row["all"] == row["state"] + row["step"] > 20 * row["weights"] * 0.99
    assert rows[-1]["per_row"] > 128 * 3 * 4  # its points alone
