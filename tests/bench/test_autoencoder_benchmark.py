"""The benchmark of encoders: each is trained once, and the table has a row for it."""

import json

from pcgen.bench import autoencoder
from pcgen.cli import main
from pcgen.latent.encoder import ENCODERS
from tests.test_generation import make_dataset


def test_every_encoder_has_a_row_and_is_trained_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(autoencoder, "POINTS", 256)
    data = tmp_path / "data"
    make_dataset(data, count=24)
    words = ["bench", "autoencoder", str(data), "--out", str(tmp_path / "out"), "--preset"]
    words += ["cpu-tiny", "--minutes", "0.05", "--threads", "1", "--json", "--quiet"]
    assert main(words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["encoder"] for row in result["rows"]] == list(ENCODERS)
    assert len(autoencoder.describe(result).splitlines()) == 2 + len(ENCODERS)
    weights = list((tmp_path / "out").rglob("weights.safetensors"))
    before = [path.stat().st_mtime_ns for path in weights]
    assert main(words) == 0
    assert before == [path.stat().st_mtime_ns for path in weights]


def test_an_unknown_encoder_lists_the_known_ones(tmp_path, capsys):
    words = ["bench", "autoencoder", str(tmp_path), "--out", str(tmp_path), "--encoders", "magic"]
    assert main(words) == 2
    assert "basis-points" in capsys.readouterr().err
