"""Clouds of every format are read; files that could run code or hold no cloud are refused."""

import contextlib
import os
import pickle

import numpy as np
import pytest
import torch
import trimesh

from pcgen.errors import InputError
from pcgen.shapes.cloud_files import read_clouds
from pcgen.shapes.formats.pcd import read_pcd
from pcgen.shapes.formats.text import read_text
from pcgen.shapes.samples import Samples

RNG = np.random.default_rng(3)
POINTS = RNG.normal(size=(4, 20, 3)).astype(np.float32)
NORMALS = POINTS / np.linalg.norm(POINTS, axis=2, keepdims=True)


def pcd_text(fields="x y z", rows=POINTS[0], data="ascii", body=None):
    n = len(fields.split())
    header = (
        f"# .PCD v0.7\nVERSION 0.7\nFIELDS {fields}\nSIZE {'4 ' * n}\nTYPE {'F ' * n}\n"
        f"COUNT {'1 ' * n}\nWIDTH {len(rows)}\nHEIGHT 1\nPOINTS {len(rows)}\nDATA {data}\n"
    ).encode()
    if body is None:
        body = "\n".join(" ".join(map(str, row)) for row in rows).encode()
    return header + body


def lzf_literals(raw: bytes) -> bytes:
    """LZF that compresses nothing: runs of up to 32 literals."""
    runs = [raw[k : k + 32] for k in range(0, len(raw), 32)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def write_each(folder):
    Samples(points=POINTS, category=np.array(["a", "b", "a", "b"])).save(folder / "s.npz")
    np.save(folder / "many.npy", POINTS)
    np.save(folder / "one.npy", POINTS[0])
    np.savez(folder / "foreign.npz", samples=POINTS, labels=np.arange(4))
    torch.save(torch.from_numpy(POINTS), folder / "tensor.pt")
    torch.save({"pred": torch.from_numpy(POINTS), "epoch": 3}, folder / "dict.pt")
    (folder / "scan.ply").write_bytes(trimesh.PointCloud(POINTS[0]).export(file_type="ply"))
    np.savetxt(folder / "a.xyz", POINTS[0])
    np.savetxt(folder / "a.pts", POINTS[0], header="20", comments="")
    (folder / "a.pcd").write_bytes(pcd_text())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("s.npz", 4),
        ("foreign.npz", 4),
        ("many.npy", 4),
        ("one.npy", 1),
        ("tensor.pt", 4),
        ("dict.pt", 4),
        ("scan.ply", 1),
        ("a.xyz", 1),
        ("a.pts", 1),
        ("a.pcd", 1),
    ],
)
def test_every_format_gives_its_clouds(tmp_path, name, count):
    write_each(tmp_path)
    clouds = read_clouds(tmp_path / name)
    assert len(clouds) == len(clouds.names) == len(clouds.categories) == count
    assert np.allclose(clouds.samples().points, POINTS[:count], atol=1e-6)


def test_a_folder_is_read_by_name(tmp_path):
    np.save(tmp_path / "b.npy", POINTS[1])
    np.savetxt(tmp_path / "a.xyz", POINTS[0])
    (tmp_path / "notes.md").write_text("not a cloud")
    clouds = read_clouds(tmp_path)
    assert list(clouds.names) == ["a", "b"]
    assert np.allclose(clouds.samples().points, POINTS[:2], atol=1e-6)


def test_clouds_of_different_sizes_are_read_but_not_stacked(tmp_path):
    np.savetxt(tmp_path / "a.xyz", POINTS[0])
    np.savetxt(tmp_path / "b.xyz", POINTS[1, :7])
    clouds = read_clouds(tmp_path)
    assert [len(cloud.points) for cloud in clouds.clouds] == [20, 7]
    with pytest.raises(InputError, match="between 7 and 20 points"):
        clouds.samples()


def test_normals_are_told_from_colours(tmp_path):
    np.savetxt(tmp_path / "n.xyz", np.hstack([POINTS[0], NORMALS[0]]))
    np.savetxt(tmp_path / "c.xyz", np.hstack([POINTS[0], np.full((20, 3), 128)]))
    assert np.allclose(read_clouds(tmp_path / "n.xyz").clouds[0].normals, NORMALS[0])
    assert read_clouds(tmp_path / "c.xyz").clouds[0].normals is None


def test_text_may_be_separated_by_commas_or_tabs():
    for mark in (b",", b"\t", b";"):
        points = read_text(b"1%s2%s3\n4%s5%s6\n".replace(b"%s", mark)).vertices
        assert points.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_pcd_in_all_three_codings_with_normals():
    rows = np.hstack([POINTS[0], NORMALS[0]]).astype("<f4")
    fields = "x y z normal_x normal_y normal_z"
    planes = rows.T.tobytes()
    packed = lzf_literals(planes)
    sizes = np.array([len(packed), len(planes)], "<u4").tobytes()
    for data, body in (
        ("ascii", None),
        ("binary", rows.tobytes()),
        ("binary_compressed", sizes + packed),
    ):
        raw = read_pcd(pcd_text(fields, rows, data, body))
        assert np.allclose(raw.vertices, POINTS[0], atol=1e-6)
        assert np.allclose(raw.normals, NORMALS[0], atol=1e-6)


def test_lzf_references_repeat_what_was_written():
    from pcgen.shapes.formats.pcd import _unpack_lzf

    # three literals, then 6 bytes from 3 back: (length - 2) << 5 | offset high, offset low
    assert _unpack_lzf(b"\x02abc" + bytes([(6 - 2) << 5, 2]), 9) == b"abcabcabc"
    assert _unpack_lzf(b"\x00z" + bytes([7 << 5, 21, 0]), 31) == b"z" * 31


class Evil:
    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def test_a_file_that_could_run_code_is_refused_and_not_run(tmp_path):
    evil = Evil(tmp_path / "ran")
    torch.save({"points": evil}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="could run code"):
        read_clouds(tmp_path / "evil.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(evil))
    with pytest.raises(InputError, match="raw"):
        read_clouds(tmp_path / "raw.pt")
    np.save(tmp_path / "evil.npy", np.array([evil], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="pickled"):
        read_clouds(tmp_path / "evil.npy")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.xyz", b"", "no points"),
        ("a.xyz", b"1 2\n", "at least three"),
        ("a.xyz", b"1 2 nan\n3 4 5\n", "NaN"),
        ("a.xyz", b"1 2 3\n1 2 3\n", "points are equal"),
        ("a.xyz", b"one two three\n", "not numbers"),
        ("a.pcd", b"hello", "header"),
        ("a.pcd", pcd_text(data="binary", body=b"1234"), "damaged"),
        ("a.pcd", pcd_text("a b c"), "x, y, z"),
        ("a.ply", b"ply", "end_header"),
        ("a.npy", b"\x93NUMPY", "not a NumPy"),
        ("a.pt", b"PK", "not a readable PyTorch"),
        ("a.blend", b"", "glTF"),
    ],
)
def test_what_is_no_cloud_is_refused_by_name(tmp_path, name, data, reason):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=reason) as caught:
        read_clouds(tmp_path / name)
    assert name in str(caught.value)


def test_what_a_scanner_did_not_see_can_be_left_out(tmp_path):
    holes = POINTS[0].copy()
    holes[3], holes[5, 1] = np.nan, np.inf
    np.savetxt(tmp_path / "a.xyz", np.hstack([holes, NORMALS[0]]))
    with pytest.raises(InputError, match="2 points are NaN"):
        read_clouds(tmp_path / "a.xyz")
    with pytest.warns(UserWarning, match="left out 2 of 20 points"):
        cloud = read_clouds(tmp_path / "a.xyz", faulty="drop").clouds[0]
    kept = np.isfinite(holes).all(1)
    assert np.allclose(cloud.points, POINTS[0][kept])
    assert np.allclose(cloud.normals, NORMALS[0][kept])
    cloud = read_clouds(tmp_path / "a.xyz", faulty="keep").clouds[0]
    assert np.array_equal(np.isfinite(cloud.points), np.isfinite(holes))
    np.save(tmp_path / "none.npy", np.full((5, 3), np.nan))
    with pytest.raises(InputError, match="5 points are NaN"):
        read_clouds(tmp_path / "none.npy", faulty="drop")


def test_ambiguous_arrays_are_listed(tmp_path):
    np.savez(tmp_path / "two.npz", a=POINTS, b=POINTS)
    with pytest.raises(InputError, match=r"it has a \(4, 20, 3\), b"):
        read_clouds(tmp_path / "two.npz")
    np.save(tmp_path / "flat.npy", np.zeros(7))
    with pytest.raises(InputError, match=r"got \(7,\)"):
        read_clouds(tmp_path / "flat.npy")
    with pytest.raises(InputError, match="no file in"):
        read_clouds(tmp_path.parent / tmp_path.name / "..")


@pytest.mark.parametrize("name", ["a.pcd", "b.pcd", "a.xyz", "scan.ply", "one.npy", "tensor.pt"])
def test_mutated_files_are_read_or_refused_in_words(tmp_path, name):
    write_each(tmp_path)
    (tmp_path / "b.pcd").write_bytes(pcd_text(data="binary", body=POINTS[0].tobytes()))
    whole, draw = (tmp_path / name).read_bytes(), np.random.default_rng(11)
    for _ in range(80):
        copy = bytearray(whole)
        for position in draw.integers(0, len(copy), draw.integers(1, 6)):
            copy[position] = draw.integers(256)
        if draw.random() < 0.3:
            del copy[draw.integers(len(copy)) :]
        (tmp_path / name).write_bytes(copy)
        with contextlib.suppress(InputError):
            assert len(read_clouds(tmp_path / name))


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((5, 3, 40), "transpose"),
        ((40, 4), r"points\[\.\.\., :3\]"),
        ((5, 40, 9), r"points\[\.\.\., :3\]"),
        ((3, 40), r"points\.T"),
        ((5, 120), r"reshape\(5, -1, 3\)"),
        ((1, 5, 40, 3), r"reshape\(-1, 40, 3\)"),
        ((0, 40, 3), "holds no cloud"),
    ],
)
def test_usual_wrong_shapes_are_told_what_to_save(tmp_path, shape, advice):
    np.save(tmp_path / "wrong.npy", np.zeros(shape, np.float32))
    with pytest.raises(InputError, match=advice):
        read_clouds(tmp_path / "wrong.npy")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_the_cloud_that_cannot_be_used_is_named(tmp_path, suffix):
    points = POINTS.copy()
    points[2] = 1
    path = tmp_path / f"points{suffix}"
    np.save(path, points) if suffix == ".npy" else np.savez(path, points=points)
    with pytest.raises(InputError, match="cloud 2 of 4: all points are equal"):
        read_clouds(path)


def test_what_a_folder_of_clouds_holds_besides_is_told_and_versions_are_not(tmp_path):
    points = np.random.default_rng(0).normal(size=(30, 3))
    np.savetxt(tmp_path / "a.xyz", points)
    for name in ("a.obj", "b.obj", "c.fbx", "d.txt", ".e.obj"):
        (tmp_path / name).write_text("x")
    with pytest.warns(UserWarning, match="ignored|not read") as told:
        assert len(read_clouds(tmp_path)) == 1
    assert [str(remark.message) for remark in told] == [
        f"{tmp_path}: 1 .fbx is not read; open it in Blender and export it as glTF",
        f"{tmp_path}: 1 .obj ignored beside .xyz; name it alone",
    ]
