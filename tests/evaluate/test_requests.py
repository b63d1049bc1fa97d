"""From files to metrics: data sets, samples files, both together, and what is refused."""

import json
import sys
import types

import numpy as np
import pytest
import torch

from pcgen.cli import main
from pcgen.errors import DataError, InputError
from pcgen.evaluate.generated_sets import read_generated
from pcgen.evaluate.protocol import PROTOCOLS
from pcgen.evaluate.reference_sets import read_reference_sets, standardisation
from pcgen.shapes.samples import Samples
from tests.datasets import write_dataset
from tests.evaluate.shapes import surfaces

P = 48
BOX = PROTOCOLS["box"].changed(points=P)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """60 shapes of 9 P points in own units, sizes from 1 to 10: 40 train, 20 test."""
    points = surfaces(60, 9 * P)[0] * np.linspace(1, 10, 60, dtype=np.float32)[:, None, None]
    path = tmp_path_factory.mktemp("data") / "set"
    splits = ["train"] * 40 + ["test"] * 20
    categories = ["egg", "pill"] * 30
    write_dataset(path, points, categories=categories, splits=splits)
    return path


@pytest.fixture
def samples(tmp_path):
    return Samples(points=surfaces(60, P, seed=5)[0]).save(tmp_path / "samples.npz")


def command(*words):
    return main(["evaluate", *map(str, words), "--no-cache", "--workers", "1", "--quiet"])


def test_the_command_writes_json_and_page(dataset, samples, tmp_path, capsys, plain_pictures):
    out, page = tmp_path / "report.json", tmp_path / "page.html"
    options = ["--points", P, "--out", out, "--html", page, "--json"]
    assert command(samples, "--reference", dataset, *options) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads(out.read_text())
    assert printed["protocol"]["sizes"] == {"compared": 20, "reference": 20, "training": 40}
    assert printed["seeds"]["count"] == 3
    assert printed["replay_rate"] is not None
    text = page.read_text()
    assert text.count("data:image/webp;base64,") == 18 * 3
    assert "http" not in text
    assert "<script" not in text


def test_two_runs_stand_side_by_side(dataset, samples, tmp_path, capsys):
    other = Samples(points=surfaces(20, 2 * P, seed=6)[0]).save(tmp_path / "other.npz")
    assert command(samples, other, "--reference", dataset, "--points", P) == 0
    printed = capsys.readouterr().out
    assert "samples.npz" in printed
    assert "other.npz" in printed
    assert "ceiling" in printed


def test_reference_and_training_come_from_their_own_points(dataset):
    found = read_reference_sets(dataset, BOX)
    from pcgen.shapes.store import Dataset

    data = Dataset.open(dataset)
    test, train = data.select(split="test"), data.select(split="train")
    start = 9 * P * 2 // 3
    assert np.allclose(found.reference.points, BOX.normalise(data.points(test)[:, start:][:, :P]))
    assert np.allclose(found.training.points, BOX.normalise(data.points(train)[:, :P]))
    again = data.points(train)[:, start : start + P]
    assert np.allclose(found.training_again.points, BOX.normalise(again))


def test_few_stored_points_are_shared_and_it_is_said(tmp_path):
    path = tmp_path / "small"
    write_dataset(path, surfaces(8, P)[0], splits=["train"] * 4 + ["test"] * 4)
    found = read_reference_sets(path, BOX)
    assert found.training_again is None
    assert any("shared in part" in note for note in found.notes)


def test_pointflow_compares_in_own_units(dataset):
    protocol = PROTOCOLS["pointflow"].changed(split="test", points=P)
    assert protocol.name == "custom"
    found = read_reference_sets(dataset, protocol)
    longest = np.ptp(found.reference.points, axis=1).max(1)
    assert longest.max() > 1.3 * longest.min()
    assert longest.max() > 10


def test_standardised_samples_are_taken_back(dataset, tmp_path):
    protocol = PROTOCOLS["pointflow"].changed(split="test", points=P)
    frame = standardisation(dataset)
    own = read_reference_sets(dataset, protocol).training.points
    standard = Samples(points=frame.apply(own)).save(tmp_path / "standard.npz")
    back = read_generated(standard, protocol, standardised=frame)
    assert np.allclose(back.points, own, atol=1e-4)


def test_samples_of_a_run_have_no_size_for_pointflow(dataset, tmp_path):
    made = Samples(points=surfaces(4, P)[0], meta={"run": "runs/x"}).save(tmp_path / "made.npz")
    with pytest.raises(InputError, match="without sizes"):
        read_generated(made, PROTOCOLS["pointflow"].changed(points=P))


def test_more_points_are_thinned_out_alike_in_all_clouds(tmp_path):
    points = surfaces(3, 3 * P)[0]
    points[:] = points[0]
    made = Samples(points=points).save(tmp_path / "made.npz")
    clouds = read_generated(made, PROTOCOLS["raw"].changed(points=P))
    assert clouds.points.shape == (3, P, 3)
    assert (clouds.points == clouds.points[0]).all()
    assert np.isin(clouds.points[0], points[0]).all()


def test_clouds_that_are_files_serve_as_reference_and_training(samples, tmp_path, capsys):
    real = Samples(points=surfaces(20, 2 * P, seed=8)[0]).save(tmp_path / "real.npz")
    train = Samples(points=surfaces(30, 2 * P, seed=9)[0]).save(tmp_path / "train.npz")
    options = ["--training", train, "--points", P, "--json"]
    assert command(samples, "--reference", real, *options) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["protocol"]["sizes"]["training"] == 30
    assert printed["replay_rate"] is not None


def test_categories_narrow_both_sides(dataset, tmp_path):
    found = read_reference_sets(dataset, BOX, categories=["egg"])
    assert found.reference.categories == ("egg",)
    assert len(found.training) == 20
    with pytest.raises(DataError, match="egg, pill"):
        read_reference_sets(dataset, BOX, categories=["cup"])


class Model:
    """A stand-in for a trained run: samples, categories, an autoencoder that blurs."""

    categories = ("egg",)
    run_dir = "runs/eggs"

    def sample(self, count, *, seed, points, steps, category):
        made = surfaces(count, points, seed=100 + seed)[0]
        return Samples(points=made, category=np.full(count, "egg"), meta={"run": "runs/eggs"})

    def encode(self, points):
        return points

    def decode(self, latents, *, points, seed, steps):
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
        return type("Decoded", (), {"points": latents + 0.05 * noise})


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    folder = tmp_path / "eggs"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    loads = types.SimpleNamespace(load=lambda path, device: Model())
    monkeypatch.setitem(sys.modules, "pcgen.model", types.SimpleNamespace(ShapeModel=loads))
    return folder


def test_a_run_draws_its_own_samples_for_each_seed(dataset, run_folder, capsys):
    assert command(run_folder, "--reference", dataset, "--points", P, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["protocol"]["sizes"] == {"compared": 10, "reference": 10, "training": 20}
    assert printed["protocol"]["categories"] == ["egg"]
    assert len(set(printed["seeds"]["mmd_cd"]["values"])) == 3
    found = printed["reconstruction"]
    assert found["shapes"] == 10
    assert found["cd"]["mean"] > found["cd"]["floor"]


def test_a_run_is_not_compared_in_units_it_does_not_have(dataset, run_folder, capsys):
    words = ["--reference", dataset, "--points", P, "--protocol", "pointflow", "--split", "test"]
    assert command(run_folder, *words) == 2
    assert "without sizes" in capsys.readouterr().err


def test_swapped_arguments_are_said(dataset, samples, run_folder, capsys):
    assert command(dataset, "--reference", samples) == 2
    assert "is a data set: name the generated shapes first" in capsys.readouterr().err
    assert command(samples, "--reference", run_folder) == 2
    assert "is a run" in capsys.readouterr().err


def test_a_reference_that_was_generated_is_questioned(samples, tmp_path, capsys):
    made = Samples(points=surfaces(20, P)[0], meta={"run": "runs/x"}).save(tmp_path / "made.npz")
    assert command(samples, "--reference", made, "--points", P) == 0
    assert "are generated and reference swapped?" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--points", "100"], "use --points 48 or fewer"),
        (["--points", "48", "--protocol", "lion-box"], "choose one with --split"),
        (["--points", "48", "--standardised", "x"], "use it with --protocol pointflow"),
        (["--points", "48", "--category", "cup"], "no category 'cup'"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(dataset, samples, options, words, capsys):
    assert command(samples, "--reference", dataset, *options) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) == 1


def test_a_missing_file_is_named(dataset, capsys):
    assert command("nowhere.npz", "--reference", dataset) == 2
    assert "no file or folder at nowhere.npz" in capsys.readouterr().err


def test_a_plain_numpy_array_of_two_axes_is_explained(dataset, tmp_path, capsys):
    path = tmp_path / "flat.npy"
    np.save(path, surfaces(1, P)[0, 0])
    assert command(path, "--reference", dataset, "--points", P) == 2
    assert "an array (P, 3) is one cloud" in capsys.readouterr().err


def test_a_folder_of_scans_of_different_sizes_is_thinned_and_it_is_said(dataset, tmp_path, capsys):
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, size in enumerate((P, 2 * P, 3 * P)):
        np.savetxt(folder / f"{number}.xyz", surfaces(1, size, seed=number)[0, 0])
    assert command(folder, "--reference", dataset, "--points", P) == 0
    assert f"between {P} and {3 * P} points" in capsys.readouterr().out
    assert command(folder, "--reference", dataset, "--points", 2 * P) == 2
    assert f"1 of 3 clouds have fewer than the {2 * P} points" in capsys.readouterr().err


def test_an_empty_file_of_clouds_is_refused(dataset, tmp_path, capsys):
    np.save(tmp_path / "none.npy", np.zeros((0, P, 3), np.float32))
    assert command(tmp_path / "none.npy", "--reference", dataset, "--points", P) == 2
    assert "none.npy" in capsys.readouterr().err


def test_nan_in_a_file_is_refused(dataset, tmp_path, capsys):
    points = surfaces(4, P)[0]
    points[2, 0, 0] = np.nan
    np.save(tmp_path / "nan.npy", points)
    assert command(tmp_path / "nan.npy", "--reference", dataset, "--points", P) == 2
    assert "NaN" in capsys.readouterr().err


def test_tensors_are_read_without_running_code(dataset, tmp_path, capsys):
    torch.save(torch.from_numpy(surfaces(20, P, seed=4)[0]), tmp_path / "good.pt")
    assert command(tmp_path / "good.pt", "--reference", dataset, "--points", P) == 0
    torch.save({"model": print}, tmp_path / "bad.pt")
    assert command(tmp_path / "bad.pt", "--reference", dataset, "--points", P) == 2
    assert "bad.pt" in capsys.readouterr().err
