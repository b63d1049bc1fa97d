"""A stored data set returns what was written, or an error that says why it cannot."""

import contextlib
import json
import pickle

import numpy as np
import pytest

from pcgen.errors import DataError, InputError
from pcgen.shapes.store import Dataset
from tests.datasets import write_dataset


@pytest.fixture
def clouds():
    return np.random.default_rng(0).normal(size=(6, 30, 3)) * 40 + [100, 0, -7]


@pytest.fixture
def dataset(tmp_path, clouds):
    return write_dataset(
        tmp_path / "set",
        clouds,
        categories=["chair", "table", "chair", "chair", "table", "sofa bed"],
        splits=["train", "train", "test", "train", "test", "train"],
        normals=clouds / np.linalg.norm(clouds, axis=2, keepdims=True),
    )


def test_points_and_frame_give_the_shapes_back(dataset, clouds):
    rows = [4, 0]
    points = dataset.points(rows)
    assert points.dtype == np.float32
    assert np.allclose(np.abs(points).max((1, 2)), 1)
    assert np.allclose(dataset.frame(rows).restore(points), clouds[rows], atol=1e-4)
    assert np.allclose(np.linalg.norm(dataset.normals(rows), axis=2), 1, atol=2e-3)


def test_select_crosses_split_and_categories(dataset):
    assert dataset.categories == ("chair", "sofa bed", "table")
    assert dataset.splits == ("test", "train")
    assert dataset.select().tolist() == list(range(6))
    assert dataset.select(split="train", categories=["chair"]).tolist() == [0, 3]
    with pytest.raises(DataError, match=r"no category 'stool'.*chair, sofa bed, table"):
        dataset.select(categories=["stool"])
    with pytest.raises(DataError, match=r"no split 'val'.*test, train"):
        dataset.select(split="val")
    with pytest.raises(DataError, match="no shape"):
        dataset.select(split="test", categories=["sofa bed"])


def test_first_and_last_part_do_not_overlap(dataset):
    whole = dataset.points([0])
    assert np.array_equal(dataset.points([0], part="first"), whole[:, :20])
    assert np.array_equal(dataset.points([0], part="last"), whole[:, 20:])
    assert np.array_equal(dataset.points([0], 4, part="last"), whole[:, 20:24])
    with pytest.raises(InputError, match="10 points per shape in part 'last', got 11"):
        dataset.points([0], 11, part="last")
    with pytest.raises(InputError, match="part must be"):
        dataset.points([0], part="middle")


def test_rows_out_of_range_are_refused(dataset):
    with pytest.raises(InputError, match="between 0 and 5"):
        dataset.points([6])
    with pytest.raises(InputError, match="row numbers"):
        dataset.points([0.5])
    assert dataset.points([]).shape == (0, 30, 3)
    assert dataset.points(2).shape == (1, 30, 3)


def test_content_hash_follows_content_only(tmp_path, clouds, dataset):
    again = write_dataset(tmp_path / "again", clouds)
    other = write_dataset(tmp_path / "other", clouds)
    assert again.content_hash == other.content_hash != dataset.content_hash
    moved = clouds.copy()
    moved[3, 7, 1] += 0.01
    assert write_dataset(tmp_path / "moved", moved).content_hash != again.content_hash


def test_a_data_set_travels_to_another_process_by_path(dataset):
    dataset.points([0])
    packed = pickle.dumps(dataset)
    assert len(packed) < 500
    assert np.array_equal(pickle.loads(packed).points([1]), dataset.points([1]))


def test_missing_and_unfinished_sets_say_what_to_do(tmp_path):
    with pytest.raises(DataError, match="pcgen prepare"):
        Dataset.open(tmp_path / "none")
    (tmp_path / "half.part").mkdir()
    with pytest.raises(DataError, match="unfinished"):
        Dataset.open(tmp_path / "half")


def test_a_newer_version_is_refused(dataset):
    path = dataset.path / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    with pytest.raises(DataError, match="version 99"):
        Dataset.open(dataset.path)


@pytest.mark.parametrize("name", ["dataset.json", "index.csv", "points.npy", "normals.npy"])
def test_a_mutated_file_is_read_or_refused_in_words(dataset, name):
    path = dataset.path / name
    whole = path.read_bytes()
    draw = np.random.default_rng(2)
    for _ in range(60):
        copy = bytearray(whole)
        for position in draw.integers(0, min(len(copy), 600), 2):
            copy[position] = draw.integers(256)
        path.write_bytes(copy[: draw.integers(len(copy) // 2, len(copy) + 1)])
        with contextlib.suppress(DataError):
            opened = Dataset.open(dataset.path)
            opened.points([0]), opened.normals([0]), opened.frame([0])
