"""The benchmark of distances computes small clouds in every way, and all agree."""

import argparse

import pytest

from pcgen.errors import InputError
from tests.benchmarks import metrics


def parsed(*words):
    parser = argparse.ArgumentParser()
    metrics.add_arguments(parser)
    return parser.parse_args(words)


def test_every_way_that_is_there_agrees_with_float64(monkeypatch):
    ways = metrics._chamfer_ways()
    monkeypatch.setattr(
        metrics, "_chamfer_ways", lambda: {k: v for k, v in ways.items() if k != "keops"}
    )
    result = metrics.run(parsed("--points", "40", "--clouds", "2"))
    present = [row for row in result["rows"] if row["ms"] is not None]
    assert len(present) >= 8
    assert all(row["difference"] < 1e-4 for row in present)
    for name in ("cd", "emd_pointflow", "emd_pytorchemd", "emd_exact"):
        ratios = [row["ratio"] for row in present if row["distance"] == name]
        assert min(ratios) == pytest.approx(1)
    text = metrics.describe(result)
    assert "SciPy linear_sum_assignment" in text
    assert "40 points a cloud" in text


def test_sizes_that_make_no_pairs_are_refused():
    with pytest.raises(InputError, match="got 0 and 6"):
        metrics.run(parsed("--points", "0"))
