"""prepare, end to end: the same bytes every time, no partial results, nothing lost."""

import hashlib
import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from pcgen.cli import main
from pcgen.errors import DataError, InputError, StorageError
from pcgen.files import lock
from pcgen.shapes.prepare import prepare
from pcgen.shapes.starter import starter_path
from pcgen.shapes.store import Dataset
from tests.datasets import check_hashes
from tests.shapes import crashing
from tests.shapes.small_shapes import box_mesh, obj_bytes


def hashes(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


@pytest.fixture
def boxes(tmp_path):
    """Nine boxes of known extents in two categories."""
    for k in range(9):
        folder = tmp_path / "boxes" / ("flat box" if k % 3 else "höher")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"box{k}.obj").write_bytes(obj_bytes(box_mesh((2.0 + k, 1.0, 0.5))))
    return tmp_path / "boxes"


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of two shapes, so that nine shapes are five shards."""
    monkeypatch.setattr("pcgen.shapes.prepare.SHARD_SIZE", 2)


def test_a_box_comes_back_in_its_own_units(tmp_path, boxes):
    report = prepare(boxes, tmp_path / "set", points=300, workers=1)
    dataset = Dataset.open(tmp_path / "set")
    assert dataset.categories == ("flat box", "höher")
    assert report["count"] == dataset.count == 9
    check_hashes(dataset)
    row = dataset.ids.index("flat box/box4")
    points = dataset.points([row])
    assert np.abs(points).max() <= 1
    own = dataset.frame([row]).restore(points)[0]
    offset = np.abs(own - [3, -1, 10]) / [3, 0.5, 0.25]
    assert np.allclose(offset.max(1), 1, atol=1e-5)  # on a face of the box of 6 × 1 × 0.5
    normals = dataset.normals([row])[0]
    assert (offset[np.arange(300), np.abs(normals).argmax(1)] > 0.999).all()


def test_the_number_of_workers_changes_nothing(tmp_path, boxes, small_shards):
    prepare(boxes, tmp_path / "one", points=100, workers=1)
    prepare(boxes, tmp_path / "three", points=100, workers=3)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "three")
    prepare(boxes, tmp_path / "other", points=100, workers=1, seed=1)
    assert hashes(tmp_path / "one")["points.npy"] != hashes(tmp_path / "other")["points.npy"]


def test_a_shape_is_the_same_whatever_else_is_in_the_set(tmp_path, boxes):
    prepare(boxes, tmp_path / "all", points=64, workers=1)
    prepare(boxes, tmp_path / "some", points=64, workers=1, categories=["höher"])
    whole, part = Dataset.open(tmp_path / "all"), Dataset.open(tmp_path / "some")
    rows = [whole.ids.index(name) for name in part.ids]
    assert np.array_equal(whole.points(rows), part.points(range(part.count)))


def test_equal_shapes_get_different_points(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "twins").mkdir(exist_ok=True)
        (tmp_path / "twins" / f"{name}.obj").write_bytes(obj_bytes(box_mesh()))
    prepare(tmp_path / "twins", tmp_path / "set", points=5, workers=1)
    one, two = Dataset.open(tmp_path / "set").points([0, 1])
    assert not np.allclose(one, two)


def test_the_starter_data_is_what_its_table_says(tmp_path):
    report = prepare("starter", tmp_path / "set", points=16, workers=2, categories=["lamp"])
    assert report["categories"] == {"lamp": {"test": 6, "train": 19, "val": 3}}
    assert report["rejected"] == []
    table = (starter_path() / "split.csv").read_text().splitlines()[1:]
    dataset = Dataset.open(tmp_path / "set")
    known = {line.split(",")[3]: line.split(",")[4] for line in table}
    assert all(known[row.id.removeprefix("lamp/")] == row.split for row in dataset.rows)


def test_every_bad_file_is_named_and_the_rest_goes_on(tmp_path, boxes, capsys):
    box = obj_bytes(box_mesh())
    bad = {
        "no mesh.obj": b"\x00\x01 not a mesh",
        "no faces.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\n",
        "zero area.obj": b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n",
        "nan.obj": b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "infinite.obj": b"v 0 0 inf\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "range.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 7\n",
        "empty.stl": b"",
        "cut.zip": b"PK\x03\x04 and no more",
        "box1.stl": box,  # no STL, and box1.obj has its id
    }
    for name, data in bad.items():
        (boxes / "flat box" / name).write_bytes(data)
    (boxes / "nothing").mkdir()
    words = ["--points", "50", "--workers", "1", "--categories", "flat box,unicorn", "--quiet"]
    code = main(["prepare", str(boxes), "--out", str(tmp_path / "set"), *words])
    shown = capsys.readouterr().out
    assert code == 0
    report = json.loads((tmp_path / "set" / "report.json").read_text())
    reasons = {entry["item"].split("/")[-1]: entry["reason"] for entry in report["rejected"]}
    expected = {
        "no mesh.obj": "no vertex line",
        "no faces.obj": "no faces",
        "zero area.obj": "area of the surface is zero",
        "nan.obj": "NaN or infinite",
        "infinite.obj": "NaN or infinite",
        "range.obj": "face index 6 is out of range",
        "empty.stl": "empty",
        "cut.zip": "not a readable zip",
        "box1.stl": "two shapes with one id",
        "nothing": "empty folder",
        "category unicorn": "no such category",
    }
    assert reasons.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in reasons[name]
    assert report["count"] == 6
    assert "11 left out" in shown
    assert "report.json" in shown


def test_nothing_usable_is_an_error_with_reasons(tmp_path, capsys):
    (tmp_path / "bad").mkdir()
    with pytest.raises(DataError, match="no shapes in bad"):
        prepare(tmp_path / "bad", tmp_path / "set")
    (tmp_path / "bad" / "x.obj").write_bytes(b"v 0 0 0\n")
    with pytest.raises(DataError, match=r"no usable shape.*x\.obj: no faces"):
        prepare(tmp_path / "bad", tmp_path / "set")
    assert not (tmp_path / "set").exists()
    assert main(["prepare", str(tmp_path / "none"), "--out", str(tmp_path / "set")]) == 2
    assert "nothing at" in capsys.readouterr().err


def test_the_same_call_again_does_nothing_and_another_is_refused(tmp_path, boxes):
    first = prepare(boxes, tmp_path / "set", points=20, workers=1)
    before = hashes(tmp_path / "set")
    assert prepare(boxes, tmp_path / "set", points=20, workers=1) == first
    with pytest.raises(StorageError, match="something else"):
        prepare(boxes, tmp_path / "set", points=21, workers=1)
    assert hashes(tmp_path / "set") == before


def test_finished_shards_are_not_converted_again(tmp_path, boxes, small_shards, monkeypatch):
    prepare(boxes, tmp_path / "whole", points=30, workers=1)

    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    monkeypatch.setattr("pcgen.shapes.prepare.assemble", stop)
    with pytest.raises(Stop):
        prepare(boxes, tmp_path / "set", points=30, workers=1)
    monkeypatch.undo()
    monkeypatch.setattr("pcgen.shapes.prepare.SHARD_SIZE", 2)
    assert not (tmp_path / "set").exists()
    part = tmp_path / "set.part" / "pieces"
    (part / "000002.json").unlink()
    monkeypatch.setattr("pcgen.shapes.prepare.convert", crashing.only_the_third)
    prepare(boxes, tmp_path / "set", points=30, workers=1)
    assert hashes(tmp_path / "set") == hashes(tmp_path / "whole")
    assert not (tmp_path / "set.part").exists()


def test_a_file_that_kills_its_parser_is_rejected(tmp_path, boxes, monkeypatch):
    (boxes / "flat box" / "deadly.obj").write_bytes(b"v 0 0 0\n# CRASH\n")
    monkeypatch.setattr("pcgen.shapes.prepare.convert", crashing.convert)
    report = prepare(boxes, tmp_path / "set", points=20, workers=2)
    assert report["count"] == 9
    assert [entry["item"] for entry in report["rejected"]] == ["flat box/deadly.obj"]
    assert "crashed the parser (SIGABRT)" in report["rejected"][0]["reason"]


def test_one_scan_does_not_take_the_normals_of_the_others(tmp_path, boxes):
    np.save(boxes / "flat box" / "cloud.npy", np.random.default_rng(0).normal(size=(40, 3)))
    report = prepare(boxes, tmp_path / "set", points=40, workers=1)
    assert "1 shapes have none" in report["normals"]
    dataset = Dataset.open(tmp_path / "set")
    assert dataset.has_normals
    known = [dataset.known_normals(row) is not None for row in range(dataset.count)]
    assert [row.id.endswith("cloud") for row in dataset.rows] == [not one for one in known]
    check_hashes(dataset)


@pytest.mark.parametrize(("have", "remedy"), [(40, "at least 96"), (500, "--points 500")])
def test_advice_on_points_can_be_followed(tmp_path, have, remedy):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(have, 3)))
    with pytest.raises(DataError, match=f"has {have} points, 1000 are needed; .*{remedy}"):
        prepare(tmp_path / "a.npy", tmp_path / "set", points=1000, workers=1)


def test_clouds_keep_all_their_points_unless_told(tmp_path):
    clouds = np.random.default_rng(0).normal(size=(12, 70, 3)).astype(np.float32)
    np.save(tmp_path / "blobs.npy", clouds)
    report = prepare(tmp_path / "blobs.npy", tmp_path / "all", workers=1)
    dataset = Dataset.open(tmp_path / "all")
    assert report["points_per_shape"] == 70
    assert dataset.categories == ("blobs",)
    assert np.allclose(dataset.frame([5]).restore(dataset.points([5])), clouds[5], atol=1e-5)
    with pytest.raises(DataError, match="has 70 points, 71 are needed; training needs"):
        prepare(tmp_path / "blobs.npy", tmp_path / "more", points=71, workers=1)
    prepare(tmp_path / "blobs.npy", tmp_path / "fewer", points=30, workers=1)
    some = Dataset.open(tmp_path / "fewer")
    own = some.frame([5]).restore(some.points([5]))[0]
    distance = np.abs(own[:, None] - clouds[5][None]).max(2).min(1)
    assert distance.max() < 1e-5
    assert len(np.unique(own, axis=0)) == 30


def test_a_few_small_scans_do_not_make_the_others_small(tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    for k in range(25):
        np.savetxt(
            tmp_path / "scans" / f"s{k:02d}.xyz", draw.normal(size=(7 if k == 3 else 90 + k, 3))
        )
    report = prepare(tmp_path / "scans", tmp_path / "set", workers=1)
    assert (report["count"], report["points_per_shape"]) == (24, 90)
    assert "has 7 points" in report["rejected"][0]["reason"]


def test_dpm_files_keep_their_2048_points(tmp_path):
    with h5py.File(tmp_path / "x.hdf5", "w") as handle:
        handle["03001627/train"] = np.random.default_rng(0).normal(size=(5, 48, 3))
        handle["03001627/val"] = np.random.default_rng(1).normal(size=(3, 48, 3))
    report = prepare(tmp_path / "x.hdf5", tmp_path / "set", workers=1)
    assert report["points_per_shape"] == 48
    assert report["categories"] == {"chair": {"train": 5, "val": 3}}


def test_a_table_of_something_else_is_passed_over_unless_it_was_named(tmp_path, boxes):
    (boxes / "split.csv").write_text("file,split\nnone.obj,train\n")
    report = prepare(boxes, tmp_path / "set", points=10, workers=1)
    assert report["count"] == 9
    assert "hash" in report["settings"]["splits"]


def test_a_manifest_gives_splits_and_categories(tmp_path, boxes):
    lines = ["file,category,split"]
    lines += [
        f"{p.relative_to(boxes)},crate,{'test' if 'box1' in p.name else 'train'}"
        for p in boxes.rglob("*.obj")
    ]
    (tmp_path / "m.csv").write_text("\n".join(lines[:-1]))
    report = prepare(boxes, tmp_path / "set", points=10, workers=1, splits=tmp_path / "m.csv")
    assert report["categories"] == {"crate": {"test": 1, "train": 7}}
    assert "not in the splits file" in report["rejected"][0]["reason"]
    (tmp_path / "m.csv").write_text("file,split\nnone.obj,train\n")
    with pytest.raises(DataError, match="names none of the 9 shapes"):
        prepare(boxes, tmp_path / "other", workers=1, splits=tmp_path / "m.csv")


def test_a_source_that_changed_starts_anew(tmp_path, boxes, small_shards, monkeypatch):
    monkeypatch.setattr("pcgen.shapes.prepare.assemble", None)
    with pytest.raises(TypeError):
        prepare(boxes, tmp_path / "set", points=30, workers=1)
    monkeypatch.undo()
    assert (tmp_path / "set.part" / "pieces").is_dir()
    changed = boxes / "höher" / "box0.obj"
    changed.write_bytes(obj_bytes(box_mesh((9.0, 1.0, 0.5))))
    prepare(boxes, tmp_path / "set", points=30, workers=1)
    dataset = Dataset.open(tmp_path / "set")
    assert dataset.frame([dataset.ids.index("höher/box0")]).scale[0] == pytest.approx(4.5)


def test_two_writers_are_kept_apart(tmp_path, boxes):
    with lock(tmp_path / "set.part"), pytest.raises(StorageError, match="being written by"):
        prepare(boxes, tmp_path / "set", points=10, workers=1)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.6, 0.9])
def test_killed_while_joining_the_arrays_it_goes_on(
    tmp_path, boxes, small_shards, monkeypatch, fraction
):
    prepare(boxes, tmp_path / "whole", points=30, workers=1)
    calls = {"left": int(fraction * 10)}
    real = os.fsync

    class Killed(BaseException):
        pass

    def fsync(handle):
        calls["left"] -= 1
        if calls["left"] < 0:
            raise Killed
        real(handle)

    monkeypatch.setattr("pcgen.shapes.shards.os.fsync", fsync)
    with pytest.raises(Killed):
        prepare(boxes, tmp_path / "set", points=30, workers=1)
    monkeypatch.setattr("pcgen.shapes.shards.os.fsync", real)
    assert not (tmp_path / "set").exists()
    prepare(boxes, tmp_path / "set", points=30, workers=1)
    assert hashes(tmp_path / "set") == hashes(tmp_path / "whole")


def test_killed_for_real_at_any_moment_it_goes_on(tmp_path, boxes):
    """kill -9 of the process after various times; then the same command gives the same bytes."""
    words = [sys.executable, "-c", KILLABLE, str(boxes), str(tmp_path / "set")]
    prepare(boxes, tmp_path / "whole", points=2000, workers=2)
    for shards_done in (0, 1, 3):
        with subprocess.Popen(words) as process:
            while process.poll() is None:
                if len(list((tmp_path / "set.part").glob("pieces/*.json"))) >= shards_done:
                    process.kill()
    if not (tmp_path / "set").exists():
        assert subprocess.run(words, check=True).returncode == 0
    assert hashes(tmp_path / "set") == hashes(tmp_path / "whole")


KILLABLE = """
import sys
from pcgen.shapes import prepare
prepare.SHARD_SIZE = 2
if __name__ == "__main__":
    prepare.prepare(sys.argv[1], sys.argv[2], points=2000, workers=2)
"""


def test_solids_are_stored_beside_the_same_points(tmp_path, boxes):
    report = prepare(boxes, tmp_path / "with", points=64, workers=1, solids=200)
    prepare(boxes, tmp_path / "without", points=64, workers=1, solids=0)
    dataset, bare = Dataset.open(tmp_path / "with"), Dataset.open(tmp_path / "without")
    assert report["solids"] == "known of 9 of 9 shapes"
    assert dataset.content_hash == bare.content_hash
    assert (dataset.has_solids, bare.has_solids) == (True, False)
    places = dataset.memmap_solids.astype(np.float64)
    assert places.shape == (9, 200, 4)
    # Every box fills the frame of solids, except along its flat axis, known from the data set.
    half = np.abs(dataset.points(range(9))).max(1)
    half = np.maximum(half, 0.1)
    over = np.abs(places[..., :3]) - (np.abs(dataset.points(range(9))).max(1) / half)[:, None]
    truth = np.linalg.norm(np.maximum(over, 0), axis=2) + np.minimum(over.max(2), 0)
    assert np.abs(places[..., 3] - truth).max() < 5e-3


def test_clouds_have_no_solids_and_zeros_beside_meshes(tmp_path, boxes):
    rng = np.random.default_rng(0)
    np.save(boxes / "flat box" / "scan.npy", rng.normal(size=(128, 3)))
    report = prepare(boxes, tmp_path / "mixed", points=64, workers=1, solids=50)
    dataset = Dataset.open(tmp_path / "mixed")
    assert report["solids"] == "known of 9 of 10 shapes"
    scan = dataset.ids.index("flat box/scan")
    known = dataset.memmap_solids.any((1, 2))
    assert known.sum() == 9
    assert not known[scan]
    clouds = tmp_path / "clouds"
    clouds.mkdir()
    np.save(clouds / "scan.npy", rng.normal(size=(128, 3)))
    prepare(clouds, tmp_path / "scans", points=64, workers=1)
    assert not Dataset.open(tmp_path / "scans").has_solids


def test_damaged_solids_and_wrong_numbers_are_refused(tmp_path, boxes):
    prepare(boxes, tmp_path / "set", points=64, workers=1, solids=50)
    np.save(tmp_path / "set" / "solids.npy", np.zeros((3, 50, 4), np.float16))
    with pytest.raises(DataError, match=r"solids\.npy"):
        Dataset.open(tmp_path / "set")
    with pytest.raises(InputError, match="solids must be"):
        prepare(boxes, tmp_path / "other", solids=-1)
