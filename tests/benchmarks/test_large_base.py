"""The benchmark of the base stage, on few latents."""

import json

from pcgen.cli import run_module
from tests.benchmarks import large_base


def test_every_part_of_the_stage_is_measured(capsys):
    words = ["--atoms", "200", "--dim", "6", "--map-samples", "20000", "--json", "--quiet"]
    assert run_module(large_base, "large_base", words) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    fit, guard, mapped, draw = found["rows"]
    assert [row["stage"] for row in found["rows"]] == ["fit", "guard", "map", "draw"]
    for row in (fit, mapped):
        assert row["status"] == "converged"
        assert row["chi2"] <= 0.05
        assert (row["dead"], row["untested"]) == (0, 0)
    assert 0 <= guard["replay"] <= 1
    assert found["before"] <= fit["peak"] <= draw["peak"]
    assert found["seconds"] == sum(row["seconds"] for row in found["rows"])
