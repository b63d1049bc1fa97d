"""The Python example of the README, word for word, and the run in the package."""

import re
from pathlib import Path

import numpy as np
import pytest

import pcgen
from pcgen import cli

README = (Path(__file__).parent.parent.parent / "README.md").read_text()


def snippet():
    return re.search(r"## In Python\n.*?```python\n(.*?)```", README, re.DOTALL)[1]


@pytest.mark.slow
def test_the_python_tour_runs_word_for_word(tmp_path, monkeypatch):
    """As written, except for the minutes of training."""
    monkeypatch.chdir(tmp_path)
    names = {"atoms": np.random.default_rng(0).normal(size=(500, 8))}
    exec(snippet().replace("minutes=3", "minutes=0.6"), names)
    assert len(names["shapes"]) == 12
    assert names["shapes"].points.shape == (12, 16_000, 3)
    assert names["mesh"].report.watertight
    assert Path("seat.glb").stat().st_size > 1000
    assert names["score"].nna_cd.error > 0
    assert names["score"].novelty.error > 0
    assert names["omega"].dim == names["model"].latent_dim
    assert names["new"].shape == (100, 8)


def test_the_run_of_the_package_draws_seats(tmp_path):
    assert cli.main(["sample", "seats", "--count", "3", "--out", str(tmp_path / "s.npz")]) == 0
    shapes = pcgen.Shapes.load(tmp_path / "s.npz")
    assert shapes.points.shape == (3, 2048, 3)
    assert set(shapes.category) == {"seat"}
    assert np.abs(shapes.points).max() < 1.5
    assert shapes[0].frame.scale != 1  # the size of its category is packed with it


def test_the_run_of_the_package_is_small():
    folder = pcgen.load("seats").path
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < 15e6
