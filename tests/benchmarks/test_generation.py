"""The benchmark of generation: the control differs in its base only, and work is resumed."""

import json

import pytest

from pcgen.cli import run_module
from tests.benchmarks import generation
from tests.test_generation import make_dataset


@pytest.mark.slow
def test_the_control_shares_all_but_the_base_and_nothing_is_done_twice(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(generation, "POINTS", (128, 256))
    data = tmp_path / "data"
    make_dataset(data, count=24)
    words = [str(data), "--out", str(tmp_path / "out"), "--preset"]
    words += ["cpu-tiny", "--minutes", "0.1", "--seeds", "2", "--threads", "1", "--json", "--quiet"]
    assert run_module(generation, "generation", words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["base"] for row in result["rows"]] == ["ae-ot", "standard"]
    ours, control = tmp_path / "out" / "0.1-ae-ot", tmp_path / "out" / "0.1-standard"
    for stage in generation.SHARED:
        for weights in (ours / stage).rglob("weights.safetensors"):
            same = control / weights.relative_to(ours)
            assert same.read_bytes() == weights.read_bytes()
    bases = [(path / "base" / "base.safetensors").read_bytes() for path in (ours, control)]
    assert bases[0] != bases[1]
    assert len(generation.describe(result).splitlines()) == 2 + 2 + 4
    for row in result["rows"]:  # of two values, half their difference
        assert 0 <= row["figures"]["128"]["nna_cd_error"] <= 0.5
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.safetensors")}
    assert run_module(generation, "generation", words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == result
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_budgets_must_be_numbers(tmp_path, capsys):
    words = [str(tmp_path), "--out", str(tmp_path), "--minutes", "five"]
    assert run_module(generation, "generation", words) == 2
    assert "numbers" in capsys.readouterr().err
