"""The shapes of a source, each found once, with its name and split."""

import gzip
import json
import unicodedata
import zipfile

import h5py
import numpy as np
import pytest
import torch

from pcgen.cli import main
from pcgen.errors import DataError
from pcgen.shapes.axes import likely_up
from pcgen.shapes.category_frames import category_frames
from pcgen.shapes.items import open_item
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.plan import make_plan
from pcgen.shapes.prepare import prepare
from pcgen.shapes.store import Dataset
from tests.shapes.small_shapes import box_mesh, obj_bytes
from tests.shapes.test_layouts import fill

DRAW = np.random.default_rng(0)


def box(k=0):
    return obj_bytes(box_mesh((2.0 + k, 1.0, 0.5)))


def cloud(k=0):
    return np.random.default_rng(k).normal(size=(40, 3)).astype(np.float32)


def text(k=0):
    points = cloud(k)
    rows = np.hstack([points, points / np.linalg.norm(points, axis=1, keepdims=True)])
    return "\n".join(",".join(f"{x:.6f}" for x in row) for row in rows)


def npz(folder, **arrays):
    folder.parent.mkdir(parents=True, exist_ok=True)
    np.savez(folder, **arrays)


def planned(source, **options):
    plan = make_plan(source, **options)
    return plan, {item.id: item for item in plan.items}


def splits(items):
    return {name: item.split for name, item in items.items()}


def test_versions_of_a_model_are_one_shape_of_a_named_category(tmp_path):
    names = [f"0a1b{k}-c" for k in range(4)]
    files = {
        f"{n}/{v}_model.obj": box(k) for k, n in enumerate(names) for v in ("raw", "normalized")
    }
    info = [{"model_id": n, "super-category": "Bed", "category": "Bunk Bed"} for n in names[:2]]
    files["model_info.json"] = json.dumps([*info, {"model_id": names[2], "super-category": None}])
    plan, items = planned(fill(tmp_path / "3D-FUTURE-model", files))
    assert {item.entry.path for item in items.values()} == {
        f"{n}/normalized_model.obj" for n in names
    }
    assert [item.category for item in items.values()].count("Bed") == 2
    assert "4 files are other versions" in plan.remarks[0]


def test_versions_are_told_by_the_ends_of_names_and_by_folders(tmp_path):
    files = {
        "cup/cup1.obj": box(), "cup/cup1_simplified.obj": box(), "cup/cup2_lod0.obj": box(),
        "cup/cup2_lod1.obj": box(), "cup/cup10.obj": box(),
        "jar/models/google_16k/textured.obj": box(), "jar/other/mesh.obj": box(),
        "jar/models/poisson/nontextured.obj": box(),
    }  # fmt: skip
    _, items = planned(fill(tmp_path, files), points=50)
    assert sorted(item.entry.path for item in items.values()) == [
        "cup/cup1.obj",
        "cup/cup10.obj",
        "cup/cup2_lod0.obj",
        "jar/models/google_16k/textured.obj",
        "jar/other/mesh.obj",
    ]


def test_a_folder_for_each_format_is_no_category_and_holds_the_same_models(tmp_path):
    files = {f"OBJ format/{k}.obj": box(k) for k in range(3)}
    files |= {f"STL format/{k}.stl": b"x" for k in range(3)} | {"FBX format/0.fbx": b"x"}
    plan, items = planned(fill(tmp_path / "kit", files))
    assert sorted(item.where for item in items.values()) == [
        f"OBJ format/{k}.obj" for k in range(3)
    ]
    assert {item.category for item in items.values()} == {"kit"}
    assert any("1 .fbx" in remark for remark in plan.remarks)


def test_text_files_of_a_few_numbers_are_no_clouds(tmp_path):
    files = {"a.obj": box(), "pose.txt": "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "b.txt": text()}
    _, items = planned(fill(tmp_path, files))
    assert sorted(item.entry.path for item in items.values()) == ["a.obj", "b.txt"]
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "pose.txt").write_bytes((tmp_path / "pose.txt").read_bytes())
    with pytest.raises(DataError, match=r"1 \.txt not read: a cloud has 16 lines"):
        make_plan(tmp_path / "only")


def test_several_hdf5_files_with_normals_labels_and_splits_in_their_names(tmp_path):
    for name, count in (("train0", 6), ("train1", 6), ("test0", 4)):
        points = DRAW.normal(size=(count, 20, 3)).astype("f4")
        with h5py.File(tmp_path / f"ply_data_{name}.h5", "w") as handle:
            handle["data"] = points
            handle["normal"] = points / np.linalg.norm(points, axis=2, keepdims=True)
            handle["label"] = np.arange(count)[:, None] % 2
            handle["color"] = points
            handle["pid"] = np.zeros((count, 20))
    (tmp_path / "modelnet40_shape_names.txt").write_text("airplane\nbathtub\n")
    _, items = planned(tmp_path)
    assert len(items) == 16
    assert {item.category for item in items.values()} == {"airplane", "bathtub"}
    assert all(("test0" in item.entry.path) == (item.split == "test") for item in items.values())
    shape = open_item(items["bathtub/ply_data_test0/000003"]).shape
    assert np.allclose(np.linalg.norm(shape.normals, axis=1), 1)


def test_hdf5_of_scans_with_labels_and_no_names(tmp_path):
    for split in ("training", "test"):
        with h5py.File(tmp_path / f"{split}_objectdataset.h5", "w") as handle:
            handle["data"] = DRAW.normal(size=(3, 20, 3)).astype("f4")
            handle["label"] = np.array([0, 5, 5])
            handle["mask"] = np.zeros((3, 20), "i4")
    _, items = planned(tmp_path)
    assert {item.category for item in items.values()} == {"class 0", "class 5"}
    assert sorted({item.split for item in items.values()}) == ["test", "train"]


def test_occupancy_trees_give_their_surface_points_and_lists(tmp_path):
    root = tmp_path / "ShapeNet"
    for k, model in enumerate("abc"):
        unit = cloud(k) / np.linalg.norm(cloud(k), axis=1, keepdims=True)
        npz(root / "02691156" / model / "pointcloud.npz", points=cloud(k), normals=unit)
        npz(
            root / "02691156" / model / "points.npz", points=cloud(9), occupancies=np.zeros(5, "u1")
        )
    for split, model in zip(("train", "val", "test"), "abc", strict=True):
        (root / "02691156" / f"{split}.lst").write_text(f"{model}\n")
    plan, items = planned(root)
    assert {item.category for item in items.values()} == {"airplane"}
    assert [splits(items)[f"airplane/{m}/pointcloud"] for m in "abc"] == ["train", "val", "test"]
    assert "lst" in plan.settings.splits
    assert np.allclose(open_item(items["airplane/b/pointcloud"]).shape.points, cloud(1))


def test_flat_arrays_named_by_synset_and_model_with_lists(tmp_path):
    names = ["02691156-1a04", "02691156-1b2f", "03001627-9c"]
    files = {f"shapenet_pc/{name}.npy": cloud(k) for k, name in enumerate(names)}
    files["ShapeNet-55/train.txt"] = f"{names[0]}.npy\n{names[2]}.npy\n"
    files["ShapeNet-55/test.txt"] = f"{names[1]}.npy\n"
    _, items = planned(fill(tmp_path, files))
    assert splits(items) == {"airplane/1a04": "train", "airplane/1b2f": "test", "chair/9c": "train"}


def test_modelnet_as_text_with_normals_and_its_lists(tmp_path):
    files = {f"{c}/{c}_000{k}.txt": text(k) for c in ("airplane", "night_stand") for k in (1, 2)}
    files |= {
        "modelnet40_train.txt": "airplane_0001\nnight_stand_0001\n",
        "modelnet40_test.txt": "airplane_0002\nnight_stand_0002\n",
        "modelnet40_shape_names.txt": "airplane\nnight_stand\n", "README.txt": "read me\n",
    }  # fmt: skip
    plan, items = planned(fill(tmp_path, files))
    assert {key: split for key, split in splits(items).items() if key.startswith("n")} == {
        "night_stand/night_stand_0001": "train",
        "night_stand/night_stand_0002": "test",
    }
    assert plan.settings.points == 40
    assert open_item(items["airplane/airplane_0001"]).shape.normals is not None


def test_partnet_parts_are_one_shape_of_the_leaves(tmp_path):
    tree = [{"name": "chair", "children": [{"objs": ["new-1"]}, {"objs": ["original-2"]}]}]
    files = {f"{k}/objs/{part}.obj": box(n) for k in (173, 2230)
             for n, part in enumerate(("new-1", "original-1", "original-2"))}  # fmt: skip
    files |= {"173/result.json": json.dumps(tree), "2230/meta.json": '{"model_cat": "Lamp"}'}
    files |= {"173/meta.json": '{"model_cat": "Chair"}', "173/point_sample/pts-10000.txt": text()}
    plan, items = planned(fill(tmp_path, files))
    assert plan.settings.format == "partnet"
    assert sorted(items) == ["Chair/173", "Lamp/2230"]
    assert len(open_item(items["Chair/173"]).shape.faces) == 24
    assert len(open_item(items["Lamp/2230"]).shape.faces) == 36


@pytest.mark.parametrize("table", [True, False])
def test_numbered_folders_of_a_large_set_are_no_categories(tmp_path, table):
    files = {f"glbs/000-{s:03d}/{s}{k}.obj": box(k) for s in (23, 45) for k in range(3)}
    if table:
        lvis = {"mug": ["230", "231", "450"], "ring": ["232", "451", "452"]}
        files["lvis-annotations.json.gz"] = gzip.compress(json.dumps(lvis).encode())
    _, items = planned(fill(tmp_path / "objaverse", files))
    categories = {item.category for item in items.values()}
    assert categories == ({"mug", "ring"} if table else {"objaverse"})
    files = {f"abc_000{s}_obj_v00/0000{s}{k}/0000{s}{k}_ff_trimesh_000.obj": box(k)
             for s in (0, 1) for k in range(3)}  # fmt: skip
    _, items = planned(fill(tmp_path / "abc", files))
    assert {item.category for item in items.values()} == {"abc"}


def test_one_file_that_looks_like_a_layout_does_not_decide_for_the_others(tmp_path):
    files = {f"cups/{k}.obj": box(k) for k in range(4)} | {"odd/test/bar.off": b"OFF 0 0 0\n"}
    files["odd/model1/models/model_normalized.obj"] = box(7)
    with h5py.File(tmp_path / "more.h5", "w") as handle:
        handle["chair/train"] = DRAW.normal(size=(2, 20, 3))
    _, items = planned(fill(tmp_path, files))
    assert {f"cups/{k}" for k in range(4)} | {"chair/train/000001"} <= items.keys()
    assert len(items) == 8


def test_equal_names_in_two_splits_are_two_shapes_and_equal_files_one(tmp_path):
    files = {f"chair/{split}/1.npy": cloud(k) for k, split in enumerate(("train", "test"))}
    files |= {f"lamp/{split}/1.npy": cloud(5) for split in ("train", "test")}
    plan, items = planned(fill(tmp_path, files))
    assert len(items) == 3
    assert sorted(i.split for i in items.values() if i.category == "chair") == ["test", "train"]
    assert "two shapes with one id" in plan.rejected[0].reason


def test_the_official_split_goes_by_synset_where_a_model_is_in_two(tmp_path):
    files = {f"{synset}/{m}/model.obj": box() for synset in ("02691156", "03001627") for m in "xy"}
    files["all.csv"] = "id,synsetId,subSynsetId,modelId,split\n" + "".join(
        f"{k},{synset},0,{m},{split}\n" for k, (synset, m, split) in enumerate([
            ("2691156", "x", "train"), ("03001627", "x", "test"), ("3001627", "y", "val"),
        ])
    )  # fmt: skip
    _, items = planned(fill(tmp_path, files))
    # y of the airplanes is matched by its model alone, as the table has nothing else.
    assert splits(items) == {
        "airplane/x": "train", "chair/x": "test", "chair/y": "val", "airplane/y": "val",
    }  # fmt: skip
    table = tmp_path / "models.csv"
    table.write_text("synsetId,modelId,split\n1,x,train\n2,x,test\n3,y,train\n")
    _, items = planned(tmp_path, splits=table)
    assert splits(items) == {"airplane/y": "train", "chair/y": "train"}


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_are_compared_in_one_form_of_unicode(tmp_path, forms):
    of_table, of_files = (lambda s, f=form: unicodedata.normalize(f, s) for form in forms)
    files = {of_files(f"möbel/{name}.obj"): box() for name in ("stühl", "café", "tür")}
    files["splits.csv"] = of_table("file,split\nmöbel/stühl.obj,train\ncafé.obj,val\ntür,test\n")
    _, items = planned(fill(tmp_path, files))
    assert splits(items) == {"möbel/stühl": "train", "möbel/café": "val", "möbel/tür": "test"}
    assert planned(tmp_path, categories=["möbel"])[1].keys() == items.keys()


def test_a_table_that_names_nothing_or_little_is_told(tmp_path):
    files = {f"cup/{k}.obj": box() for k in range(5)}
    plan, items = planned(fill(tmp_path, {**files, "split.csv": "file,split\nother.obj,train\n"}))
    assert len(items) == 5
    assert "names none of 5 shapes; it is not used" in plan.remarks[0]
    (tmp_path / "split.csv").write_text("file,split\n3.obj,train\n")
    plan, items = planned(tmp_path)
    assert len(items) == 1
    assert "names 1 of 5 shapes; the others are left out" in plan.remarks[0]
    assert "'cup/0'" in plan.remarks[0]


def test_a_splits_file_that_is_none_is_told_and_not_used(tmp_path):
    files = {f"cup/{k}.obj": box() for k in range(5)}
    plan, items = planned(fill(tmp_path, {**files, "split.csv": "name,part\n1,train\n"}))
    assert len(items) == 5
    (remark,) = plan.remarks
    assert "split.csv is not a splits file" in remark
    assert remark.endswith("it has name, part; it is not used")


@pytest.mark.parametrize("mark", [";", "\t", ","])
def test_a_splits_file_of_a_spreadsheet_may_have_its_separators_and_mark(tmp_path, mark):
    rows = [("file", "split"), ("cup/0.obj", "train"), ("cup\\1", "val"), ("2", "test")]
    table = "\r\n".join(mark.join(row) for row in rows)
    files = {f"cup/{k}.obj": box() for k in range(3)}
    files["splits.csv"] = table.encode("utf-8-sig")
    _, items = planned(fill(tmp_path, files))
    assert splits(items) == {"cup/0": "train", "cup/1": "val", "cup/2": "test"}


def test_lists_of_hdf5_files_split_all_clouds_in_them(tmp_path):
    for k in range(2):
        (tmp_path / "h5").mkdir(exist_ok=True)
        with h5py.File(tmp_path / "h5" / f"part{k}.h5", "w") as handle:
            handle["xyz"] = np.stack([cloud(4 * k + row) for row in range(4)])
            handle["labels"] = np.array([[0.0], [1], [1], [0]])  # as PyTorch saves them
    fill(tmp_path, {
        "train_files.txt": "h5/part0.h5\n", "test_files.txt": "h5/part1.h5\n",
        "meta/class_names.txt": "cat\ndog\n",
    })  # fmt: skip
    _, items = planned(tmp_path)
    assert splits(items) == {
        f"{name}/part{k}/{row:06d}": "test" if k else "train"
        for k in range(2)
        for row, name in enumerate(["cat", "dog", "dog", "cat"])
    }


def test_labels_in_npz_give_categories_by_number_or_name(tmp_path):
    points = np.stack([cloud(k) for k in range(3)])
    npz(tmp_path / "a" / "train.npz", pc=points, label=np.array([1, 0, 7]))
    fill(tmp_path / "a", {"shape_names.txt": "cat\ndog\n"})
    _, items = planned(tmp_path / "a")
    assert list(items) == ["cat/train/000001", "class 7/train/000002", "dog/train/000000"]
    assert np.allclose(open_item(items["cat/train/000001"]).shape.points, points[1])
    npz(tmp_path / "b" / "s.npz", points=points, category=np.array(["cup", "mug", "cup"]))
    _, items = planned(tmp_path / "b")
    assert list(items) == ["cup/s/000000", "cup/s/000002", "mug/s/000001"]


def test_arrays_in_an_archive_are_read_like_those_on_disk(tmp_path):
    points = np.stack([cloud(k) for k in range(3)])
    with h5py.File(tmp_path / "train.h5", "w") as handle:
        handle["data"], handle["label"] = points, [[0], [1], [0]]
    torch.save({"points": torch.from_numpy(points)}, tmp_path / "s.pt")
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("train.h5", "s.pt"):
            archive.write(tmp_path / name, f"a/{name}")
        archive.writestr("a/broken.pt", b"x")
        archive.writestr("a/broken.h5", b"x")
    plan, items = planned(tmp_path / "all.zip")
    assert len(items) == 6
    for name, row in (("class 1/train/000001", 1), ("a/s/000002", 2)):
        assert np.allclose(open_item(items[name]).shape.points, points[row])
    assert items["class 0/train/000002"].split == "train"
    assert {r.item for r in plan.rejected} == {"all.zip:a/broken.pt", "all.zip:a/broken.h5"}
    assert all("/proc" not in r.reason for r in plan.rejected)


def test_categories_of_shapenetsem_are_those_of_its_metadata(tmp_path):
    words = {"a1": "Chair,OfficeChair,_Attributes", "b2": "_Attributes,Table", "c3": ""}
    table = "fullId,category,up\n" + "".join(f'wss.{k},"{w}",\n' for k, w in words.items())
    files = {f"models-OBJ/models/{k}.obj": box(n) for n, k in enumerate(words)}
    _, items = planned(fill(tmp_path / "sem", {**files, "metadata.csv": table}))
    assert sorted(items) == ["Chair/a1", "Table/b2", "sem/c3"]


def test_parts_of_partnet_mobility_are_one_shape(tmp_path):
    tree = [{"children": [{"objs": ["original-1", "original-2"]}]}]
    files = {f"7/textured_objs/{p}.obj": box() for p in ("new-3", "original-1", "original-2")}
    files |= {"7/meta.json": json.dumps({"model_cat": "Box"}), "7/result.json": json.dumps(tree)}
    _, items = planned(fill(tmp_path, files))
    assert list(items) == ["Box/7"]
    assert len(open_item(items["Box/7"]).shape.faces) == 24


def test_text_files_that_are_no_clouds_are_told_where_there_is_nothing_else(tmp_path):
    source = fill(tmp_path, {"airplane/a.txt": "1 2 3\n4 5 6\n"})
    with pytest.raises(DataError, match=r"1 \.txt not read: a cloud has 16 lines"):
        make_plan(source)


@pytest.mark.parametrize("count", range(1, 12))
def test_sets_of_any_size_can_be_trained_on(tmp_path, count):
    for name in ("a", "bb", "some other"):
        files = {f"{name}/{k}.xyz": text(k) for k in range(count)}
        _, items = planned(fill(tmp_path / name, files))
        found = set(splits(items).values())
        assert "train" in found
        assert len(found) == min(count, 3)
    few = fill(tmp_path / "few", {f"{c}/{k}.obj": box() for c in "pqrst" for k in range(2)})
    for category in "pqrst":
        assert set(splits(planned(few, categories=[category])[1]).values()) == {"train", "test"}


def test_copies_under_other_names_share_a_split_and_are_told(tmp_path):
    files = {f"cup/{k}.obj": box(k) for k in range(30)}
    files |= {f"cup/copy of {k}.obj": box(k) for k in range(30)}
    report = prepare(fill(tmp_path / "cups", files), tmp_path / "set", points=20, workers=1)
    split = {row.id: row.split for row in Dataset.open(tmp_path / "set").rows}
    apart = sum(split[f"cup/{k}"] != split[f"cup/copy of {k}"] for k in range(30))
    assert apart == 0
    assert "30 shapes are exact copies of others" in report["remarks"][0]
    rows = "".join(f"{k}.obj,train\ncopy of {k}.obj,test\n" for k in range(30))
    (tmp_path / "cups" / "split.csv").write_text(f"file,split\n{rows}")
    report = prepare(tmp_path / "cups", tmp_path / "own", points=20, workers=1)
    assert "30 of them are in two splits" in report["remarks"][0]


def test_what_cannot_be_used_is_named_on_the_terminal(tmp_path, capsys):
    inner = tmp_path / "02691156.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("02691156/m/models/model_normalized.obj", box())
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(inner, "ShapeNetCore/02691156.zip")
    inner.unlink()
    files = {f"a{suffix}": b"x" for suffix in (".fbx", ".dae", ".usdz", ".blend", ".tar.gz", ".7z")}
    fill(tmp_path, {"good.obj": box(), "bad.npz": b"no", "cloud.txt": text(), **files})
    words = ["prepare", str(tmp_path), "--out", str(tmp_path / "set"), "--points", "40", "--quiet"]
    assert main([*words, "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    for word in ("1 .fbx", "1 .dae", "1 .usdz", "1 .blend", "1 .tar.gz", "1 .7z"):
        assert word in shown
    assert "Blender" in shown
    assert (
        "all.zip:ShapeNetCore/02691156.zip: an archive within an archive; unpack all.zip" in shown
    )
    assert "bad.npz" in shown
    assert "1 .txt" in shown
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.fbx").write_bytes(b"x")
    with pytest.raises(DataError, match=r"1 \.fbx not read: open it in Blender"):
        make_plan(tmp_path / "only")


def test_one_scan_among_many_meshes_does_not_decide_how_many_points_all_have(tmp_path):
    files = {f"m{k}.obj": box(k) for k in range(30)} | {"scan.xyz": text()}
    assert planned(fill(tmp_path / "many", files))[0].settings.points == 15_000
    few = {name: files[name] for name in ("m0.obj", "m1.obj", "scan.xyz")}
    assert planned(fill(tmp_path / "few", few))[0].settings.points == 40


@pytest.mark.parametrize("up", ["z", "x", "y"])
def test_a_source_with_another_axis_up_is_raised_and_lowered_again(tmp_path, up):
    size = {"z": (1.0, 2.0, 8.0), "x": (8.0, 1.0, 2.0), "y": (1.0, 8.0, 2.0)}[up]
    fill(tmp_path / "src", {f"{k}.obj": obj_bytes(box_mesh(size)) for k in range(3)})
    prepare(tmp_path / "src", tmp_path / "set", points=400, workers=1, up=up, unit="mm")
    dataset = Dataset.open(tmp_path / "set")
    points = dataset.points([0])[0]
    assert np.ptp(points, axis=0).argmax() == 1
    assert (dataset.up, dataset.unit) == (up, "mm")
    place = category_frames(tmp_path / "set")["src"]
    own = place.restore(points)
    mesh = box_mesh(size)
    assert np.allclose(np.ptp(own, axis=0), size, atol=0.2)
    assert np.abs(own.mean(0) - mesh.vertices.mean(0)).max() < 0.5
    turned = place.turn(dataset.normals([0])[0])
    sides = np.abs(own - mesh.vertices.mean(0)) / (np.array(size) / 2)
    assert (sides[np.arange(400), np.abs(turned).argmax(1)] > 0.99).all()


@pytest.mark.parametrize(("turned", "reported"), [((0, 1, 2), False), ((0, 2, 1), True)])
def test_a_set_that_seems_to_lie_on_its_side_is_reported_unless_the_axis_is_given(
    tmp_path, turned, reported
):
    files = {}
    for k in range(24):  # tables on one foot, the long way up
        top, foot = box_mesh((2.0, 0.1, 2.0 + k / 9), (0, 1, 0)), box_mesh((0.3, 1, 0.3), (0, 0, 0))
        whole = np.concatenate([top.vertices, foot.vertices])[:, list(turned)]
        faces = np.concatenate([top.faces, foot.faces + len(top.vertices)])
        files[f"{k}.obj"] = obj_bytes(Mesh(whole, faces))
    source = fill(tmp_path / "tables", files)
    report = prepare(source, tmp_path / "silent", points=300, workers=1)
    assert any("prepare them with --up z" in line for line in report["remarks"]) is reported
    named = prepare(source, tmp_path / "named", points=300, workers=1, up="yz"[reported])
    assert named["remarks"] == []


def test_the_axis_up_is_not_guessed_from_few_shapes_or_even_ones():
    draw = np.random.default_rng(0)
    even = draw.normal(size=(40, 500, 3))
    steep = even.copy()
    steep[..., 0] = np.exp(steep[..., 0])
    assert likely_up(even) == ""
    assert likely_up(steep) == "x"
    assert likely_up(steep[:19]) == ""
    assert likely_up(steep[..., [1, 0, 2]]) == "y"
