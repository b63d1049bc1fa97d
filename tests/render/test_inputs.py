"""Everything that can be viewed is opened as shapes in the per-shape box."""

import io

import numpy as np
import pytest
import torch
import trimesh

from pcgen.errors import InputError
from pcgen.render.inputs import open_collection, readable_shapes, to_samples
from pcgen.shapes.samples import Samples

POINTS = np.random.default_rng(0).uniform(-3, 5, (3, 40, 3))
BOX = (POINTS - (POINTS.min(1, keepdims=True) + POINTS.max(1, keepdims=True)) / 2) / (
    np.ptp(POINTS, axis=1).max(1)[:, None, None] / 2
)


def write_ply(path, points):
    trimesh.PointCloud(points).export(path)


def write_pcd(path, points):
    head = f"FIELDS x y z\nSIZE 8 8 8\nTYPE F F F\nCOUNT 1 1 1\nWIDTH {len(points)}\nHEIGHT 1\n"
    body = io.StringIO()
    np.savetxt(body, points)
    path.write_text(f"{head}POINTS {len(points)}\nDATA ascii\n{body.getvalue()}")


WRITERS = {
    "a.npy": np.save,
    "a.npz": lambda path, points: np.savez(path, clouds=points),
    "a.pt": lambda path, points: torch.save(torch.from_numpy(points), path),
    "b.xyz": lambda path, points: np.savetxt(path, points[0]),
    "b.pcd": lambda path, points: write_pcd(path, points[0]),
    "b.ply": lambda path, points: write_ply(path, points[0]),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_cloud_that_can_be_meshed_or_evaluated_can_be_viewed(tmp_path, name):
    WRITERS[name](tmp_path / name, POINTS)
    collection = open_collection(tmp_path / name)
    assert len(collection) == (3 if name.startswith("a") else 1)
    for number in range(len(collection)):
        assert np.allclose(collection.load(number).points, BOX[number], atol=1e-5)


def test_samples_that_say_where_they_come_from_keep_their_frame(tmp_path):
    Samples(points=POINTS, meta={"run": "runs/chairs"}).save(tmp_path / "own.npz")
    assert np.allclose(open_collection(tmp_path / "own.npz").load(1).points, POINTS[1])
    Samples(points=POINTS).save(tmp_path / "other.npz")
    assert np.allclose(open_collection(tmp_path / "other.npz").load(1).points, BOX[1], atol=1e-6)


def test_a_bad_array_does_not_hide_the_others_of_its_folder(tmp_path):
    np.save(tmp_path / "a.npy", POINTS[0])
    (tmp_path / "b.npy").write_bytes(b"no")
    with pytest.warns(UserWarning, match=r"left out: .*b\.npy"):
        assert open_collection(tmp_path).names == ["a"]
    (tmp_path / "a.npy").write_bytes(b"no")
    with pytest.raises(InputError, match=r"a\.npy"):
        open_collection(tmp_path)


def test_a_folder_of_meshes_tells_what_it_does_not_show(tmp_path):
    trimesh.creation.box().export(tmp_path / "one.stl")
    np.save(tmp_path / "two.npy", POINTS)
    (tmp_path / "three.dae").write_text("x")
    with pytest.warns(UserWarning, match="ignored|not read") as told:
        assert open_collection(tmp_path).names == ["one"]
    said = "\n".join(str(remark.message) for remark in told)
    assert "1 .npy ignored beside .stl; name it alone" in said
    assert "1 .dae is not read; " in said  # the way to convert it depends on what is installed


def test_a_folder_shows_each_shape_once_by_its_best_file(tmp_path):
    (tmp_path / "chairs").mkdir()
    trimesh.creation.box().export(tmp_path / "chairs" / "one.glb")
    np.savetxt(tmp_path / "chairs" / "one.xyz", POINTS[0])
    np.savetxt(tmp_path / "scan-10.xyz", POINTS[0])
    np.savetxt(tmp_path / "scan-9.xyz", POINTS[1])
    np.save(tmp_path / "labels.npy", np.arange(3))  # beside shapes, arrays are not looked into
    collection = open_collection(tmp_path)
    assert list(collection.names) == ["scan-9", "scan-10", "one"]
    shapes = [collection.load(number) for number in range(3)]
    assert [shape.mesh is not None for shape in shapes] == [False, False, True]
    assert [shape.category for shape in shapes] == ["", "", "chairs"]
    assert np.allclose(shapes[0].points, BOX[1], atol=1e-5)


def test_a_folder_of_arrays_shows_all_their_clouds(tmp_path):
    np.save(tmp_path / "a.npy", POINTS[0])
    torch.save(torch.from_numpy(POINTS[1:]), tmp_path / "b.pt")
    collection = open_collection(tmp_path)
    assert list(collection.names) == ["a", "b-0000", "b-0001"]
    assert np.allclose(collection.load(2).points, BOX[2], atol=1e-5)


def test_a_scan_is_seen_without_its_holes(tmp_path):
    holes = POINTS[0].copy()
    holes[::2] = np.nan
    np.savetxt(tmp_path / "a.xyz", holes)
    assert len(open_collection(tmp_path / "a.xyz").load(0).points) == 20


def test_a_page_takes_clouds_of_different_sizes(tmp_path):
    np.savetxt(tmp_path / "a.xyz", POINTS[0])
    np.savetxt(tmp_path / "b.xyz", POINTS[1, :7])
    samples = to_samples(open_collection(tmp_path), points=16)
    assert samples.points.shape == (2, 16, 3)
    assert np.allclose(samples.points[1, 7:14], samples.points[1, :7])


def test_nothing_to_look_at_is_told(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_collection(tmp_path / "none")
    with pytest.raises(InputError, match="nothing to show"):
        open_collection(tmp_path)
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(InputError, match=r"files end in \.obj, .*got '\.docx'"):
        open_collection(tmp_path / "a.docx")


def test_one_file_that_cannot_be_read_does_not_hide_the_others(tmp_path):
    for k in (0, 2):
        trimesh.creation.box((1, 1, 1 + k)).export(tmp_path / f"{k}.obj")
    (tmp_path / "1.obj").write_text("v 0 0\n")
    with pytest.warns(UserWarning, match="left out"):
        kept, faults = readable_shapes(open_collection(tmp_path), 2)
    assert list(kept.names) == ["0", "2"]
    assert len(to_samples(kept, points=50)) == 2
    assert "1.obj" in faults[0]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.obj").write_text("v 0 0\n")
    with pytest.raises(InputError, match=r"no shape of .*bad can be read: .*a\.obj"):
        readable_shapes(open_collection(tmp_path / "bad"))
    (tmp_path / "bad" / "a.obj").rename(tmp_path / "bad" / "a.fbx")
    with pytest.raises(InputError, match="Blender"):
        open_collection(tmp_path / "bad")
