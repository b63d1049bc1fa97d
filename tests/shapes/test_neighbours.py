"""Files of other programs, in addition to :mod:`tests.shapes.test_reading`.

A box of 2 × 3 × 4 with a corner in the origin, or a square, measures what was read.
"""

import struct

import numpy as np
import open3d as o3d
import pytest
import trimesh

from pcgen.errors import MeshError
from pcgen.shapes.clouds import Cloud
from pcgen.shapes.mesh_files import face_areas
from pcgen.shapes.reading import open_bytes, open_file

BOX = trimesh.creation.box((2, 3, 4)).apply_translation([1, 1.5, 2])
CORNERS, FACES = np.asarray(BOX.vertices), np.asarray(BOX.faces, np.int64)
QUADS = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
CUBE = np.array([[x, y, z] for x in (0, 2) for y in (0, 3) for z in (0, 4)], float)


def opened(data, suffix):
    return open_bytes(data if isinstance(data, bytes) else data.encode(), suffix)


def measures(shape):
    a, b, c = shape.triangles().transpose(1, 0, 2)
    volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    used = shape.used_vertices()
    return [*used.min(0), *used.max(0), face_areas(shape).sum(), volume]


def assert_box(data, suffix, notes=()):
    found = opened(data, suffix)
    assert np.allclose(measures(found.shape), [0, 0, 0, 2, 3, 4, 52, 24], atol=1e-5)
    assert found.notes == tuple(notes)


def words(rows):
    return " ".join(f"{x:g}" for row in rows for x in row)


THREES = words(np.c_[np.full(12, 3), FACES])
STREAM = f"8 12 0 {words(CORNERS)} {THREES}"


@pytest.mark.parametrize(
    "text",
    [
        f"OFF {STREAM}",
        "OFF\n" + STREAM.replace(" ", "\n"),
        f"OFF{STREAM}",
        STREAM,
        "OFF # a box\n" + STREAM.replace(" ", " # no line\n ", 5),
        # Two vertices a line.
        "OFF\n8 12 18\n" + "\n".join(words(CORNERS[k : k + 2]) for k in range(0, 8, 2))
        + "\n" + "\n".join(f"3 {words([face])}" for face in FACES),
        f"COFF 8 12 0 {words(np.c_[CORNERS, np.ones((8, 4))])} {THREES}",
        f"4OFF 8 12 0 {words(np.c_[CORNERS * 2, np.full(8, 2)])} {THREES}",
    ],
)  # fmt: skip
def test_off_is_a_stream_of_numbers_whose_lines_mean_nothing(text):
    assert_box(text, ".off")


@pytest.mark.parametrize(("word", "columns"), [("OFF", 3), ("COFF", 7), ("NOFF", 6), ("nOFF", 3)])
def test_binary_off_is_big_endian_with_a_colour_a_face(word, columns):
    more = np.zeros((8, columns - 3))
    data = f"{word} BINARY\n".encode() + (struct.pack(">i", 3) if word == "nOFF" else b"")
    data += struct.pack(">3i", 8, 12, 0) + np.hstack([CORNERS, more]).astype(">f4").tobytes()
    for k, face in enumerate(FACES):
        colour = [0.5] * (k % 2 * 4)
        data += struct.pack(f">5i{len(colour)}f", 3, *face, len(colour), *colour)
    assert_box(data, ".off")
    with pytest.raises(MeshError, match="truncated"):
        opened(data[:-9], ".off")


def test_off_with_numbers_to_spare_or_too_few_is_refused():
    with pytest.raises(MeshError, match="its faces have 48 numbers, 49 are there"):
        opened(f"OFF {STREAM} 7", ".off")
    with pytest.raises(MeshError, match="truncated"):
        opened(f"OFF {STREAM[:-2]}", ".off")


def ply(coding, vertex="vertex", axes="xyz", faces=QUADS, name="vertex_indices", kinds="uchar int"):
    """A box as PLY; ``kinds`` are those of the count and of the corners."""
    order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}[coding]
    head = f"ply\nformat {coding} 1.0\nelement {vertex} {len(CUBE)}\n"
    head += "".join(f"property float {axis}\n" for axis in axes)
    head += f"element face {len(faces)}\nproperty list {kinds} {name}\nproperty uchar flag\n"
    head += "end_header\n"
    if not order:
        rows = [words([row]) for row in CUBE] + [words([[len(f), *f, 7]]) for f in faces]
        return (head + "\n".join(rows)).encode()
    codes = {"uchar": "u1", "char": "i1", "ushort": "u2", "int": "i4", "uint": "u4",
             "float": "f4", "double": "f8", "int64": "i8", "short": "i2"}  # fmt: skip
    one, other = (order + codes[kind] for kind in kinds.split())
    body = CUBE.astype(f"{order}f4").tobytes()
    for face in faces:
        body += np.array(len(face), one).tobytes() + np.array(face, other).tobytes() + b"\7"
    return head.encode() + body


CODINGS = ("ascii", "binary_little_endian", "binary_big_endian")
MIXED = [f for quad in QUADS[:3] for f in ([quad[0], *quad[1:3]], [quad[0], *quad[2:]])] + QUADS[3:]


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("faces", [QUADS, MIXED])
def test_ply_names_in_capitals_and_lists_of_any_name(coding, faces):
    assert_box(ply(coding, "Vertex", "XYZ", faces, "indices"), ".ply")
    assert_box(ply(coding, "vertices", "xyz", faces, "corners"), ".ply")


@pytest.mark.parametrize("kinds", ["int int", "ushort uint", "float int", "double float",
                                   "char short", "int64 int64"])  # fmt: skip
@pytest.mark.parametrize("coding", CODINGS)
def test_ply_lists_count_in_any_type(coding, kinds):
    assert_box(ply(coding, faces=MIXED, kinds=kinds), ".ply")


def test_ply_counts_that_are_none_are_refused():
    data = ply("binary_big_endian", kinds="float int")
    head, _, rest = data.rpartition(np.array(4, ">f4").tobytes())
    for wrong in (4.5, -4, np.nan, np.inf, 1e30):
        with pytest.raises(MeshError, match="truncated or damaged"):
            opened(head + np.array(wrong, ">f4").tobytes() + rest, ".ply")


def test_ply_text_may_break_its_lines_anywhere():
    head, mark, body = ply("ascii", faces=MIXED).partition(b"end_header\n")
    assert_box(head + mark + body.replace(b" ", b"\n"), ".ply")
    assert_box(head + mark + body.replace(b"\n", b" "), ".ply")


@pytest.mark.parametrize("coding", ["binary_little_endian", "binary_big_endian"])
def test_ply_strips_in_binary_with_another_element_in_front(coding):
    order = "<" if "little" in coding else ">"
    head = f"ply\nformat {coding} 1.0\nelement camera 1\nproperty float view\nelement vertex 5\n"
    head += "property double x\nproperty double y\nproperty double z\nelement tristrips 1\n"
    head += "property list int int vertex_indices\nend_header\n"
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 2, 0]], f"{order}f8")
    body = np.array([1], f"{order}f4").tobytes() + corners.tobytes()
    body += np.array([9, 0, 1, 2, 3, -1, 2, 3, 4, -1], f"{order}i4").tobytes()
    found = opened(head.encode() + body, ".ply")
    assert face_areas(found.shape).sum() == pytest.approx(1.5)
    assert (np.cross(*(found.shape.triangles()[:, 1:] - found.shape.triangles()[:, :1])
                     .transpose(1, 0, 2))[:, 2] > 0).all()  # fmt: skip
    assert "1 'camera'" in found.notes[0]


def test_ply_agrees_with_open3d_and_trimesh(tmp_path):
    ball = trimesh.creation.icosphere(2)
    solid = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(ball.vertices), o3d.utility.Vector3iVector(ball.faces)
    )
    solid.compute_vertex_normals()
    for text in (True, False):
        o3d.io.write_triangle_mesh(str(tmp_path / "a.ply"), solid, write_ascii=text)
        found = open_file(tmp_path / "a.ply").shapes[0]
        assert np.allclose(found.triangles(), ball.triangles, atol=1e-6)
        assert np.allclose(trimesh.load(tmp_path / "a.ply").area, face_areas(found).sum())


def obj(faces, extra=""):
    rows = "".join(f"v {words([row])}\n" for row in CUBE)
    return rows + extra + "".join(faces)


def test_obj_faces_of_the_first_version_and_thin_ones():
    old = [f"fo {' '.join(str(k + 1) for k in quad)}\n" for quad in QUADS]
    assert_box(obj(old), ".obj")
    thin = ["f 1 2\n", "f 3\n"]
    new = [line.replace("fo", "f") for line in old]
    assert_box(obj(new + thin), ".obj", ["2 faces have fewer than three corners; left out"])


def test_obj_elements_that_are_no_faces_are_counted_in_any_line_ending():
    faces = [f"f {' '.join(str(k - 8) for k in quad)}\n" for quad in QUADS]
    more = "p 1\np 2 3\nl 1 2 3\ncurv 0 1 1 2\nsurf 0 1 0 1 1 2\n"
    notes = ["1 free-form surfaces ('surf') of the OBJ file are left out",
             "1 curves ('curv') of the OBJ file are left out",
             "1 lines ('l') of the OBJ file are left out",
             "2 points ('p') of the OBJ file are left out"]  # fmt: skip
    for ending in ("\n", "\r\n", "\r"):
        assert_box(obj(faces, more).replace("\n", ending), ".obj", notes)


@pytest.mark.parametrize("word", ["surf 0 1 0 1 1 2", "bzp 1 2 3 4", "bsp 1 2 3", "curv 0 1 1 2"])
def test_obj_of_free_forms_alone_is_refused_by_name(word):
    with pytest.raises(MeshError, match=rf"'{word.split()[0]}'.*export it as polygons"):
        opened(obj([], f"vt 0 0\n{word}\n"), ".obj")


def test_obj_points_are_a_scan():
    found = opened(obj(["p 1 2 3 4 5 6 7 8\n"]), ".obj")
    assert isinstance(found.shape, Cloud)
    assert found.shape.points.tolist() == CUBE.tolist()


def test_polygons_whose_hole_is_on_a_doubled_edge_keep_it():
    outer, inner = [(0, 0), (4, 0), (4, 4), (0, 4)], [(1, 1), (1, 3), (3, 3), (3, 1)]
    ring = [*outer, outer[0], *inner, inner[0]]
    rows = "".join(f"v {x} {y} 0\n" for x, y in ring)
    found = opened(rows + "f " + " ".join(str(k + 1) for k in range(len(ring))), ".obj")
    assert face_areas(found.shape).sum() == pytest.approx(12)


def test_doubled_vertices_and_both_orientations_stay_as_they_are():
    faces = [f"f {' '.join(str(k + 1) for k in quad)}\n" for quad in QUADS]
    back = [f"f {' '.join(str(k + 1) for k in reversed(quad))}\n" for quad in QUADS]
    found = opened(obj(faces + back, "".join(f"v {words([row])}\n" for row in CUBE)), ".obj")
    assert np.allclose(measures(found.shape)[6:], [104, 0])


def test_stl_in_text_of_several_solids_and_polygons():
    parts = [trimesh.creation.box((1, 1, 1)).apply_translation([k, 0, 0]) for k in (0, 10)]
    text = "\n".join(part.export(file_type="stl_ascii") for part in parts)
    for spelled in (text, text.upper().replace("SOLID", "solid", 1)):
        found = opened(spelled, ".stl").shape
        assert np.allclose(measures(found)[3:], [10.5, 0.5, 0.5, 12, 2])
    facets = "".join(
        "facet normal 0 0 0\nouter loop\n"
        + "".join(f"vertex {words([CUBE[k]])}\n" for k in quad)
        + "endloop\nendfacet\n"
        for quad in QUADS
    )
    assert_box(f"solid quads\n{facets}endsolid\n", ".stl")
    assert_box(f"solid quads {facets} endsolid".replace("\n", " "), ".stl")


@pytest.mark.parametrize("coding", ["ascii", "binary", "binary_compressed"])
def test_pcd_with_what_was_not_seen_agrees_with_open3d(tmp_path, coding):
    points = np.random.default_rng(0).normal(size=(500, 3))
    cloud = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(points))
    cloud.normals = o3d.utility.Vector3dVector(points / np.linalg.norm(points, axis=1)[:, None])
    o3d.io.write_point_cloud(
        str(tmp_path / "a.pcd"),
        cloud,
        write_ascii=coding == "ascii",
        compressed=coding == "binary_compressed",
    )
    (found,) = open_file(tmp_path / "a.pcd").shapes
    again = np.asarray(o3d.io.read_point_cloud(str(tmp_path / "a.pcd")).points)
    assert np.allclose(found.points, again, atol=1e-6)
    assert np.allclose(found.normals, np.asarray(cloud.normals), atol=1e-5)
    if coding == "ascii":
        text = (tmp_path / "a.pcd").read_text().replace("FIELDS x y z", "FIELDS X Y Z")
        head, _, body = text.partition("DATA ascii\n")
        rows = body.splitlines()
        rows[0] = "nan nan nan 0 0 1"
        one = opened(f"{head}DATA ascii\n" + "\n".join(rows), ".pcd")
        assert len(one.shape.points) == 499
        assert one.notes == ("left out 1 of 500 points that are NaN or infinite",)


SCAN = np.random.default_rng(1).normal(size=(40, 3))


def lines(rows, mark=" ", head=""):
    return head + "\n".join(mark.join(f"{x:.6g}" for x in row) for row in rows) + "\n"


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".xyz", lines(np.c_[SCAN, np.full((40, 3), 200)])),
        (".xyz", lines(np.c_[SCAN, np.full(40, 0.3)], head="x y z intensity\n")),
        (".txt", lines(np.c_[np.full((40, 3), 9), SCAN], ",", "r,g,b,x,y,z\n")),
        (".csv", lines(np.c_[np.arange(40), SCAN], ",", "id,X,Y,Z\n")),
        (".csv", lines(SCAN, ";", "X [m];Y [m];Z [m]\n").replace(".", ",")),
        (".pts", lines(np.c_[SCAN, np.full((40, 4), 7)], head="40\n")),
        (".asc", lines(SCAN, "\t", "//X\tY\tZ\n")),
        (".txt", lines(SCAN, ", ")),
    ],
)  # fmt: skip
def test_text_clouds_with_other_columns_before_and_after(suffix, text):
    shape = opened(text, suffix).shape
    assert np.allclose(shape.points, SCAN, atol=1e-5)
    assert shape.normals is None


def test_commas_that_may_be_decimal_are_refused_and_whole_numbers_are_read():
    split = "\n".join(",".join(f"{x:.4f}".replace(".", ",") for x in row) for row in SCAN)
    with pytest.raises(MeshError, match="commas may separate numbers or be decimal"):
        opened(split, ".csv")
    whole = np.random.default_rng(2).integers(0, 256, (40, 6))
    read = opened(lines(whole, ","), ".csv").shape.points
    assert np.array_equal(read, whole[:, :3])


def test_surveyed_coordinates_keep_their_digits():
    offset = np.array([432_100.0, 5_412_300.0, 310.0])
    text = "\n".join(" ".join(f"{x:.4f}" for x in row) for row in SCAN + offset)
    assert np.allclose(opened(text, ".xyz").shape.points - offset, SCAN, atol=1e-4)


def ply_of(faces, order="ascii"):
    """A PLY of the box whose header states fewer faces than it has."""
    head = f"ply\nformat {order} 1.0\nelement vertex 8\nproperty float x\nproperty float y\n"
    head += f"property float z\nelement face {faces}\nproperty list uchar int vertex_indices\n"
    head = f"{head}end_header\n".encode()
    if order == "ascii":
        rows = [words([corner]) for corner in CUBE] + [f"4 {words([quad])}" for quad in QUADS]
        return head + "\n".join(rows).encode() + b"\n"
    mark = "<" if "little" in order else ">"
    faces = b"".join(struct.pack(f"{mark}B4i", 4, *quad) for quad in QUADS)
    return head + np.asarray(CUBE, f"{mark}f4").tobytes() + faces


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_what_a_ply_holds_beyond_its_header_is_told(order):
    assert open_bytes(ply_of(6, order), ".ply").notes == ()
    (note,) = open_bytes(ply_of(3, order), ".ply").notes
    assert note == "the PLY file holds more than its header states; the rest is left out"


def test_what_an_off_holds_beyond_its_counts_is_told():
    rows = [words([corner]) for corner in CUBE] + [f"4 {words([quad])}" for quad in QUADS]
    (note,) = opened("OFF\n8 3 0\n" + "\n".join(rows), ".off").notes
    assert note == "3 lines after the last face of the OFF file are left out"


@pytest.mark.parametrize("coding", ["ascii", "binary"])
def test_a_pcd_of_more_points_than_it_states_is_refused(coding):
    body = lines(SCAN).encode() if coding == "ascii" else SCAN.astype("<f4").tobytes()
    head = "FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 40\nHEIGHT 1\nPOINTS {}\n"
    for count in (40, 20):
        data = f"{head.format(count)}DATA {coding}\n".encode() + body
        if count == 40:
            assert len(open_bytes(data, ".pcd").shape.points) == 40
            continue
        with pytest.raises(MeshError, match="states 20 points, the file holds 40"):
            open_bytes(data, ".pcd")


def test_obj_files_that_an_obj_calls_are_told():
    text = "call other.obj\n" + "".join(f"v {words([corner])}\n" for corner in CUBE)
    (note,) = opened(text + "f 1 2 3\n", ".obj").notes
    assert note == "1 calls of other files ('call') of the OBJ file are left out"
