"""Published collections read in place agree with the prepared ones."""

import json

import h5py
import numpy as np
import pytest

from pcgen.cli import main
from pcgen.errors import DataError, InputError
from pcgen.evaluate.generated_sets import open_shapes, read_cloud_path
from pcgen.evaluate.protocol import PROTOCOLS
from pcgen.evaluate.reference_sets import read_reference_sets, standardisation
from pcgen.shapes.prepare import prepare
from tests.evaluate.shapes import surfaces

P = 20
COUNTS = {"train": 12, "val": 8, "test": 6}
CUSTOM = PROTOCOLS["pointflow"].changed(points=P)


@pytest.fixture(scope="module")
def shapes():
    """Shapes of two synsets in their own units: sizes from 1 to 3, not centred."""
    rng = np.random.default_rng(0)
    clouds = surfaces(52, 9 * P)[0] * rng.uniform(1, 3, (52, 1, 1)) + rng.normal(size=(52, 1, 3))
    return clouds.astype(np.float32).reshape(2, 26, 9 * P, 3)


@pytest.fixture(scope="module")
def pc15k(shapes, tmp_path_factory):
    root = tmp_path_factory.mktemp("trees") / "PC15k"
    for synset, clouds in zip(("03001627", "02691156"), shapes, strict=True):
        rest = iter(enumerate(clouds))
        for split, count in COUNTS.items():
            folder = root / synset / split
            folder.mkdir(parents=True)
            for number, cloud in (next(rest) for _ in range(count)):
                np.save(folder / f"{number:04d}.npy", cloud)
    return root


@pytest.fixture(scope="module")
def samples(pc15k):
    """Outside the tree, in chairs' own units, 20 points each, one file a shape."""
    folder = pc15k.parent / "samples"
    folder.mkdir()
    for number, cloud in enumerate(surfaces(8, P, seed=3)[0] * np.float32(2)):
        np.save(folder / f"{number}.npy", cloud)
    return folder


def evaluated(capsys, *words):
    options = ["--points", str(P), "--no-cache", "--workers", "1", "--quiet", "--json"]
    assert main(["evaluate", *map(str, words), *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_published_set_is_evaluated_like_the_prepared_one(pc15k, samples, tmp_path, capsys):
    prepare(pc15k, tmp_path / "set", workers=1)
    words = ["--protocol", "pointflow", "--category", "chair"]
    tree = evaluated(capsys, samples, "--reference", pc15k, *words)
    prepared = evaluated(capsys, samples, "--reference", tmp_path / "set", *words)
    assert tree["protocol"]["sizes"] == {"compared": 8, "reference": 8, "training": 12}
    assert tree["protocol"]["reference_points"] == f"points {6 * P} to {7 * P - 1} of {9 * P}"
    assert tree["ceiling"] is not None
    assert tree["replay_rate"] == prepared["replay_rate"]
    for key in ("nna_cd", "cov_cd", "mmd_cd", "jsd", "novelty_ratio"):
        assert tree[key] == pytest.approx(prepared[key], rel=1e-5)


def test_the_reference_is_the_first_of_the_last_third_in_own_units(pc15k, shapes):
    found = read_reference_sets(pc15k, CUSTOM, categories=["chair"])
    start = 9 * P * 2 // 3
    assert (found.reference.points == shapes[0, 12:20, start : start + P]).all()
    assert (found.training.points == shapes[0, :12, :P]).all()


def test_one_synsets_folder_is_enough(pc15k, shapes):
    alone = read_reference_sets(pc15k / "03001627", CUSTOM)
    assert alone.reference.categories == ("chair",)
    whole = read_reference_sets(pc15k, CUSTOM, categories=["chair"])
    assert (alone.reference.points == whole.reference.points).all()


def test_the_split_folder_alone_follows_the_protocols_points(pc15k, shapes):
    found = read_reference_sets(pc15k / "03001627" / "val", CUSTOM)
    start = 9 * P * 2 // 3
    assert (found.reference.points == shapes[0, 12:20, start : start + P]).all()
    assert found.reference_points == f"points {start} to {start + P - 1} of {9 * P}"
    random = read_reference_sets(pc15k / "03001627" / "val", PROTOCOLS["box"].changed(points=P))
    assert random.reference_points == f"{P} points of each, chosen at random"


def test_the_global_frame_is_that_of_all_training_points(pc15k, shapes):
    frame = standardisation(pc15k, ["chair"])
    points = shapes[0, :12].astype(np.float64)
    assert np.allclose(frame.centre, points.mean((0, 1)), rtol=1e-6)
    assert frame.scale == pytest.approx(points.std(), rel=1e-6)


def test_dpms_file_is_a_tree_too(shapes, samples, tmp_path, capsys):
    with h5py.File(tmp_path / "shapenet.hdf5", "w") as file:
        file["03001627/train"], file["03001627/test"] = shapes[0, :12, :P], shapes[0, 12:, :P]
    words = ["--reference", tmp_path / "shapenet.hdf5", "--protocol", "dpm"]
    found = evaluated(capsys, samples, *words)
    assert found["protocol"]["sizes"] == {"compared": 8, "reference": 14, "training": 12}


def test_a_tree_in_the_place_of_the_samples_is_said(pc15k, samples, capsys):
    assert main(["evaluate", str(pc15k), "--reference", str(samples)]) == 2
    assert "is a data set: name the generated shapes first" in capsys.readouterr().err


def test_an_hdf5_file_without_clouds_is_refused_with_its_reason(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.zeros(4)
    with pytest.raises(DataError, match=r"no array of shape \(N, P, 3\)"):
        open_shapes(tmp_path / "other.h5")


def test_what_is_no_tree_is_none(samples, tmp_path):
    assert open_shapes(samples) is None
    assert open_shapes(tmp_path) is None
    assert open_shapes(tmp_path / "nowhere") is None


def test_clouds_of_another_size_in_a_tree_are_named(tmp_path):
    for number, size in enumerate((30, 30, 40)):
        folder = tmp_path / "chairs" / "val"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{number}.npy", surfaces(1, size)[0, 0])
    with pytest.raises(DataError, match=r"chairs/val/2\.npy has 40 points and the first shape 30"):
        read_reference_sets(tmp_path, CUSTOM)


def test_a_folder_of_folders_says_which_one_to_name(tmp_path):
    (tmp_path / "meshes" / "chair").mkdir(parents=True)
    with pytest.raises(InputError, match=r"such as .*chair; .*pcgen prepare"):
        read_cloud_path(tmp_path / "meshes")
