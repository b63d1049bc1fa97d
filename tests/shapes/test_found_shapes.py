"""What is found in a source: categories, versions, splits, and the file of each shape."""

import base64
import io
import json
import struct
import zipfile
from urllib.parse import quote_from_bytes

import numpy as np
import pytest

from pcgen.errors import DataError, MeshError
from pcgen.shapes.items import open_item
from pcgen.shapes.plan import make_plan
from pcgen.shapes.reading import open_bytes, open_file

CORNERS = np.array([[0, 0, 0], [2, 0, 0], [0, 3, 0]], "<f4")
POINTS = np.random.default_rng(0).normal(size=(20, 3))


def put(folder, **files):
    """Files by path with content, or a number of OBJ files in a folder."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())


def objs(*paths):
    """OBJ files that are all different."""
    return {path: f"# {path}\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n" for path in paths}


def splits_of(source, **options):
    return {item.entry.path: item.split for item in make_plan(source, **options).items}


def test_trains_beside_other_categories_are_no_split(tmp_path):
    put(tmp_path, **objs(*(f"{name}/{k}.obj" for name in ("car", "train", "bus") for k in "01")))
    assert {item.category for item in make_plan(tmp_path).items} == {"car", "train", "bus"}
    put(tmp_path, **objs("test/8.obj", "test/9.obj"))
    found = make_plan(tmp_path).items
    assert {item.split for item in found if item.entry.path.startswith("train")} == {"train"}
    assert "train" not in {item.category for item in found}


@pytest.mark.parametrize(
    "files",
    [
        {"train.txt": "my chair 0.obj\nmy chair 1.obj\n", "test.txt": "my chair 2.obj\n"},
        {"train.csv": "file,class\nmy chair 0.obj,a\nmy chair 1.obj,a\n",
         "test.csv": "class;name\na;my chair 2.obj\n"},
        {"train.tsv": "my chair 0\t1\nmy chair 1\t1\n", "test.lst": "my chair 2\n"},
        {"all.csv": "ID,SPLIT\nmy chair 0,Train\nmy chair 1,TRAIN\nmy chair 2,Test\n"},
        {"Splits.csv": "File;Category;Split\nmy chair 0.obj;a;train\n"
         "my chair 1.obj;a;training\nmy chair 2.obj;a;test\n"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("folder", ["", "whole/set/"])
def test_splits_are_found_however_they_are_written(tmp_path, files, folder):
    names = [f"{folder}my chair {k}.obj" for k in range(3)]
    put(tmp_path, **objs(*names), **{f"{folder}{name}": text for name, text in files.items()})
    assert splits_of(tmp_path) == dict(zip(names, ("train", "train", "test"), strict=True))


def test_the_scan_and_the_meshes_of_an_object_are_one_shape(tmp_path):
    # As in YCB: a folder for each object, with a scan and its meshes.
    for name in ("001_can", "002_box"):
        put(tmp_path, **objs(f"{name}/google_16k/textured.obj", f"{name}/tsdf/textured.obj"))
        put(tmp_path, **{f"{name}/clouds/merged_cloud.ply": b"ply"})
    found = make_plan(tmp_path).items
    assert [item.entry.path for item in found] == [
        "001_can/google_16k/textured.obj", "002_box/google_16k/textured.obj",
    ]  # fmt: skip
    assert len({item.category for item in found}) == 1


def test_numbered_folders_of_a_large_set_name_no_category(tmp_path):
    source = tmp_path / "abc"
    names = [f"abc_0000_obj_v00/0000005{k}/0000005{k}_trimesh_000.obj" for k in range(3)]
    put(source, **objs(*names))
    assert {item.category for item in make_plan(source).items} == {"abc"}


def test_of_several_files_of_a_shape_a_whole_mesh_is_used(tmp_path):
    np.save(tmp_path / "a.npy", POINTS)
    put(tmp_path, **objs("a.obj", "b.stl"), **{"a.glb": b"x", "b.obj": b""})
    assert set(splits_of(tmp_path)) == {"a.obj", "b.stl"}


def gltf(uri, **more):
    return json.dumps(
        {
            "asset": {"version": "2.0"},
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, **more}]}],
            "accessors": [
                {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}
            ],
            "bufferViews": [{"buffer": 0, "byteLength": 36}],
            "buffers": [{"byteLength": 36, "uri": uri}],
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("geometry.dat", "geometry.dat"),
        ("geometry", "geometry"),
        ("a/b/c/d.bin", "a/b/c/d.bin"),
        ("./my%20buffer.buf", "my buffer.buf"),
        ("parts\\b.bin", "parts/b.bin"),
        ("100%25.bin", "100%.bin"),
        ("%C3%BC.bin", "ü.bin"),
    ],
)
def test_a_gltf_finds_its_buffer_wherever_it_lies(tmp_path, uri, place):
    source = tmp_path / "set"
    put(source, **{"x/m.gltf": gltf(uri), f"x/{place}": CORNERS.tobytes()})
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(source / "x/m.gltf", "x/m.gltf")
        archive.write(source / f"x/{place}", f"x/{place}")
    shapes = [open_item(make_plan(s).items[0]).shape for s in (source, tmp_path / "set.zip")]
    for shape in (*shapes, *open_file(source / "x/m.gltf").shapes):
        assert np.array_equal(shape.vertices, CORNERS)


@pytest.mark.parametrize("uri", ["../b.bin", "/etc/hostname", "https://x.org/b.bin", "none.bin"])
def test_a_gltf_reads_nothing_outside_of_its_folder(tmp_path, uri):
    source = tmp_path / "set"
    put(source, **{"x/m.gltf": gltf(uri), "b.bin": CORNERS.tobytes()})
    with pytest.raises(MeshError, match=r"outside its own folder|not beside it"):
        open_item(make_plan(source).items[0])


def test_data_uris_of_every_coding():
    corners = np.full((3, 3), -1.0000001, "<f4")  # bytes that make '+' and '/' of base64
    corners[[0, 1], [0, 1]] = np.frombuffer(b"\xfb\xef\xbeB\xff\xff\xffA", "<f4")
    plain = base64.b64encode(corners.tobytes()).decode()
    assert "+" in plain
    assert "/" in plain
    for text in (
        f";base64,{plain}",
        f";base64,{plain.translate(str.maketrans('+/', '-_'))}",
        f";base64,{plain.replace('+', '%2B')}",
        f",{quote_from_bytes(corners.tobytes())}",
    ):
        found = open_bytes(gltf(f"data:application/octet-stream{text}").encode(), ".gltf")
        assert np.array_equal(found.shape.vertices, corners)


def test_an_extension_that_is_used_but_not_listed_is_told():
    text = gltf("data:,%00" + "%00" * 35, extensions={"ACME_displacement": {}})
    text = text.replace("%00" * 36, "".join(f"%{b:02x}" for b in CORNERS.tobytes()))
    assert open_bytes(text.encode(), ".gltf").notes == (
        "the extension ACME_displacement is not understood",
    )


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl", ".xyz", ".glb", ".3mf"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>404</html>", "web page"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "packed with gzip"),
    ],
)
def test_what_is_no_shape_at_all_is_told_as_what_it_is(suffix, data, reason):
    with pytest.raises(MeshError, match=reason):
        open_bytes(data, suffix)


def stl(count, facets=2):
    rows = np.zeros(facets, [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("flag", "<u2")])
    rows["corners"] = CORNERS
    return bytes(80) + struct.pack("<I", count) + rows.tobytes()


def test_stl_of_a_program_that_did_not_know_the_count():
    for count in (0, 2**32 - 1):
        found = open_bytes(stl(count), ".stl")
        assert len(found.shape.faces) == 2
        assert found.notes == (f"the STL file states {count} facets; all 2 in it are read",)


def test_stl_text_that_is_cut_off_is_told():
    facet = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 2 0 0\nvertex 0 3 0\nendloop\n"
    assert open_bytes(f"solid\n{facet}endfacet\nendsolid\n".encode(), ".stl").notes == ()
    found = open_bytes(f"solid\n{facet}endfacet\nfacet nor".encode(), ".stl")
    assert found.notes == ("the STL file has no 'endsolid'; it may be cut off",)


def test_a_ply_of_gaussians_is_told_and_one_of_triangles_a_mesh():
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\n"
    head += "property float z\n"
    more = "property float scale_0\nproperty float rot_0\nend_header\n"
    rows = "0 0 0 1 1\n2 0 0 1 1\n0 3 0 1 1\n"
    assert open_bytes((head + more + rows).encode(), ".ply").notes == (
        "its points are centres of Gaussians, whose sizes are left out",
    )
    more = "element triangle 1\nproperty list uchar int vertex_indices\nend_header\n"
    found = open_bytes((head + more + "0 0 0\n2 0 0\n0 3 0\n3 0 1 2\n").encode(), ".ply")
    assert len(found.shape.faces) == 1


def test_a_pcd_of_no_points_is_told_so():
    head = "VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH {}\nHEIGHT 1\nDATA ASCII\n"
    with pytest.raises(MeshError, match="no points"):
        open_bytes(head.format(0).encode(), ".pcd")
    found = open_bytes((head.format(2) + "0 0 0\n1 2 3\n").encode(), ".pcd")
    assert np.array_equal(found.shape.points, [[0, 0, 0], [1, 2, 3]])


def test_a_hole_wound_like_its_outline_is_told_as_a_guess():
    corners = "".join(f"v {x} {y} 0\n" for x, y in (
        (0, 0), (4, 0), (4, 4), (0, 4), (1, 1), (1, 3), (3, 3), (3, 1)))  # fmt: skip
    right = open_bytes(f"{corners}f 1 2 3 4 1 5 6 7 8 5\n".encode(), ".obj")
    assert right.notes == ()
    wrong = open_bytes(f"{corners}f 1 2 3 4 1 5 8 7 6 5\n".encode(), ".obj")
    assert wrong.notes == ("1 faces cross themselves; their surface is a guess",)


def test_a_zip_of_windows_finds_the_buffer_of_a_gltf(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("x\\m.gltf", gltf("b/c.bin"))
        archive.writestr("x\\b\\c.bin", CORNERS.tobytes())
    (tmp_path / "set.zip").write_bytes(content.getvalue())
    shape = open_item(make_plan(tmp_path).items[0]).shape
    assert np.array_equal(shape.vertices, CORNERS)


def test_folders_tell_versions_of_files_with_a_common_name(tmp_path):
    put(tmp_path, **objs(*(f"chair/{m}/v{v}/mesh.obj" for m in "ab" for v in (1, 2))))
    put(tmp_path, **objs(*(f"sofa/c/{v}/model.obj" for v in ("decimated", "original"))))
    assert {item.entry.path for item in make_plan(tmp_path).items} == {
        "chair/a/v2/mesh.obj", "chair/b/v2/mesh.obj", "sofa/c/original/model.obj",
    }  # fmt: skip


def test_folders_of_hashes_name_no_category(tmp_path):
    # As of Amazon's objects: the last letter of a name is its folder.
    put(tmp_path / "abo", **objs(*(f"B07{k}5X4QM{k}{h}.obj" for k in "123" for h in "AB")))
    for file in list((tmp_path / "abo").iterdir()):
        (tmp_path / "abo" / file.stem[-1]).mkdir(exist_ok=True)
        file.rename(tmp_path / "abo" / file.stem[-1] / file.name)
    assert {item.category for item in make_plan(tmp_path / "abo").items} == {"abo"}
    put(tmp_path / "letters", **objs(*(f"{h}/{h}_0000000{k}.obj" for k in "123" for h in "AB")))
    assert {item.category for item in make_plan(tmp_path / "letters").items} == {"A", "B"}
    put(tmp_path / "tv", **objs(*(f"{c}/{c}000000{k}.obj" for k in "123" for c in ("tv", "desk"))))
    assert {item.category for item in make_plan(tmp_path / "tv").items} == {"tv", "desk"}


def test_a_table_of_synsets_may_begin_with_a_mark(tmp_path):
    cloud = "0 0 1\n" * 20
    put(tmp_path, **{"09999999/a.txt": cloud, "synsetoffset2category.txt": "\ufeffCup\t09999999\n"})
    assert [item.id for item in make_plan(tmp_path).items] == ["Cup/a"]


@pytest.mark.parametrize("names", ["{}_points {}_normals", "points/{} normals/{}"])
def test_normals_in_files_of_their_own_are_no_shapes(tmp_path, names):
    for k in range(3):
        for name, rows in zip(names.split(), (POINTS, POINTS[::-1]), strict=True):
            path = tmp_path / f"{name.format(k)}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, rows + k)
    plan = make_plan(tmp_path)
    assert [item.entry.path for item in plan.items] == [
        f"{names.split()[0].format(k)}.npy" for k in range(3)
    ]
    assert {item.category for item in plan.items} == {tmp_path.name}
    assert "3 arrays of normals or colours beside points are left out" in plan.remarks


def test_a_table_whose_commas_have_two_meanings_is_rejected_by_name(tmp_path):
    cloud = "1,234.5;-2,345.6;3,456.7\n" * 20
    put(tmp_path, **objs("a.obj"), **{"b.csv": cloud})
    with pytest.raises(MeshError, match="separators of thousands"):
        open_item(make_plan(tmp_path).items[1])


def test_files_of_numbers_alone_are_named(tmp_path):
    put(tmp_path, **{"a.bin": b"x"})
    with pytest.raises(DataError, match=r"1 \.bin not read: save its points as \.npy"):
        make_plan(tmp_path)


@pytest.mark.parametrize("coding", ["utf-8", "cp437"])
def test_names_in_an_archive_without_a_flag_are_those_of_their_program(tmp_path, coding):
    # A Mac writes UTF-8 and does not set the flag; old programs write code page 437.
    name = "Stühle".encode(coding)
    same_length = "x" * len(name)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path, text in objs("a.obj", "b.obj").items():
            archive.writestr(f"{same_length}/{path}", text)
    data = (tmp_path / "set.zip").read_bytes()
    (tmp_path / "set.zip").write_bytes(data.replace(same_length.encode(), name))
    items = make_plan(tmp_path / "set.zip").items
    assert [item.id for item in items] == ["Stühle/a", "Stühle/b"]
    assert len(open_item(items[0]).shape.faces) == 1


@pytest.mark.parametrize("names", ["train_set/{} test_set/{}", "Training Data/{} Test Data/{}",
                                   "{}_train {}_test", "trainset/{} testset/{}"])  # fmt: skip
def test_folders_tell_splits_in_any_words(tmp_path, names):
    train, test = names.replace(" Data", "_Data").split()
    folders = [[name.replace("_Data", " Data").format(c) for c in ("chair", "sofa")]
               for name in (train, test)]  # fmt: skip
    put(tmp_path, **objs(*(f"{folder}/{k}.obj" for row in folders for folder in row for k in "01")))
    items = make_plan(tmp_path).items
    assert {item.category for item in items} == {"chair", "sofa"}
    assert all(
        item.split == ("train" if "train" in item.entry.path.lower() else "test") for item in items
    )
    assert len({item.id for item in items}) == 8


def test_a_category_with_the_name_of_a_split_in_it_is_none(tmp_path):
    put(tmp_path, **objs(*(f"{c}/{k}.obj" for c in ("test_tube", "cup") for k in "01")))
    assert {item.category for item in make_plan(tmp_path).items} == {"test_tube", "cup"}


def test_names_of_files_tell_splits_if_they_tell_two(tmp_path):
    put(tmp_path, **objs("cup_train_0.obj", "cup_train_1.obj", "cup_test_0.obj"))
    found = splits_of(tmp_path)
    assert found == {name: name.split("_")[1] for name in found}
    (tmp_path / "cup_test_0.obj").rename(tmp_path / "cup_0.obj")
    assert set(splits_of(tmp_path).values()) == {"train", "val", "test"}  # by hash


@pytest.mark.parametrize("place", ["C:\\data\\{}", "/home/me/data/{}", "{}"])
def test_tables_may_have_absolute_paths_or_lie_in_an_archive(tmp_path, place):
    names = [f"{c}/{k}.obj" for c in ("chair", "sofa") for k in "01"]
    rows = [f"{place.format(name)},{'test' if '1' in name else 'train'}" for name in names]
    files = objs(*names) | {"split.csv": "\n".join(["file,split", *rows])}
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    for source in (tmp_path, tmp_path / "set.zip"):
        found = splits_of(source)
        assert all(split == ("test" if "1" in path else "train") for path, split in found.items())


def test_splits_that_nothing_uses_are_told(tmp_path):
    put(
        tmp_path,
        **objs("a.obj", "b.obj"),
        **{"split.csv": "file,split\na.obj,train\nb.obj,fold 2\n"},
    )
    (remark,) = make_plan(tmp_path).remarks
    assert remark.endswith("splits besides train, val and test, which nothing uses: fold 2")
