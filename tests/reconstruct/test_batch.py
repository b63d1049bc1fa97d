import json
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh

from pcgen.cli import main
from pcgen.cli.mesh import describe
from pcgen.errors import InputError, MeshError, StorageError
from pcgen.reconstruct.batch import NamedCloud, mesh_all, summary
from pcgen.reconstruct.export import checked_bytes, difference
from pcgen.reconstruct.inputs import named_clouds
from pcgen.render.inputs import open_collection
from pcgen.shapes.category_frames import SourceFrame
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.samples import Samples
from tests.reconstruct.shapes import box, sphere


def clouds():
    return [
        NamedCloud(name="ball", points=sphere(600)[0]),
        NamedCloud(name="dot", points=np.zeros((600, 3))),
        NamedCloud(name="crate", points=box(600)[0], frame=SourceFrame(10.0, (5.0, 0.0, 0.0))),
    ]


@pytest.fixture(scope="module")
def meshed(tmp_path_factory):
    out = tmp_path_factory.mktemp("meshes")
    return out, mesh_all(clouds(), out, formats=("glb", "ply", "obj", "stl"))


def test_one_failing_shape_is_reported_and_the_rest_goes_on(meshed):
    _, manifest = meshed
    assert manifest["summary"]["meshes"] == 2
    assert manifest["summary"]["failed"] == 1
    assert manifest["summary"]["open"] == []
    assert "at least 10 distinct" in manifest["meshes"][1]["error"]


@pytest.mark.parametrize("kind", ["glb", "ply", "obj", "stl"])
@pytest.mark.parametrize("name", ["ball", "crate"])
def test_every_format_opens_watertight_elsewhere_with_the_volume_reported(meshed, name, kind):
    out, manifest = meshed
    report = next(m for m in manifest["meshes"] if m["name"] == name)["report"]
    mesh = trimesh.load(out / f"{name}.{kind}", force="mesh")
    mesh.merge_vertices()
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(report["volume"], rel=1e-4)


def test_the_mesh_is_restored_to_its_own_unit(meshed):
    out, _ = meshed
    mesh = trimesh.load(out / "crate.ply")
    assert mesh.bounds.mean(axis=0) == pytest.approx([5, 0, 0], abs=0.3)
    assert mesh.extents[0] == pytest.approx(20, rel=0.08)


def test_each_mesh_has_its_report_beside_it_and_the_manifest_lists_all(meshed):
    out, manifest = meshed
    assert json.loads((out / "meshes.json").read_text()) == json.loads(json.dumps(manifest))
    assert json.loads((out / "ball.json").read_text())["report"]["manifold"]


def test_the_same_run_again_keeps_what_is_finished(tmp_path):
    mesh_all(clouds()[:1], tmp_path)
    before = (tmp_path / "ball.glb").stat().st_mtime_ns
    again = mesh_all(clouds()[:1], tmp_path)
    assert again["resumed"] == 1
    assert (tmp_path / "ball.glb").stat().st_mtime_ns == before


def test_other_points_or_a_lost_file_are_meshed_anew(tmp_path):
    mesh_all(clouds()[:1], tmp_path)
    (tmp_path / "ball.glb").unlink()
    assert mesh_all(clouds()[:1], tmp_path)["resumed"] == 0
    other = NamedCloud(name="ball", points=box(600)[0])
    assert mesh_all([other], tmp_path)["resumed"] == 0


def test_two_workers_give_the_meshes_of_one(tmp_path, meshed):
    out, _ = meshed
    two = mesh_all(clouds(), tmp_path, formats=("ply",), workers=2)
    assert [m["name"] for m in two["meshes"]] == ["ball", "dot", "crate"]
    assert (tmp_path / "ball.ply").read_bytes() == (out / "ball.ply").read_bytes()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="permission denied"):
        mesh_all(clouds()[:1], tmp_path / "out")


def test_a_file_in_place_of_the_folder_is_one_clear_error(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError, match="a file with this name exists"):
        mesh_all(clouds()[:1], tmp_path / "out")


def test_a_file_that_reads_back_differently_is_noticed():
    ball = trimesh.creation.icosphere(1)
    mesh = Mesh(np.asarray(ball.vertices), np.asarray(ball.faces))
    assert difference(mesh, mesh) == ""
    assert "faces instead" in difference(mesh, Mesh(mesh.vertices, mesh.faces[:-1]))
    assert "moved" in difference(mesh, Mesh(mesh.vertices + 1, mesh.faces))
    tiny = Mesh(mesh.vertices * 1e-46, mesh.faces)  # nothing of it is left in single precision
    with pytest.raises(MeshError, match="not written"):
        checked_bytes(tiny, ".stl")


def test_an_unknown_format_is_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="formats are glb, ply, obj, stl, 3mf"):
        mesh_all(clouds(), tmp_path, formats=("fbx",))


def test_the_command_meshes_a_samples_file(tmp_path, capsys):
    points = np.stack([sphere(500)[0], box(500)[0]]).astype(np.float32)
    Samples(points=points, category=np.array(["ball", "crate"])).save(tmp_path / "s.npz")
    out = tmp_path / "out"
    code = main(
        ["mesh", str(tmp_path / "s.npz"), "--out", str(out), "--format", "glb,stl", "--json"]
    )
    assert code == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["summary"]["manifold"] == 2
    names = {"s-0000-ball.glb", "s-0000-ball.stl", "s-0001-crate.glb", "s-0001-crate.stl"}
    assert names <= {path.name for path in out.iterdir()}


def test_the_command_tells_and_notes_what_it_had_to_leave_out(tmp_path, capsys):
    points, normals = sphere(400)
    Samples(
        points=np.stack([points, 2 * points]).astype(np.float32),
        normals=np.stack([normals, 0 * normals]).astype(np.float32),
    ).save(tmp_path / "s.npz")
    out = tmp_path / "out"
    assert main(["mesh", str(tmp_path / "s.npz"), "--out", str(out)]) == 0
    said = "400 normals are zero or NaN; all were estimated instead"
    assert f"1 of 2: {said}" in capsys.readouterr().out
    first, second = (json.loads((out / f"s-000{k}.json").read_text()) for k in (0, 1))
    assert said not in first["report"]["notes"]
    assert said in second["report"]["notes"]


def test_points_that_a_scanner_did_not_see_are_noted(tmp_path):
    points = sphere(400)[0]
    points[7] = np.nan
    np.save(tmp_path / "scan.npy", points)
    assert main(["mesh", str(tmp_path / "scan.npy"), "--out", str(tmp_path / "o"), "--quiet"]) == 0
    notes = json.loads((tmp_path / "o" / "scan.json").read_text())["report"]["notes"]
    assert "1 points with NaN, infinity or over 1e+30 dropped" in notes


def test_a_cloud_without_a_surface_does_not_stop_the_others_of_its_file(tmp_path):
    points = np.stack([np.ones((400, 3)), sphere(400)[0]]).astype(np.float32)
    Samples(points=points).save(tmp_path / "s.npz")
    assert main(["mesh", str(tmp_path / "s.npz"), "--out", str(tmp_path / "o"), "--quiet"]) == 0
    entries = json.loads((tmp_path / "o" / "meshes.json").read_text())["meshes"]
    assert ["error" in entry for entry in entries] == [True, False]


@pytest.mark.parametrize("name", ["cloud.docx", "missing.npz"])
def test_the_command_says_in_one_line_what_it_cannot_read(tmp_path, capsys, name):
    if name == "cloud.docx":
        (tmp_path / name).write_text("")
    assert main(["mesh", str(tmp_path / name), "--out", str(tmp_path / "out")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_where_nothing_can_be_meshed_the_command_fails(tmp_path, capsys):
    np.save(tmp_path / "three.npy", box(3)[0])
    words = ["mesh", str(tmp_path / "three.npy"), "--out", str(tmp_path / "out"), "--quiet"]
    assert main(words) == 2
    assert "at least 10 distinct" in capsys.readouterr().err
    assert (tmp_path / "out" / "meshes.json").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder that refuses the root user")
def test_a_folder_that_takes_no_files_is_one_clear_error(tmp_path, capsys):
    np.save(tmp_path / "ball.npy", sphere(400)[0])
    assert main(["mesh", str(tmp_path / "ball.npy"), "--out", "/proc/nowhere", "--quiet"]) == 2
    assert "the folder cannot be created" in capsys.readouterr().err


def test_a_damaged_file_in_a_folder_is_reported_and_the_others_are_meshed(tmp_path):
    np.save(tmp_path / "good.npy", box(400)[0])
    (tmp_path / "bad.ply").write_bytes(b"ply\nnonsense")
    assert main(["mesh", str(tmp_path), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    entries = json.loads((tmp_path / "out" / "meshes.json").read_text())["meshes"]
    assert {e["name"]: "error" in e for e in entries} == {"bad": True, "good": False}


def test_samples_of_a_run_get_the_median_size_of_their_category(tmp_path, monkeypatch):
    class Row:
        def __init__(self, scale):
            self.category, self.centre, self.scale = "crate", (0.0, scale, 0.0), scale

    class Set:
        categories, rows = ("crate",), [Row(10.0), Row(20.0), Row(60.0)]
        up, unit = "y", ""

    monkeypatch.setattr("pcgen.shapes.category_frames.Dataset.open", lambda path: Set)
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"dataset": "somewhere", "categories": ["crate"]}))
    points = box(300)[0][None].astype(np.float32)
    # What `pcgen sample` writes of itself: the run, and no data set.
    samples = Samples(points=points, category=np.array(["crate"]), meta={"run": str(run)})
    samples.save(tmp_path / "s.npz")
    cloud = named_clouds(tmp_path / "s.npz")[0]
    assert (cloud.frame.scale, cloud.frame.centre) == (20.0, (0.0, 20.0, 0.0))


def test_samples_that_note_their_places_are_meshed_there(tmp_path):
    """Two boxes 40 and 6 long, the second on a data set of its own axes."""
    points, normals = (np.stack([a, a]).astype(np.float32) for a in box(1500))
    places = [
        {"scale": 20.0, "centre": [100.0, 5.0, 0.0], "up": "y", "unit": "mm"},
        {"scale": 3.0, "centre": [0.0, 0.0, 0.0], "up": "z", "unit": ""},
    ]
    Samples(points=points, normals=normals, meta={"places": places}).save(tmp_path / "s.npz")
    words = ["mesh", str(tmp_path / "s.npz"), "--out", str(tmp_path / "out"), "--format", "ply"]
    assert main([*words, "--quiet"]) == 0
    one, two = (trimesh.load(tmp_path / "out" / f"s-{k}.ply") for k in ("0000", "0001"))
    middle = one.bounds.mean(0)
    assert middle == pytest.approx([100, 5, 0], abs=0.5)
    assert one.extents.max() == pytest.approx(20 * np.ptp(points[0], 0).max(), rel=0.08)
    assert two.extents.max() == pytest.approx(3 * np.ptp(points[0], 0).max(), rel=0.08)
    clouds = named_clouds(tmp_path / "s.npz")
    assert [(c.frame.unit, c.frame.up) for c in clouds] == [("mm", "y"), ("of the points", "z")]
    shown = open_collection(tmp_path / "s.npz").load(1)
    assert (shown.frame.scale, shown.frame.up) == (3.0, "z")


@pytest.mark.parametrize("frame", [{"scale": 0}, {"scale": "big"}, {"up": "w"}, {"size": 1}, 7])
def test_a_damaged_frame_is_refused(frame, tmp_path):
    points = box(300)[0][None].astype(np.float32)
    Samples(points=points, meta={"places": [frame]}).save(tmp_path / "s.npz")
    with pytest.raises(InputError, match=r"frame of the samples|places"):
        named_clouds(tmp_path / "s.npz")


@pytest.mark.parametrize("meta", [{}, {"run": "gone"}, {"run": 3}])
def test_samples_whose_run_is_gone_stay_in_the_box(tmp_path, meta):
    points = box(300)[0][None].astype(np.float32)
    Samples(points=points, category=np.array(["crate"]), meta=meta).save(tmp_path / "s.npz")
    cloud = named_clouds(tmp_path / "s.npz")[0]
    assert (cloud.frame.scale, cloud.frame.centre, cloud.frame.unit) == (
        1.0,
        (0.0, 0.0, 0.0),
        "of the points",
    )


def test_the_command_tells_the_range_of_what_it_left_out(tmp_path, capsys):
    points, normals = sphere(400)
    zero = np.stack([normals, normals])
    zero[0, :7] = 0
    zero[1, :31] = 0
    Samples(
        points=np.stack([points, points]).astype(np.float32), normals=zero.astype(np.float32)
    ).save(tmp_path / "s.npz")
    assert main(["mesh", str(tmp_path / "s.npz"), "--out", str(tmp_path / "out")]) == 0
    assert "2 of 2: 7 to 31 normals are zero or NaN" in capsys.readouterr().out


@pytest.mark.parametrize(("count", "meta", "told"), [
    (2048, {"run": "runs/a"}, True), (8000, {"run": "runs/a"}, False), (2048, {}, False),
])  # fmt: skip
def test_samples_of_a_run_that_are_thin_for_a_mesh_are_told_of(count, meta, told, tmp_path, capsys):
    points = sphere(count)[0].astype(np.float32)
    Samples(points=points[None], meta=meta).save(tmp_path / "s.npz")
    named_clouds(tmp_path / "s.npz")
    assert ("pcgen sample runs/a --points 16000" in capsys.readouterr().err) == told


def test_a_cloud_of_a_raised_data_set_is_meshed_on_its_own_axes(tmp_path):
    points, normals = box(800)
    cloud = NamedCloud(
        name="a", points=points * [1, 3, 1], normals=normals, frame=SourceFrame(up="z", unit="mm")
    )
    manifest = mesh_all([cloud], tmp_path, formats=("ply",))
    own = trimesh.load(tmp_path / "a.ply", process=False)
    assert own.extents.argmax() == 2
    assert manifest["meshes"][0]["unit"] == "mm"


def test_the_command_says_why_a_mesh_is_not_watertight():
    notes = ["not watertight: 3 edges belong to only one face, 0 to more than two"]
    report = {"watertight": False, "manifold": False, "notes": notes, "f_score": 1.0, "faces": 1,
              "seconds": 1.0}  # fmt: skip
    meshes = [{"name": "a", "report": report}]
    found = {"out": "o", "resumed": 0, "meshes": meshes, "summary": summary(meshes)}
    assert found["summary"]["open"] == notes
    text = describe(found)
    assert f"1 of 1: {notes[0]}" in text
    assert "0 watertight" in text
