"""The benchmark of bases of the point flow: its noise, and a row for each base and solver."""

import json

import pytest
import torch

from pcgen.cli import run_module
from pcgen.flow.networks import PointCondition
from tests.benchmarks import point_base
from tests.test_generation import make_dataset


def test_noise_has_the_mean_square_of_the_points_and_is_their_unit():
    start = 0.5 * torch.randn(4, 500, 3)
    empty = torch.zeros(4, 1)
    condition = PointCondition(empty, torch.ones(4), empty, empty, empty, empty, empty)
    noise, found = point_base.as_noise(start, condition, torch.Generator().manual_seed(0))
    assert noise.square().mean() == pytest.approx(0.25, rel=0.1)
    assert torch.allclose(found.scale, start.square().mean().sqrt().expand(4))


@pytest.mark.slow
def test_each_base_and_solver_has_a_row(tmp_path, monkeypatch, capsys):
    from pcgen.cli import main

    monkeypatch.setattr(point_base, "EVALUATIONS", (1, 2))
    make_dataset(tmp_path / "data", count=12)
    run = str(tmp_path / "run")
    tiny = ("--preset", "cpu-tiny", "--quiet")
    assert main(["train", str(tmp_path / "data"), "--out", run, *tiny]) == 0
    words = [run, "--out", str(tmp_path / "out"), "--minutes", "0.05", "--json", "--quiet"]
    capsys.readouterr()
    assert run_module(point_base, "point_base", words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(point_base.describe(result).splitlines()) == 2 + 4
    for base in point_base.BASES:
        for solver in point_base.SOLVERS:
            assert all(0.3 < value < 100 for value in result["ratio"][base][solver])
