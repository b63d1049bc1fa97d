"""The benchmark of many shapes, on few."""

import json

import numpy as np
import pytest

from pcgen.cli import run_module
from pcgen.runfile import STAGES
from pcgen.shapes.store import Dataset
from tests.benchmarks import many_shapes
from tests.boxes import boxes
from tests.datasets import write_dataset


def test_clouds_are_repeated_and_no_two_are_equal(tmp_path):
    dataset = write_dataset(tmp_path / "set", boxes(3, 100)[0])
    many_shapes.warped(dataset.path, tmp_path / "x.npy", 300, 128, 0)
    made = np.load(tmp_path / "x.npy")
    assert made.shape == (300, 128, 3)
    assert len(np.unique(made.reshape(300, -1), axis=0)) == 300
    # Stretches and twists keep which points are copies: a cloud of 100 points is repeated.
    assert (made[:, :28] == made[:, 100:128]).all()


@pytest.mark.slow
def test_every_part_is_measured(tmp_path, capfd):
    write_dataset(tmp_path / "set", boxes(4, 300)[0])
    words = [tmp_path / "set", "--out", tmp_path / "out", "--shapes", 24, "--points", 200]
    words += ["--minutes", 0.05, "--json", "--quiet"]
    assert run_module(many_shapes, "many_shapes", list(map(str, words))) == 0
    found = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert [row["part"] for row in found["rows"]] == ["prepare", *STAGES, "sample", "evaluate"]
    for row in found["rows"]:
        assert row["seconds"] > 0
        assert row["peak"] > 2**25
    assert len(Dataset.open(tmp_path / "out" / "data").rows) == 24
