"""Each layout on disk, unpacked and zipped, is recognised without --format."""

import json
import zipfile

import h5py
import numpy as np
import pytest

from pcgen.errors import DataError, InputError
from pcgen.shapes.items import open_item
from pcgen.shapes.layouts import find_items
from pcgen.shapes.layouts.synsets import CORE_NAMES
from pcgen.shapes.listing import scan
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.plan import make_plan
from tests.shapes.small_shapes import box_mesh, every_format, obj_bytes, off_bytes

BOX = obj_bytes(box_mesh())
CLOUD = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


def fill(root, files):
    """Write files by relative path; a .npy gets an array, the rest bytes or text."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, np.ndarray):
            np.save(path, content)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def zipped(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def found_in(source, layout="auto"):
    name, found = find_items(scan(source), layout)
    return name, {item.id: item for item in found.items}, found


SHAPENET_V2 = {
    "03001627/1006be/models/model_normalized.obj": b"mtllib gone.mtl\nusemtl a\n" + BOX,
    "03001627/1006be/models/model_normalized.mtl": "map_Kd ../images/gone.jpg",
    "03001627/1006be/models/model_normalized.json": "{}",
    "03001627/1006be/models/model_normalized.solid.binvox": b"#binvox",
    "03001627/2f00aa/models/model_normalized.obj": BOX,
    "03001627/broken/models/model_normalized.json": "{}",
    "02691156/10155655850468db78d106ce0a280f87/models/model_normalized.obj": BOX,
}


def test_shapenet_v2_unpacked(tmp_path):
    name, items, found = found_in(fill(tmp_path / "ShapeNetCore.v2", SHAPENET_V2))
    assert name == "shapenet"
    assert sorted(items) == [
        "airplane/10155655850468db78d106ce0a280f87",
        "chair/1006be",
        "chair/2f00aa",
    ]
    assert [entry.item for entry in found.rejected] == ["03001627/broken"]
    assert "no model_normalized.obj" in found.rejected[0].reason
    assert found.aliases["03001627"] == "chair"
    assert found.aliases["plane"] == "airplane"
    assert isinstance(open_item(items["chair/1006be"]).shape, Mesh)


def test_shapenet_v2_in_one_zip_a_synset_with_a_taxonomy(tmp_path):
    root = tmp_path / "ShapeNetCore"
    for synset in ("03001627", "02691156"):
        members = {name: data for name, data in SHAPENET_V2.items() if name.startswith(synset)}
        zipped(root / f"{synset}.zip", members)
    taxonomy = [{"synsetId": "03001627", "name": "armchair,chair", "children": []}]
    (root / "taxonomy.json").write_text(json.dumps(taxonomy))
    name, items, found = found_in(root)
    assert name == "shapenet"
    assert sorted({item.category for item in items.values()}) == ["airplane", "armchair"]
    assert items["armchair/1006be"].where.startswith("03001627.zip:03001627/1006be/")
    assert [entry.item for entry in found.rejected] == ["03001627/broken"]
    assert isinstance(open_item(items["armchair/2f00aa"]).shape, Mesh)


@pytest.mark.parametrize("prefix", ["", "ShapeNetCore.v2/"])
def test_one_archive_may_be_the_source(tmp_path, prefix):
    archive = zipped(tmp_path / "any.zip", {prefix + k: v for k, v in SHAPENET_V2.items()})
    name, items, _ = found_in(archive)
    assert name == "shapenet"
    assert len(items) == 3


def test_shapenet_v1_and_a_single_synset(tmp_path):
    files = {"03001627/a/model.obj": BOX, "03001627/b/model.obj": BOX, "02958343/c/model.obj": BOX}
    name, items, _ = found_in(fill(tmp_path / "v1", files))
    assert name == "shapenet"
    assert sorted(items) == ["car/c", "chair/a", "chair/b"]
    name, items, _ = found_in(tmp_path / "v1" / "03001627")
    assert name == "shapenet"
    assert sorted(items) == ["chair/a", "chair/b"]


def test_there_are_55_synsets_with_different_names():
    assert len(CORE_NAMES) == 55
    first = [names[0] for names in CORE_NAMES.values()]
    assert len(set(first)) == 55
    assert CORE_NAMES["02958343"][0] == "car"


def test_modelnet_with_broken_headers(tmp_path):
    files = {
        "ModelNet10/README.txt": "hello",
        "ModelNet10/bath tub/train/bathtub_0001.off": off_bytes(box_mesh(), "OFF"),
        "ModelNet10/bath tub/test/bathtub_0107.off": off_bytes(box_mesh()),
        "ModelNet10/chair/train/chair_0001.off": off_bytes(box_mesh()),
    }
    name, items, _ = found_in(fill(tmp_path, files))
    assert name == "modelnet"
    assert {key: item.split for key, item in items.items()} == {
        "bath tub/bathtub_0001": "train",
        "bath tub/bathtub_0107": "test",
        "chair/chair_0001": "train",
    }
    assert isinstance(open_item(items["bath tub/bathtub_0001"]).shape, Mesh)


def test_pc15k_keeps_its_order(tmp_path):
    files = {
        f"03001627/{split}/{split}{k}.npy": CLOUD + k for split in ("train", "val") for k in (0, 1)
    }
    name, items, found = found_in(fill(tmp_path, files))
    assert name == "pc15k"
    assert items["chair/val1"].split == "val"
    assert np.array_equal(open_item(items["chair/val1"]).shape.points, np.float64(CLOUD + 1))
    assert found.aliases["03001627"] == "chair"


def test_dpm_hdf5(tmp_path):
    with h5py.File(tmp_path / "shapenet.hdf5", "w") as handle:
        for split, count in (("train", 3), ("test", 2)):
            handle[f"02691156/{split}"] = np.stack([CLOUD + k for k in range(count)])
        handle["02691156/scale"] = 1.0
    name, items, _ = found_in(tmp_path / "shapenet.hdf5")
    assert name == "hdf5"
    assert sorted(items) == [
        "airplane/test/000000",
        "airplane/test/000001",
        "airplane/train/000000",
        "airplane/train/000001",
        "airplane/train/000002",
    ]
    item = items["airplane/train/000002"]
    assert item.split == "train"
    assert np.allclose(open_item(item).shape.points, CLOUD + 2)


def test_an_hdf5_file_that_is_none_is_rejected(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 30)
    _, items, found = found_in(tmp_path)
    assert items == {}
    assert "not a readable HDF5 file" in found.rejected[0].reason


def test_arrays_that_promise_more_than_is_there_are_rejected_before_they_are_listed(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as handle:
        handle.create_dataset("chair/train", (10**9, 2048, 3), "f4", chunks=(1, 2048, 3))
    _, items, found = found_in(tmp_path)
    assert items == {}
    assert "more than the file can hold" in found.rejected[0].reason
    with (tmp_path / "x.npy").open("wb") as handle:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 2048, 3)}
        np.lib.format.write_array_header_1_0(handle, header)
    _, items, found = found_in(tmp_path, "folder")
    assert items == {}
    assert "states" in found.rejected[0].reason


def test_shapenetpart_points_and_text(tmp_path):
    rows = "\n".join(f"{x} {y} {z}" for x, y, z in CLOUD)
    name, items, _ = found_in(fill(tmp_path / "a", {"02691156/points/1021.pts": rows}))
    assert (name, list(items)) == ("shapenetpart", ["airplane/1021"])
    unit = CLOUD / np.linalg.norm(CLOUD, axis=1, keepdims=True)
    table = "\n".join(" ".join(map(str, [*p, *n, 3.0])) for p, n in zip(CLOUD, unit, strict=True))
    lists = json.dumps(["shape_data/03624134/bcd"])
    files = {
        "synsetoffset2category.txt": "Airplane\t02691156\nKnife\t03624134\n",
        "03624134/bcd.txt": table,
        "train_test_split/shuffled_val_file_list.json": lists,
    }
    name, items, found = found_in(fill(tmp_path / "b", files))
    assert name == "shapenetpart"
    item = items["Knife/bcd"]
    assert make_plan(tmp_path / "b").items[0].split == "val"
    assert np.allclose(open_item(item).shape.normals, unit, atol=1e-4)
    assert found.aliases["knife"] == "Knife"


def test_any_folder_takes_first_folders_as_categories(tmp_path):
    every = every_format(box_mesh())
    files = {
        f"parts of a car/{suffix[1:]}/p{suffix}": every[suffix]
        for suffix in every
        if suffix != "buffer"
    }
    files["parts of a car/gltf/gltf_buffer.bin"] = every["buffer"]
    files |= {
        "椅子/one.npy": CLOUD,
        "椅子/many.npy": np.stack([CLOUD, CLOUD]),
        "椅子/note.txt": "x",
    }
    files |= {"椅子/.hidden/x.obj": BOX, "only text/readme.md": "x"}
    name, items, found = found_in(fill(tmp_path, files))
    assert name == "folder"
    assert sorted(items) == [
        *(
            f"parts of a car/{kind}/p"
            for kind in ("3mf", "glb", "gltf", "obj", "off", "ply", "stl", "vrm")
        ),
        "椅子/many/000000",
        "椅子/many/000001",
        "椅子/one",
    ]
    for item in items.values():
        open_item(item)
    assert [entry.item for entry in found.rejected] == ["only text"]


def test_folders_named_like_synsets_get_their_names(tmp_path):
    files = {f"{synset}/{k}.glb": b"" for synset in ("03001627", "02691156") for k in range(2)}
    name, items, found = found_in(fill(tmp_path, files))
    assert (name, {item.category for item in items.values()}) == ("folder", {"chair", "airplane"})
    assert found.aliases["03001627"] == "chair"


def test_a_flat_folder_is_one_category_named_after_it(tmp_path):
    name, items, _ = found_in(fill(tmp_path / "gears", {"a.stl": b"", "b.stl": b""}))
    assert (name, sorted(items)) == ("folder", ["gears/a", "gears/b"])


def test_a_folder_per_model_is_no_category(tmp_path):
    files = {f"{plane}/source/{plane}.obj": BOX for plane in ("a320", "b747", "dc3", "concorde")}
    files["gliders/asw/asw.obj"] = files["gliders/k8/k8.obj"] = BOX
    _, items, found = found_in(fill(tmp_path / "aircraft", files))
    assert {item.category for item in items.values()} == {"aircraft"}
    assert "aircraft/dc3/source/dc3" in items
    assert "one category" in found.rule


def test_one_folder_around_everything_is_passed_over(tmp_path):
    files = {f"download/v1/{kind}/{k}.obj": BOX for kind in ("cup", "bowl") for k in range(3)}
    _, items, _ = found_in(fill(tmp_path, files))
    assert {item.category for item in items.values()} == {"cup", "bowl"}


def test_split_folders_are_splits_wherever_they_stand(tmp_path):
    files = {f"{split}/cup/{split}{k}.ply": b"" for split in ("Train", "test") for k in range(2)}
    _, items, _ = found_in(fill(tmp_path / "a", files))
    assert {key: item.split for key, item in items.items()} == {
        "cup/Train0": "train",
        "cup/Train1": "train",
        "cup/test0": "test",
        "cup/test1": "test",
    }
    files = {f"{kind}/validation/{kind}{k}.ply": b"" for kind in ("cup", "jar") for k in range(2)}
    _, items, _ = found_in(fill(tmp_path / "b", files))
    assert {item.category for item in items.values()} == {"cup", "jar"}
    assert {item.split for item in items.values()} == {"val"}


def test_a_zip_of_any_meshes_made_on_windows(tmp_path):
    archive = tmp_path / "kit.zip"
    with zipfile.ZipFile(archive, "w") as handle:
        for name in ("cups\\a.obj", "cups\\b.obj", "jars\\c.obj", "jars\\d.obj"):
            info = zipfile.ZipInfo("x")
            info.filename = name  # the constructor would turn it round
            handle.writestr(info, BOX)
    _, items, _ = found_in(archive)
    assert sorted(items) == ["cups/a", "cups/b", "jars/c", "jars/d"]
    assert isinstance(open_item(items["jars/d"]).shape, Mesh)


def test_a_named_format_that_does_not_fit_says_what_it_expects(tmp_path):
    fill(tmp_path, {"a.stl": b""})
    with pytest.raises(DataError, match=r"expected <class>/<train or test>/<name>\.off"):
        find_items(scan(tmp_path), "modelnet")
    with pytest.raises(InputError, match="format must be"):
        find_items(scan(tmp_path), "shapenot")


def test_gltf_in_an_archive_finds_its_buffer_there(tmp_path):
    every = every_format(box_mesh())
    members = {"car/box.gltf": every[".gltf"], "car/gltf_buffer.bin": every["buffer"]}
    _, items, _ = found_in(zipped(tmp_path / "kit.zip", members))
    assert isinstance(open_item(items["car/box"]).shape, Mesh)
