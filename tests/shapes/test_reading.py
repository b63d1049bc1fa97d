"""One rule for every file: its geometry, or the reason why it cannot be read."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh

from pcgen.errors import InputError, MeshError
from pcgen.shapes.cloud_files import SURFACE_POINTS, read_clouds
from pcgen.shapes.clouds import Cloud
from pcgen.shapes.formats import READERS, UNUSABLE
from pcgen.shapes.mesh_files import Mesh, face_areas
from pcgen.shapes.reading import SUFFIXES, open_bytes, open_file

BOX = trimesh.creation.box((2, 3, 4))
CORNERS = BOX.vertices + np.array([1, 1.5, 2])
OBJ = "".join(f"v {x:g} {y:g} {z:g}\n" for x, y, z in CORNERS)
OBJ += "".join(f"f {a} {b} {c}\n" for a, b, c in BOX.faces + 1)
ROWS = "".join(f"{x:g} {y:g} {z:g}\n" for x, y, z in CORNERS)
FACES = "".join(f"3 {a} {b} {c}\n" for a, b, c in BOX.faces)
OFF = f"OFF\n8 12 0\n{ROWS}{FACES}"
PLY = (
    "ply\nformat ascii 1.0\nelement vertex 8\nproperty float x\nproperty float y\n"
    f"property float z\nelement face 12\nproperty list uchar int vertex_indices\nend_header\n{ROWS}"
) + FACES
STL = BOX.apply_translation([1, 1.5, 2]).export(file_type="stl_ascii")
L = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]  # of area 3; its fifth fan is outside


def opened(text, suffix):
    return open_bytes(text if isinstance(text, bytes) else text.encode(), suffix)


def measures(mesh):
    assert isinstance(mesh, Mesh)
    a, b, c = mesh.triangles().transpose(1, 0, 2)
    used = mesh.used_vertices()
    volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    return [*used.min(0), *used.max(0), face_areas(mesh).sum(), volume]


def is_box(text, suffix):
    return np.allclose(measures(opened(text, suffix).shape), [0, 0, 0, 2, 3, 4, 52, 24], atol=1e-4)


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("suffix", "text"), [(".obj", OBJ), (".off", OFF), (".ply", PLY), (".stl", STL)]
)
def test_text_is_read_in_the_codings_of_windows(suffix, text, coding):
    assert is_box(text.encode(coding), suffix)
    assert is_box(text.replace("\n", "\r\n").encode(coding), suffix)


def test_decimal_commas_are_understood_in_meshes():
    assert is_box(OBJ.replace("\nf", "\n#\nf").replace("1.5", "1,5"), ".obj")
    assert is_box(
        "v 0,0 0 0\nf 1 1 1\n" + OBJ.replace("f ", "f -").replace("f -", "f "), ".obj"
    ) is (False)  # a spare vertex in front shifts the others, as the format says
    shifted = np.round(CORNERS + 0.25, 2)
    rows = "".join(
        "v " + " ".join(f"{x:g}" for x in row).replace(".", ",") + "\n" for row in shifted
    )
    found = opened(rows + OBJ[OBJ.index("f ") :], ".obj").shape
    assert np.allclose(found.vertices, shifted)


@pytest.mark.parametrize("start", ["L", "turned", "lifted"])
def test_concave_polygons_cover_themselves_in_every_format(start):
    turn = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3])[:3, :3]
    for shift in range(6):
        corners = np.array([(x, y, 0) for x, y in L[shift:] + L[:shift]], float)
        if start == "turned":
            corners = corners @ turn.T
        if start == "lifted":
            corners = corners @ turn.T + 1e5
        rows = "".join(f"{x:.12g} {y:.12g} {z:.12g}\n" for x, y, z in corners)
        files = {
            ".obj": "".join(f"v {row}\n" for row in rows.splitlines()) + "f 1 2 3 4 5 6\n",
            ".off": f"OFF 6 1 0\n{rows}6 0 1 2 3 4 5\n",
            ".ply": PLY[: PLY.index("end_header")].replace("8", "6").replace("face 12", "face 1")
            + f"end_header\n{rows}6 0 1 2 3 4 5\n",
        }
        for suffix, text in files.items():
            mesh = opened(text.replace("float", "double"), suffix).shape
            assert len(mesh.faces) == 4
            assert face_areas(mesh).sum() == pytest.approx(3, rel=1e-4)
            normals = np.cross(*np.diff(mesh.triangles(), axis=1).transpose(1, 0, 2))
            assert (normals @ normals.sum(0) > 0).all()


def test_a_fan_that_covers_a_concave_polygon_stays_a_fan_and_a_bow_tie_is_named():
    dart = "v 0 0 0\nv 2 1 0\nv 0 4 0\nv -2 1 0\nf 1 2 3 4\n"
    assert opened(dart, ".obj").shape.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    tie = opened("v 0 0 0\nv 1 1 0\nv 1 0 0\nv 0 1 0\nf 1 2 3 4\n", ".obj")
    assert "cross themselves" in tie.notes[0]


@pytest.mark.parametrize(
    ("word", "more"),
    [
        ("NOFF", " 0 0 1"),
        ("COFF", " 255 0 0 255"),
        ("STOFF", " 0.5 0.5"),
        ("NCOFF", " 0 0 1 9 9 9 9"),
        ("NCSTOFF", " 0 0 1 9 9 9 9 0.5 0.5"),
        ("CNOFF", " 9 9 9 9 0 0 1"),
        ("STCN4OFF", ""),
        ("4OFF", ""),
        ("# made by me\n\nOFF # and here", ""),
        ("nOFF\n3", ""),
    ],
)
def test_every_first_word_of_off(word, more):
    scale = 2 if "4" in word else 1  # homogeneous: everything is divided by the last
    rows = "".join(
        " ".join(f"{scale * float(x):g}" for x in row.split()) + (" 2" if scale > 1 else "") + more
        + "\n" for row in ROWS.splitlines()
    )  # fmt: skip
    assert is_box(f"{word}\n8 12 0\n{rows}{FACES}", ".off")


@pytest.mark.parametrize(
    ("word", "reason"), [("nOFF\n4", "dimension other than 3"), ("OFF BINARY", "truncated")]
)
def test_off_that_is_not_read_says_why(word, reason):
    with pytest.raises(MeshError, match=reason):
        opened(f"{word}\n8 12 0\n", ".off")


def test_ply_strips_are_triangles_and_unknown_elements_are_counted():
    strips = [0, 1, 2, 3, -1, 2, 3, 4]
    rows = "0 0 0\n1 0 0\n0 1 0\n1 1 0\n0 2 0\n"
    header = (
        "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\n"
        "property float z\nelement tristrips 1\nproperty list int int vertex_indices\n"
        "element patch 2\nproperty float u\nend_header\n"
    )
    text = f"{header}{rows}8 {' '.join(map(str, strips))}\n1\n2\n"
    found = opened(text, ".ply")
    assert face_areas(found.shape).sum() == pytest.approx(1.5)
    normals = np.cross(*np.diff(found.shape.triangles(), axis=1).transpose(1, 0, 2))
    assert (normals[:, 2] > 0).all()
    assert found.notes == ("2 'patch' of the PLY file are not understood; left out",)
    binary = header.replace("ascii", "binary_little_endian").encode()
    binary += np.array(rows.split(), "<f4").tobytes() + np.array([8, *strips], "<i4").tobytes()
    binary += np.array([1, 2], "<f4").tobytes()
    assert face_areas(opened(binary, ".ply").shape).sum() == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("suffix", "text", "reason"),
    [
        (".ply", PLY.replace("\n3 1 3 0\n", "\n3 1 99 0\n"), "face index 99 is out of range"),
        (".ply", PLY.replace("vertex_indices", "texcoord"), "no vertex_indices"),
        (".obj", "v 0 0 0\nv 1 0 0\nf 1 2\n", "three corners"),
        (".obj", "v 0 0 0\nv 1 0 0\ncurv 0 1 1 2\nsurf 0 1 0 1 1 2\n", "free-form surfaces"),
        (".obj", "v 0 0 0\nv 1 0 0\nl 1 2\n", "1 lines"),
    ],
)
def test_a_face_that_is_none_makes_no_scan(tmp_path, suffix, text, reason):
    with pytest.raises(MeshError, match=reason):
        opened(text, suffix)
    (tmp_path / f"a{suffix}").write_text(text)
    with pytest.raises(InputError, match=reason):
        read_clouds(tmp_path / f"a{suffix}")


def test_a_file_without_faces_is_a_scan_in_every_format(tmp_path):
    normal = np.array([0, 0.6, 0.8])
    lined = "".join(f"{row} 0 0.6 0.8\n" for row in ROWS.splitlines())
    head = PLY[: PLY.index("element face")] + "".join(f"property float n{k}\n" for k in "xyz")
    files = {
        "a.ply": f"{head}end_header\n{lined}",
        "b.ply": f"{head}element face 0\nproperty list uchar int vertex_index\nend_header\n{lined}",
        "c.off": f"NOFF\n8 0 0\n{lined}",
        "d.obj": "".join(f"v {row}\nvn 0 0.6 0.8\n" for row in ROWS.splitlines()),
        "e.xyz": lined,
        "f.pts": f"8\n{lined}",
        "g.csv": "x,y,z,nx,ny,nz\n" + lined.replace(" ", ","),
        "h.txt": lined.replace(" ", ","),
        "i.asc": "//X Y Z Nx Ny Nz\n8\n" + lined,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        shape = open_file(tmp_path / name).shapes[0]
        assert isinstance(shape, Cloud), name
        assert np.allclose(shape.points, CORNERS), name
        assert np.allclose(shape.normals, normal), name


@pytest.mark.parametrize(
    "text",
    [
        "0,5 1,25 -2,0\n1 2,5 3\n-4,0 0 1e-1\n",
        "0,5;1,25;-2,0\n1;2,5;3\n-4,0;0;0,1\n",
        "0,5\t1,25\t-2,0\n1\t2,5\t3\n-4,0\t0\t0,1\n",
        "0,5, 1,25, -2,0\n1, 2,5, 3\n-4,0, 0, 0,1\n",
        "0.5, 1.25, -2.0\n1, 2.5, 3\n-4.0, 0, 0.1\n",
        "0.5,1.25,-2.0\n1,2.5,3\n-4.0,0,0.1\n",
        "0.5;1.25;-2.0\n1;2.5;3\n-4.0;0;0.1\n",
        "x y z\n0.5 1.25 -2\n1 2.5 3\n-4 0 0.1\n",
        "X;Y;Z\n0,5;1,25;-2,0\n1;2,5;3\n-4,0;0;0,1\n",
        "id,z,y,x\n7,-2,1.25,0.5\n8,3,2.5,1\n9,0.1,0,-4\n",
        "points of my scan\n0.5 1.25 -2\n1 2.5 3\n-4 0 0.1\n",
        "3\n0.5 1.25 -2 255 0 0\n1 2.5 3 255 0 0\n-4 0 0.1 255 0 0\n",
        "# a comment\n\n0.5 1.25 -2\n1 2.5 3\n-4 0 0.1\n",
    ],
)
def test_text_clouds_mean_the_same_in_every_spelling(text):
    for coding in ("utf-8", "utf-8-sig", "utf-16"):
        shape = opened(text.encode(coding), ".xyz").shape
        assert np.allclose(shape.points, [[0.5, 1.25, -2], [1, 2.5, 3], [-4, 0, 0.1]])
        assert shape.normals is None


@pytest.mark.parametrize("coding", ["ascii", "binary", "binary_compressed"])
def test_an_organised_pcd_loses_what_was_not_seen_and_keeps_the_normals_that_are_known(coding):
    draw = np.random.default_rng(0)
    points = draw.normal(size=(60, 3)).astype("<f4")
    normals = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype("<f4")
    points[::7], normals[5:8] = np.nan, np.nan
    rows = np.hstack([points, normals])
    if coding == "ascii":
        body = "\n".join(" ".join(map(str, row)) for row in rows).encode()
    else:
        body = rows.tobytes()
    if coding == "binary_compressed":
        planes = rows.T.tobytes()
        body = b"".join(bytes([len(planes[k : k + 32]) - 1]) + planes[k : k + 32]
                        for k in range(0, len(planes), 32))  # fmt: skip
        body = np.array([len(body), len(planes)], "<u4").tobytes() + body
    header = (
        "VERSION 0.7\nFIELDS x y z normal_x normal_y normal_z\nSIZE 4 4 4 4 4 4\nTYPE F F F F F F\n"
        f"COUNT 1 1 1 1 1 1\nWIDTH 10\nHEIGHT 6\nDATA {coding}\n"
    )
    found = opened(header.encode() + body, ".pcd")
    seen = np.isfinite(points).all(1)
    assert np.allclose(found.shape.points, points[seen])
    assert found.notes == ("left out 9 of 60 points that are NaN or infinite",)
    known = np.isfinite(normals[seen]).all(1)
    assert np.allclose(found.shape.normals[known], normals[seen][known], atol=1e-6)
    assert not found.shape.normals[~known].any()
    with pytest.raises(MeshError, match="9 points are NaN"):
        open_bytes(header.encode() + body, ".pcd", faulty="refuse")


def test_nan_in_a_vertex_that_no_face_uses_does_not_matter():
    assert is_box(OBJ.replace("\nf", "\nv nan nan nan\nf", 1), ".obj")


def test_arrays_with_normals_in_six_columns_or_beside(tmp_path):
    points = np.random.default_rng(0).normal(size=(3, 40, 3)).astype("f4")
    normals = points / np.linalg.norm(points, axis=2, keepdims=True)
    np.save(tmp_path / "six.npy", np.concatenate([points, normals], 2))
    np.savez(tmp_path / "beside.npz", points=points[0].astype("f2"), normals=normals[0], loc=0.0)
    np.savez(tmp_path / "colours.npz", pc=points, colors=points)
    assert np.allclose(open_file(tmp_path / "six.npy").shapes[2].normals, normals[2], atol=1e-6)
    (cloud,) = open_file(tmp_path / "beside.npz").shapes
    assert np.allclose(cloud.points, points[0], atol=5e-3)
    assert np.allclose(cloud.normals, normals[0], atol=1e-6)
    assert len(open_file(tmp_path / "colours.npz").shapes) == 3
    np.savez(tmp_path / "space.npz", points=points[0], occupancies=np.zeros(5, "u1"))
    with pytest.raises(InputError, match=r"space\.npz: its points are samples of space"):
        open_file(tmp_path / "space.npz")


@pytest.mark.parametrize("suffix", sorted(UNUSABLE))
def test_what_is_not_read_is_told_with_the_way_to_convert_it(tmp_path, suffix):
    (tmp_path / f"a{suffix}").write_bytes(b"x")
    with pytest.raises(InputError, match=f"a\\{suffix} cannot be read: \\{suffix} is not read; .+"):
        open_file(tmp_path / f"a{suffix}")


def test_the_table_of_formats_names_every_suffix():
    table = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    assert [suffix for suffix in SUFFIXES if f"`{suffix}`" not in table] == []


def test_no_suffix_is_both_read_and_refused():
    assert not set(READERS) & set(UNUSABLE)


def test_a_mesh_among_clouds_gives_points_of_its_surface(tmp_path, capsys):
    (tmp_path / "box.ply").write_text(PLY)
    (cloud,) = read_clouds(tmp_path / "box.ply").clouds
    assert len(cloud.points) == SURFACE_POINTS
    on_a_side = np.isclose(cloud.points, 0) | np.isclose(cloud.points, [2, 3, 4])
    assert on_a_side.any(1).all()
    assert "a mesh; 15000 points" in capsys.readouterr().err


@pytest.mark.parametrize("shift", range(10))
def test_a_polygon_with_a_hole_on_a_bridge_keeps_its_hole(shift):
    outer = [(0, 0), (4, 0), (4, 4), (0, 4)]
    rows = "".join(f"v {x} {y} 1\n" for x, y in [*outer, (1, 1), (1, 3), (3, 3), (3, 1)])
    loop = np.roll([1, 2, 3, 4, 1, 5, 6, 7, 8, 5], shift)
    mesh = opened(f"{rows}f {' '.join(map(str, loop))}\n", ".obj").shape
    assert np.isclose(face_areas(mesh).sum(), 16 - 4)


def test_corners_that_repeat_and_spikes_do_not_change_a_polygon():
    corners = [(0, 0), (0, 0), (2, 0), (3, 0), (2, 0), (2, 1), (1, 1), (1, 1), (1, 2), (0, 2)]
    rows = "".join(f"v {x} {y} 0\n" for x, y in corners)
    for loop in (range(1, 11), range(10, 0, -1)):
        mesh = opened(f"{rows}f {' '.join(map(str, loop))}\n", ".obj").shape
        assert np.isclose(face_areas(mesh).sum(), 3)


def test_a_header_with_units_or_other_names_says_which_columns_are_the_points():
    rows = [(0.5 + k, 1.25 - k, k * k) for k in range(20)]
    for head, mark in (
        ("time;X [m];Y [m];Z [m]", ";"),
        ("time,x(m),y(m),z(m)", ","),
        ("Point\tEasting\tNorthing\tElevation", "\t"),
        ('"id","x","y","z"', ","),
    ):
        quote = '"' if head.startswith('"') else ""
        lines = [mark.join(f"{quote}{v}{quote}" for v in (k, *row)) for k, row in enumerate(rows)]
        found = opened("\n".join([head, *lines]), ".csv")
        assert np.allclose(found.shape.points, rows)
        assert found.notes == ()
    lines = ["a,b,c", *(",".join(map(str, row)) for row in rows)]
    assert "columns 1 to 3 are x, y, z" in opened("\n".join(lines), ".csv").notes[0]


def test_text_whose_columns_cannot_be_told_is_refused():
    with pytest.raises(MeshError, match="names 3 columns, its lines have 6; decimal commas"):
        opened("x,y,z\n" + "0,5,1,25,3,0\n" * 20, ".csv")
    with pytest.raises(MeshError, match="a line is not numbers"):  # a minus sign of typography
        opened("\u22121 2 3\n" + "1 2 3\n4 5 6\n" * 10, ".xyz")


def test_facets_beyond_those_that_stl_promises_are_told():
    facet = np.array([0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0], "<f4").tobytes() + b"\0\0"
    found = opened(b"x".ljust(80) + (1).to_bytes(4, "little") + 3 * facet, ".stl")
    assert np.isclose(face_areas(found.shape).sum(), 2)
    assert found.notes == ("the STL file states 1 facets; 2 more after them are left out",)


@pytest.mark.parametrize("prefix", ["n", "normal_"])
def test_normals_of_a_ply_scan_have_two_spellings(prefix):
    names = ["x", "y", "z", *(prefix + axis for axis in "xyz")]
    head = "".join(f"property float {name}\n" for name in names)
    text = f"ply\nformat ascii 1.0\nelement vertex 2\n{head}end_header\n0 0 0 0 0 2\n1 0 0 0 3 0\n"
    assert opened(text, ".ply").shape.normals.tolist() == [[0, 0, 1], [0, 1, 0]]


def test_six_columns_that_are_no_normals_are_left_out_and_said(tmp_path):
    points = np.random.default_rng(0).normal(size=(3, 40, 3))
    coloured = np.concatenate([points, 255 * np.abs(points)], 2)
    np.save(tmp_path / "one.npy", coloured[0])
    np.save(tmp_path / "three.npy", coloured)
    with h5py.File(tmp_path / "three.h5", "w") as handle:
        handle["data"] = coloured
    for name, count in (("one.npy", 1), ("three.npy", 3), ("three.h5", 3)):
        found = open_file(tmp_path / name)
        assert [shape.normals for shape in found.shapes] == [None] * count
        assert np.allclose(found.shapes[-1].points, points[count - 1])
        (note,) = found.notes
        assert "columns 4 to 6 are not unit normals, perhaps colours; left out" in note
        assert note.startswith("3 clouds: ") == (count == 3)


def test_normals_under_any_name_are_no_shapes_and_corners_of_a_mesh_no_scan(tmp_path):
    points = np.random.default_rng(0).normal(size=(3, 40, 3))
    normals = points / np.linalg.norm(points, axis=2, keepdims=True)
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        handle.update({"data": points, "point_normals": normals, "vertex_colors": normals})
    found = open_file(tmp_path / "a.h5").shapes
    assert len(found) == 3
    assert np.allclose(found[1].normals, normals[1])
    np.savez(tmp_path / "b.npz", vertices=points[0], faces=np.zeros((9, 3), int))
    with pytest.raises(InputError, match=r"b\.npz: it holds a mesh, vertices and faces; save"):
        open_file(tmp_path / "b.npz")


def test_a_ply_that_promises_more_rows_than_it_has_is_refused_before_memory_is_asked_for():
    head = (
        "ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\n"
        "property float y\nproperty float z\nelement face 99999999999\n"
        "property list uchar int vertex_indices\nend_header\n"
    )
    rows = b"\x03" + bytes(12) + b"\x04" + bytes(16)
    with pytest.raises(MeshError, match="do not fit"):
        open_bytes(head.encode() + bytes(12) + rows, ".ply")
