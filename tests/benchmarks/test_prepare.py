"""The benchmark of prepare compares like with like, and any number of workers give one set."""

import json

import pytest

from pcgen.cli import run_module
from tests.benchmarks import prepare


def test_all_ways_find_the_same_area_and_workers_the_same_set(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(prepare, "SUBDIVISIONS", (2,))
    monkeypatch.setattr(prepare, "REPEATS", 1)
    code = run_module(prepare, "prepare", ["--shapes", "4", "--points", "64", "--json", "--quiet"])
    assert code == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {row["way"] for row in result["rows"]} == {"pcgen", "trimesh", "Open3D"}
    for row in result["rows"]:
        assert row["area"] == pytest.approx(0, abs=1e-4)
    one, two = result["workers"]
    assert one["content_hash"] == two["content_hash"]
    assert "core-hours" in prepare.describe(result)


def test_workers_must_be_numbers(capsys):
    assert run_module(prepare, "prepare", ["--workers", "two"]) == 2
    assert "numbers" in capsys.readouterr().err
