"""Published sets, in addition to those of :mod:`tests.shapes.test_identity`."""

import json
import unicodedata

import h5py
import numpy as np
import pytest

from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.prepare import prepare
from tests.shapes.small_shapes import box_mesh, obj_bytes
from tests.shapes.test_identity import box, cloud, planned, splits, text
from tests.shapes.test_layouts import fill


def paths(items):
    return sorted(item.entry.path for item in items.values())


def test_numbered_versions_are_one_shape_the_last(tmp_path):
    files = {f"cup/{n}.obj": box(k) for k, n in enumerate(("a_v1", "a_v2", "b_v9", "b_v10", "c"))}
    plan, items = planned(fill(tmp_path, files), points=50)
    assert paths(items) == ["cup/a_v2.obj", "cup/b_v10.obj", "cup/c.obj"]
    assert "2 files are other versions" in plan.remarks[0]


def test_a_series_of_numbered_models_is_no_version_of_one(tmp_path):
    files = {f"cup/cup_v{k}.obj": box(k) for k in range(6)}
    plan, items = planned(fill(tmp_path, files), points=50)
    assert len(items) == 6
    assert plan.remarks == ()


LISTS = {
    "names": {"train.json": ["a"], "val.json": ["b"], "test.json": ["c"]},
    "paths": {
        f"train_test_split/shuffled_{s}_file_list.json": [f"shape_data/03001627/{m}"]
        for s, m in (("train", "a"), ("val", "b"), ("test", "c"))
    },
    "keys": {"splits.json": {"train": ["a"], "val": ["b"], "test": ["c"]}},
    "synsets": {
        f"sv2_chairs_{s}.json": {"ShapeNetV2": {"03001627": [m]}}
        for s, m in (("train", "a"), ("val", "b"), ("test", "c"))
    },
    "taxonomy": {
        "PCN.json": [
            {"taxonomy_id": "03001627", "taxonomy_name": "chair",
             "train": ["a"], "val": ["b"], "test": ["c"]},
            {"taxonomy_id": "02691156", "train": ["c"], "val": [], "test": ["a"]},
        ]
    },
    "objects": {
        f"chair.{s}.json": [{"anno_id": m, "model_id": "x"}]
        for s, m in (("train", "a"), ("val", "b"), ("test", "c"))
    },
    "rows": {"data_split.json": [{"model_id": m, "split": s}
                                 for s, m in (("train", "a"), ("valid", "b"), ("test", "c"))]},
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_lists_in_json_are_official_splits(tmp_path, kind):
    files = {f"03001627/{m}/models/model_normalized.obj": box(k) for k, m in enumerate("abc")}
    files |= {name: json.dumps(table) for name, table in LISTS[kind].items()}
    plan, items = planned(fill(tmp_path, files), points=50)
    assert splits(items) == {"chair/a": "train", "chair/b": "val", "chair/c": "test"}
    assert plan.rejected == ()


@pytest.mark.parametrize("ending", ["lst", "txt"])
def test_lists_are_compared_by_synset_and_in_one_form_of_unicode(tmp_path, ending):
    name = unicodedata.normalize("NFD", "stühl")
    files = {f"{s}/{name}.obj": box(k) for k, s in enumerate(("03001627", "02691156"))}
    for synset, split in (("03001627", "train"), ("02691156", "test")):
        files[f"{synset}_{split}.{ending}"] = f"{synset}/stühl\n"
    _, items = planned(fill(tmp_path, files), points=50)
    assert splits(items) == {"chair/stühl": "train", "airplane/stühl": "test"}


def test_a_name_in_two_lists_is_told_as_such(tmp_path):
    files = {f"{m}.obj": box(k) for k, m in enumerate("abc")}
    files |= {"train.txt": "a\nb\n", "test.txt": "b\n"}
    plan, items = planned(fill(tmp_path / "cups", files), points=50)
    assert splits(items) == {"cups/a": "train"}
    assert {one.item: one.reason.split(" the splits")[0] for one in plan.rejected} == {
        "b.obj": "it is in two splits of",
        "c.obj": "it is not in",
    }


def test_lists_that_match_nothing_are_told(tmp_path):
    files = {f"{m}.obj": box(k) for k, m in enumerate("abc")} | {"train.json": json.dumps(["z"])}
    plan, items = planned(fill(tmp_path, files), points=50)
    assert len(items) == 3
    assert "train.json names none of 3 shapes; it is not used" in plan.remarks[0]


def test_a_table_of_objects_with_a_column_split_is_used(tmp_path):
    files = {f"{c}/{c}_1.off": b"OFF" for c in ("chair", "sofa")}
    rows = "".join(
        f"{c}_1,{c},{s},{c}/{c}_1.off\n" for c, s in (("chair", "test"), ("sofa", "train"))
    )
    files["metadata.csv"] = "object_id,class,split,object_path\n" + rows
    plan, items = planned(fill(tmp_path / "ModelNet", files), points=50)
    assert {i.entry.stem: i.split for i in items.values()} == {"chair_1": "test", "sofa_1": "train"}
    assert plan.settings.splits == "the file metadata.csv"


def test_completion_sets_give_their_whole_clouds(tmp_path):
    files = {}
    for split in ("train", "test"):
        files[f"PCN/{split}/complete/02691156/{split}a.pts"] = text()
        for view in range(3):
            files[f"PCN/{split}/partial/02691156/{split}a/{view:02d}.pts"] = text(view)
    plan, items = planned(fill(tmp_path, files))
    assert splits(items) == {"airplane/traina": "train", "airplane/testa": "test"}
    assert "6 partial clouds of a completion data set are left out" in plan.remarks[0]


def test_parts_alone_are_what_there_is(tmp_path):
    plan, items = planned(fill(tmp_path, {f"partial/{k}.pts": text(k) for k in range(2)}))
    assert len(items) == 2
    assert plan.remarks == ()


def test_pairs_of_completion_are_told_by_their_names(tmp_path):
    files = {f"{k}_{end}.pts": text(k) for k in range(2) for end in ("partial", "gt")}
    _, items = planned(fill(tmp_path, files))
    assert paths(items) == ["0_gt.pts", "1_gt.pts"]


def test_completion_in_hdf5_files_by_folder(tmp_path):
    for kind in ("gt", "partial"):
        for split in ("train", "val"):
            folder = tmp_path / split / kind / "02691156"
            folder.mkdir(parents=True)
            with h5py.File(folder / f"{split}7.h5", "w") as handle:
                handle["data"] = cloud()
    plan, items = planned(tmp_path)
    assert {(i.category, i.split, i.entry.path) for i in items.values()} == {
        ("airplane", split, f"{split}/gt/02691156/{split}7.h5") for split in ("train", "val")
    }
    assert "2 partial clouds" in plan.remarks[0]


def test_completion_in_one_hdf5_file_by_array(tmp_path):
    with h5py.File(tmp_path / "MVP_Train_CP.h5", "w") as handle:
        handle["complete_pcds"] = np.stack([cloud(0), cloud(1)])
        handle["incomplete_pcds"] = np.stack([cloud(k) for k in range(52)])
        handle["labels"] = np.repeat([3, 5], 26)
    plan, items = planned(tmp_path)
    assert {(i.array, i.row, i.category, i.split) for i in items.values()} == {
        ("complete_pcds", 0, "class 3", "train"), ("complete_pcds", 1, "class 5", "train"),
    }  # fmt: skip
    assert "1 arrays of partial clouds are left out" in plan.remarks[0]


def test_the_rows_of_hdf5_files_have_names_in_json(tmp_path):
    for k in range(2):
        with h5py.File(tmp_path / f"ply_data_train{k}.h5", "w") as handle:
            handle["data"] = np.stack([cloud(2 * k), cloud(2 * k + 1)])
            handle["seg"] = np.zeros((2, 40))
        names = [f"{c}/{c}_{k}.ply" for c in ("chair", "sofa")]
        (tmp_path / f"ply_data_train_{k}_id2file.json").write_text(json.dumps(names))
    _, items = planned(tmp_path)
    assert sorted(i.category for i in items.values()) == ["chair", "chair", "sofa", "sofa"]
    assert {n for i in items.values() for n in i.names} == {
        "chair/chair_0", "sofa/sofa_0", "chair/chair_1", "sofa/sofa_1",
    }  # fmt: skip
    assert {i.split for i in items.values()} == {"train"}


def tables(turned):
    """24 tables on one foot as OBJ, their axes in the order ``turned``."""
    for k in range(24):
        top, foot = box_mesh((2.0, 0.1, 2.0 + k / 9), (0, 1, 0)), box_mesh((0.3, 1, 0.3), (0, 0, 0))
        whole = np.concatenate([top.vertices, foot.vertices])[:, list(turned)]
        faces = np.concatenate([top.faces, foot.faces + len(top.vertices)])
        yield f"{k}.obj", obj_bytes(Mesh(whole, faces))


def test_two_sources_that_do_not_agree_on_the_axis_up_are_told(tmp_path):
    files = {f"tables/a/{name}": data for name, data in tables((0, 1, 2))}
    files |= {f"scans/b/{name}": data for name, data in tables((0, 2, 1))}
    for up in (None, "y"):
        report = prepare(
            fill(tmp_path / "s", files), tmp_path / f"{up}", points=300, workers=1, up=up
        )
        (message,) = report["remarks"]
        assert "tables/*.obj and of scans/*.obj seem to have different up axes" in message


@pytest.mark.parametrize(
    ("scale", "reported"), [(1000.0, True), (25.4, True), (1.0, False), (5.0, False)]
)
def test_two_sources_of_one_kind_whose_sizes_differ_like_units_are_reported(
    tmp_path, scale, reported
):
    files = {f"{k}.obj": obj_bytes(box_mesh((1, 2, 3 + k / 9))) for k in range(4)}
    for k in range(4, 8):
        mesh = box_mesh((1, 2, 3 + k / 9))
        rows = "\n".join(" ".join(f"{x:.9g}" for x in row) for row in mesh.vertices * scale)
        faces = "\n".join(f"3 {a} {b} {c}" for a, b, c in mesh.faces)
        files[f"{k}.off"] = f"OFF\n8 12 0\n{rows}\n{faces}\n"
    report = prepare(fill(tmp_path / "s", files), tmp_path / "d", points=100, workers=1)
    assert any("are their units the same" in line for line in report["remarks"]) is reported
