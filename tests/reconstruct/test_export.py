"""Unit, size, axis and colours of files, as trimesh and Open3D read them back."""

import json
import zipfile

import numpy as np
import open3d
import pytest
import trimesh
from scipy.spatial import cKDTree

from pcgen.api import SurfaceMesh
from pcgen.cli import main
from pcgen.errors import InputError, MeshError
from pcgen.reconstruct import batch
from pcgen.reconstruct.batch import NamedCloud, mesh_all
from pcgen.reconstruct.export import FORMATS, Export, checked_bytes
from pcgen.reconstruct.report import measure
from pcgen.shapes.category_frames import SourceFrame
from pcgen.shapes.formats.threemf import read_3mf
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.samples import Samples
from pcgen.shapes.threemf import write_3mf
from tests.reconstruct.shapes import box, sphere

OPEN3D = ("glb", "ply", "obj", "stl")  # it has no reader for 3MF


@pytest.fixture(scope="module")
def slab():
    """A closed mesh of 2 by 1 by 0.5, with Y up, of no known unit."""
    ball = trimesh.creation.icosphere(2)
    vertices, faces = np.asarray(ball.vertices) * [1.0, 0.5, 0.25], np.asarray(ball.faces)
    options = {"method": "given", "seconds": 0.0, "notes": ()}
    report = measure(vertices, faces, vertices, **options)
    return SurfaceMesh(Mesh(vertices, faces), report)


@pytest.fixture
def quick(slab, monkeypatch):
    """Every cloud becomes the slab, at once."""
    monkeypatch.setattr(batch, "reconstruct", lambda *given: slab)


def read(path):
    """Extents as trimesh sees them, and as Open3D does where it can."""
    found = [trimesh.load(path, force="mesh").extents]
    if path.suffix[1:] in OPEN3D:
        theirs = open3d.io.read_triangle_mesh(str(path))
        found.append(np.ptp(np.asarray(theirs.vertices), axis=0))
    return found


@pytest.mark.parametrize("kind", FORMATS)
def test_the_longest_side_has_the_size_asked_for(slab, tmp_path, kind):
    if kind == "3mf":
        pytest.importorskip("lxml")  # trimesh reads 3MF by it
    path = slab.save(tmp_path / f"slab.{kind}", unit="mm", size=80)
    for extents in read(path):
        assert extents.max() == pytest.approx(0.08 if kind == "glb" else 80, rel=1e-5)


@pytest.mark.parametrize(("up", "axis"), [("y", 1), ("z", 2)])
@pytest.mark.parametrize("kind", ["ply", "obj", "stl"])
def test_the_axis_up_is_the_one_asked_for_and_nothing_is_mirrored(slab, tmp_path, kind, up, axis):
    path = slab.save(tmp_path / f"slab.{kind}", up=up)
    for extents in read(path):
        assert np.argsort(extents).tolist().index(axis) == 1  # of 2, 1 and 0.5 the height is 1
    assert trimesh.load(path, force="mesh").volume == pytest.approx(slab.report.volume, rel=1e-4)


@pytest.mark.parametrize(("kind", "axis"), [("glb", 1), ("3mf", 2)])
def test_formats_with_an_axis_in_their_standard_keep_it(slab, tmp_path, kind, axis):
    if kind == "3mf":
        pytest.importorskip("lxml")
    path = slab.save(tmp_path / f"slab.{kind}", up="y" if kind == "3mf" else "z")
    assert np.argsort(read(path)[0]).tolist().index(axis) == 1


def test_lengths_of_a_known_unit_are_told_in_another(slab, tmp_path):
    import dataclasses

    inches = dataclasses.replace(slab, unit="in")
    longest = np.ptp(slab.vertices, axis=0).max()
    path = inches.save(tmp_path / "slab.stl", unit="mm")
    assert trimesh.load(path).extents.max() == pytest.approx(25.4 * longest, rel=1e-5)
    with pytest.raises(InputError, match="--size"):
        slab.save(tmp_path / "no.stl", unit="mm")
    assert not (tmp_path / "no.stl").exists()


@pytest.mark.parametrize("kind", ["glb", "ply"])
@pytest.mark.parametrize("given", ["array", "height", "normal"])
def test_colours_survive_as_both_libraries_see_them(slab, tmp_path, kind, given):
    table = np.random.default_rng(0).integers(0, 256, (len(slab.vertices), 3)).astype(np.uint8)
    colours = table if given == "array" else given
    path = slab.save(tmp_path / f"slab.{kind}", colours=colours)
    theirs = trimesh.load(path, force="mesh", process=False)
    others = open3d.io.read_triangle_mesh(str(path))
    seen = theirs.visual.vertex_colors[:, :3]
    # Open3D numbers the vertices of a GLB anew.
    places, at = cKDTree(theirs.vertices).query(np.asarray(others.vertices))
    assert places.max() < 1e-6
    assert np.abs(255 * np.asarray(others.vertex_colors) - seen[at]).max() < 1
    if given == "array":
        assert np.array_equal(seen, table)
    elif given == "height":
        low, high = np.argmin(theirs.vertices[:, 1]), np.argmax(theirs.vertices[:, 1])
        assert seen[high].astype(int).sum() > seen[low].astype(int).sum() + 100
    else:
        right = np.argmax(theirs.vertices[:, 0])
        assert seen[right, 0] > 200


def test_a_3mf_file_states_its_unit_and_is_the_same_each_time(slab, tmp_path):
    path = slab.save(tmp_path / "slab.3mf", unit="in", size=3)
    with zipfile.ZipFile(path) as archive:
        model = archive.read("3D/3dmodel.model").decode()
        assert 'unit="inch"' in model
        assert 'name="slab"' in model
        assert {"[Content_Types].xml", "_rels/.rels"} <= set(archive.namelist())
    again = slab.save(tmp_path / "again.3mf", unit="in", size=3)
    same = again.read_bytes().replace(b"again", b"slab")
    assert len(same) == pytest.approx(path.stat().st_size, abs=20)
    assert write_3mf(slab.mesh) == write_3mf(slab.mesh)


def test_3mf_keeps_every_vertex_and_face(slab):
    found = read_3mf(write_3mf(slab.mesh, "m", 'a "name" & <more>'))
    assert np.allclose(found.vertices, 1000 * slab.vertices, rtol=1e-7)
    assert np.array_equal(found.faces, slab.faces)
    with pytest.raises(InputError, match="unit"):
        write_3mf(slab.mesh, "parsec")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unit": "parsec", "size": 1}, "mm, cm, m, in, ft"),
        ({"up": "x"}, "y, z"),
        ({"size": 0}, "positive"),
        ({"size": float("nan")}, "positive"),
        ({"colours": "rainbow"}, "height or normal"),
        ({"colours": np.zeros((2, 3), np.uint8)}, r"colours must be \("),
    ],
)
def test_options_that_are_none_are_refused(slab, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        slab.save(tmp_path / "slab.ply", **options)
    assert not list(tmp_path.iterdir())


def test_colours_are_refused_by_a_format_that_loses_them(slab, tmp_path):
    with pytest.raises(InputError, match="stored by"):
        slab.save(tmp_path / "slab.stl", colours="height")
    with pytest.raises(InputError, match="formats are"):
        slab.save(tmp_path / "slab.fbx")


def test_a_batch_with_other_sizes_is_made_anew_and_units_are_refused_before_work(quick, tmp_path):
    cloud = NamedCloud(name="ball", points=sphere(600)[0], frame=SourceFrame(unit="of the points"))
    options = {"formats": ("stl",)}
    mesh_all([cloud], tmp_path, **options)
    big = mesh_all([cloud], tmp_path, **options, export=Export(unit="cm", size=7))
    assert big["resumed"] == 0
    assert trimesh.load(tmp_path / "ball.stl").extents.max() == pytest.approx(7, rel=1e-5)
    same = mesh_all([cloud], tmp_path, **options, export=Export(unit="cm", size=7))
    assert same["resumed"] == 1
    with pytest.raises(InputError, match="--size"):
        mesh_all([cloud], tmp_path, **options, export=Export(unit="cm"))


def test_the_command_writes_what_a_printer_takes(quick, tmp_path):
    points = box(600)[0][None].astype(np.float32)
    Samples(points=points, category=np.array(["crate"])).save(tmp_path / "s.npz")
    words = ["mesh", str(tmp_path / "s.npz"), "--out", str(tmp_path / "out"), "--quiet"]
    words += ["--format", "ply"]
    words += ["--unit", "mm", "--size", "80", "--colour", "height", "--up", "z"]
    assert main(words) == 0
    ply = trimesh.load(tmp_path / "out" / "s-crate.ply", process=False)
    assert ply.extents.max() == pytest.approx(80, rel=1e-5)
    # Height is along Z now, and so are the colours.
    low, high = (ply.vertices[:, 2].argmin(), ply.vertices[:, 2].argmax())
    assert ply.visual.vertex_colors[high, :3].astype(int).sum() > (
        ply.visual.vertex_colors[low, :3].astype(int).sum() + 100
    )
    manifest = json.loads((tmp_path / "out" / "meshes.json").read_text())
    assert manifest["export"] == {"unit": "mm", "size": 80.0, "up": "z"}
    assert main([*words[:-1], "sideways"]) == 2


def test_a_tiny_mesh_is_refused_where_the_file_cannot_hold_it():
    ball = trimesh.creation.icosphere(1)
    tiny = Mesh(np.asarray(ball.vertices) * 1e-46, np.asarray(ball.faces))
    assert checked_bytes(tiny, ".3mf")  # decimal digits hold it
    with pytest.raises(MeshError, match="not written"):
        checked_bytes(tiny, ".stl")
