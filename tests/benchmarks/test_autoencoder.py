"""The benchmark of autoencoders trains each once, with a row in the table."""

import json

import numpy as np
import pytest
import torch

from pcgen.cli import run_module
from pcgen.distances.tables import Work
from pcgen.shapes.store import Dataset
from tests.benchmarks import autoencoder
from tests.test_generation import make_dataset

NAMES = ["patches", "tokens", "basis-points"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoder, "POINTS", 256)
    monkeypatch.setattr(autoencoder, "NOVELTY_POINTS", 128)
    monkeypatch.setattr(autoencoder, "MOST", 8)
    make_dataset(tmp_path / "data", count=24)
    return tmp_path / "data"


def test_every_codec_has_a_row_and_is_trained_once(data, tmp_path, capsys):
    out = tmp_path / "out"
    words = [str(data), "--out", str(out), "--preset"]
    words += ["cpu-tiny", "--minutes", "0.03", "--json", "--quiet"]
    assert run_module(autoencoder, "autoencoder", words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["encoder"] for row in result["rows"]] == NAMES
    assert len(autoencoder.describe(result).splitlines()) == 2 + len(NAMES)
    stored = json.loads((out / "autoencoder.json").read_text())
    assert stored["rows"] == result["rows"]
    for row in result["rows"]:
        for name in ("unseen", "training"):
            assert 0.5 < row[name]["median"] <= row[name]["quantile"]
        assert min(row[k] for k in ("children_kept", "half_way", "step_ms", "encode_ms")) > 0
    # By the same maps, at the same time.
    first, *others = ((out / n / "children" / "maps.safetensors").read_bytes() for n in NAMES)
    assert all(maps == first for maps in others)
    spent = [row["steps"] * row["step_ms"] for row in result["rows"]]
    assert spent == pytest.approx([0.03 * 60_000] * 3)
    weights = list(out.rglob("weights.safetensors"))
    assert len(weights) == 3
    before = [path.stat().st_mtime_ns for path in weights]
    assert run_module(autoencoder, "autoencoder", words) == 0
    assert before == [path.stat().st_mtime_ns for path in weights]


class Perfect:
    """Returns its input points, stretched."""

    latent_dim = 3 * 256

    def refined(self, points):
        return points.flatten(1)

    def draw_base(self, z, count, draw):
        points = z.view(len(z), count, 3) * torch.tensor([1.0, 0.7, 0.5])
        return None, type("Drawn", (), {"points": points})


def test_what_gives_back_the_points_it_saw_has_ratio_one_whatever_the_proportions(data):
    dataset = Dataset.open(data)
    rows = dataset.select(split="test")
    seen = dataset.points(rows, 256, part="first")
    rebuilt = autoencoder._decoded(Perfect(), autoencoder._codes(Perfect(), seen), None)
    found = autoencoder._ratios(dataset, rows, rebuilt, Work())
    assert found == pytest.approx({"median": 1.0, "quantile": 1.0}, abs=1e-4)
    noise = np.random.default_rng(0).normal(size=rebuilt.shape) * 0.3
    worse = autoencoder._ratios(dataset, rows, (rebuilt + noise).astype(np.float32), Work())
    assert worse["quantile"] >= worse["median"] > 2


@pytest.mark.parametrize("name", ["magic", "patches,magic", ""])
def test_an_unknown_codec_lists_the_known_ones(name, tmp_path, capsys):
    words = [str(tmp_path), "--out", str(tmp_path), "--encoders", name]
    assert run_module(autoencoder, "autoencoder", words) == 2
    assert "patches, tokens, basis-points" in capsys.readouterr().err
