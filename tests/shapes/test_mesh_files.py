"""Every format agrees with trimesh and closed forms; every broken file is refused with a reason."""

import contextlib
import io
import json

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pcgen.errors import InputError, MeshError
from pcgen.shapes.formats import MESH_SUFFIXES
from pcgen.shapes.formats.ply import read_ply
from pcgen.shapes.mesh_files import WRITE_SUFFIXES, Mesh, check_mesh, face_areas, mesh_bytes
from pcgen.shapes.reading import read_mesh
from tests.shapes.small_shapes import obj_bytes, off_bytes


def measures(mesh):
    """Area, signed volume and box: these distinguish meshes, whatever the order of their faces."""
    a, b, c = np.moveaxis(mesh.triangles(), 1, 0)
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    used = mesh.used_vertices()
    return [face_areas(mesh).sum(), volume, *used.min(0), *used.max(0)]


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_every_format_gives_the_same_box(box, box_files, suffix):
    mesh = read_mesh(box_files[suffix], suffix=suffix, sibling=lambda _: box_files["buffer"])
    assert np.allclose(measures(mesh), [7, 1, 2, -1.5, 9.75, 4, -0.5, 10.25], atol=1e-5)


@pytest.mark.parametrize("suffix", WRITE_SUFFIXES)
def test_what_is_written_is_read_again(tmp_path, box, suffix):
    path = tmp_path / f"box{suffix}"
    path.write_bytes(mesh_bytes(box, suffix))
    assert np.allclose(measures(read_mesh(path)), measures(box), atol=1e-5)
    theirs = trimesh.load(path, force="mesh")
    assert theirs.area == pytest.approx(7, rel=1e-5)
    assert theirs.volume == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("suffix", [".ply", ".glb"])
def test_colours_are_kept(tmp_path, box, suffix):
    colours = np.tile(np.uint8([10, 200, 30]), (len(box.vertices), 1))
    path = tmp_path / f"box{suffix}"
    path.write_bytes(mesh_bytes(box, suffix, colours=colours))
    theirs = trimesh.load(path, force="mesh", process=False)
    assert theirs.visual.vertex_colors[0, :3].tolist() == [10, 200, 30]


def test_a_glb_is_a_named_matt_thing_whose_buffers_say_what_they_hold(box):
    data = mesh_bytes(box, ".glb", name="crate")
    tree = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    (mesh,), (part,) = tree["meshes"], tree["meshes"][0]["primitives"]
    assert mesh["name"] == "crate"
    look = tree["materials"][part["material"]]["pbrMetallicRoughness"]
    assert look["metallicFactor"] == 0
    view = lambda accessor: tree["bufferViews"][tree["accessors"][accessor]["bufferView"]]  # noqa: E731
    assert view(part["indices"])["target"] == 34963
    assert all(view(accessor)["target"] == 34962 for accessor in part["attributes"].values())


def test_writing_refuses_what_does_not_fit(box):
    with pytest.raises(InputError, match=r"\.glb, \.ply, \.obj, \.stl"):
        mesh_bytes(box, ".xyz")
    with pytest.raises(InputError, match="normals"):
        mesh_bytes(box, ".ply", normals=np.zeros((2, 3)))


PARTS = ["{0}", "{0}/7", "{0}//7", "{0}/7/7", "{0}/"]


@st.composite
def polygons(draw):
    """OBJ text in one of the spellings in use, and its triangles."""
    count = draw(st.integers(3, 12))
    vertices = draw(
        st.lists(st.tuples(*[st.integers(-99, 99)] * 3), min_size=count, max_size=count)
    )
    spelling = draw(st.sampled_from([*PARTS, "mixed", "-"]))
    end = draw(st.sampled_from(["\n", "\r\n", " \n", " # note\n"]))
    lines = ["mtllib missing.mtl", "o thing"] + [f"v {x} {y} {z}.5" for x, y, z in vertices]
    triangles = []
    for face in draw(
        st.lists(
            st.lists(st.integers(0, count - 1), min_size=3, max_size=3), min_size=1, max_size=6
        )
    ):
        words = []
        for corner in face:
            style = draw(st.sampled_from(PARTS)) if spelling == "mixed" else spelling
            words.append(str(corner - count) if style == "-" else style.format(corner + 1))
        lines += ["usemtl nowhere", "f " + " ".join(words), "l 1 2"]
        triangles += [(face[0], face[k], face[k + 1]) for k in range(1, len(face) - 1)]
    return end.join(lines).encode(), np.array(vertices), triangles


@given(polygons())
@settings(max_examples=60)
def test_obj_means_the_same_in_every_spelling(case):
    from pcgen.shapes.formats.obj import read_obj

    data, vertices, triangles = case
    raw = read_obj(data)
    assert np.array_equal(raw.vertices[:, :2], vertices[:, :2])
    assert raw.faces.tolist() == [list(triangle) for triangle in triangles]


@pytest.mark.parametrize(
    "faces",
    ["1//1 2//2 3//3\nf 1/1/1 3/3/3 4/4/4", "1 2 3\nf 1/2 3/4 4/5", "1/ 2/ 3/\nf 1/1 3/ 4/"],
)
def test_faces_of_the_same_look_but_other_parts_are_told_apart(faces):
    data = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf " + faces.encode()
    assert read_mesh(data, suffix=".obj").faces.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_relative_indices_count_from_their_own_line():
    data = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\nv 0 0 5\nv 1 0 5\nv 0 1 5\nf -3 -2 -1\n"
    assert read_mesh(data, suffix=".obj").faces.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_obj_with_colours_and_continued_lines_is_read():
    data = b"v 0 0 0 1 0 0\nv 1 0 0 1 0 0\nv 0 1 0 1 0 0\nv 1 1 0 1 0 0\nf 1 2 \\\n4 3\n"
    mesh = read_mesh(data, suffix=".obj")
    assert mesh.faces.tolist() == [[0, 1, 3], [0, 3, 2]]
    assert face_areas(mesh).sum() == pytest.approx(1)


@pytest.mark.parametrize("head", ["OFF\n", "OFF", "OFF ", "off\n# made by hand\n\n", "COFF\r\n"])
def test_off_counts_may_be_glued_to_the_magic_word(box, head):
    mesh = read_mesh(off_bytes(box, head), suffix=".off")
    assert np.array_equal(mesh.faces, box.faces)
    assert np.allclose(mesh.vertices, box.vertices)


def test_off_polygons_with_colours_become_fans():
    data = b"OFF\n4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3 0.5 0.5 0.5\n"
    assert read_mesh(data, suffix=".off").faces.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("mixed", [False, True])
def test_ply_of_every_order_and_polygon_size(order, mixed):
    faces = [[0, 1, 2, 3], [0, 3, 2]] if mixed else [[0, 1, 2], [0, 2, 3]]
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    header = (
        f"ply\nformat {order} 1.0\ncomment hello\nelement vertex 4\nproperty float x\n"
        "property float y\nproperty float z\nproperty uchar red\n"
        f"element face {len(faces)}\nproperty uchar flag\n"
        "property list uchar int vertex_indices\nend_header\n"
    ).encode()
    if order == "ascii":
        body = "".join(f"{x} {y} {z} 9\n" for x, y, z in corners)
        body += "".join(f"1 {len(f)} " + " ".join(map(str, f)) + "\n" for f in faces)
        data = header + body.encode()
    else:
        sign = "<" if "little" in order else ">"
        data = header
        for row in corners:
            data += row.astype(sign + "f4").tobytes() + b"\x09"
        for face in faces:
            data += bytes([1, len(face)]) + np.array(face, sign + "i4").tobytes()
    mesh = read_mesh(data, suffix=".ply")
    assert np.array_equal(mesh.vertices, corners)
    expected = [[0, 1, 2], [0, 2, 3], [0, 3, 2]] if mixed else faces
    assert mesh.faces.tolist() == expected


def test_stl_in_text_and_binary_that_begins_with_solid(box):
    solid = trimesh.Trimesh(box.vertices, box.faces, process=False)
    text = solid.export(file_type="stl_ascii").encode()
    assert np.allclose(measures(read_mesh(text, suffix=".stl")), measures(box), atol=1e-5)
    assert np.allclose(
        measures(read_mesh(text.upper().replace(b"\n", b"\r\n"), suffix=".stl"))[0], 7
    )
    binary = b"solid but binary".ljust(80) + solid.export(file_type="stl")[80:]
    assert np.allclose(measures(read_mesh(binary, suffix=".stl")), measures(box), atol=1e-5)


def test_obj_with_tabs_and_indentation_is_read(box):
    data = obj_bytes(box).replace(b"\nv ", b"\n  v\t").replace(b"\nf ", b"\n\tf  ")
    assert np.allclose(measures(read_mesh(data, suffix=".obj")), measures(box), atol=1e-5)


def test_ply_without_a_face_element_is_a_scan_with_normals():
    cloud = trimesh.PointCloud(np.random.default_rng(0).normal(size=(20, 3)))
    ply = read_ply(cloud.export(file_type="ply"))
    assert not len(ply.faces)
    assert np.allclose(ply.vertices, cloud.vertices, atol=1e-6)
    with pytest.raises(MeshError, match="point cloud"):
        read_mesh(cloud.export(file_type="ply"), suffix=".ply")


def test_scene_graphs_are_flattened_and_lines_dropped():
    scene = trimesh.Scene()
    part = trimesh.creation.box((1, 1, 1))
    move = trimesh.transformations.translation_matrix
    scene.add_geometry(part, geom_name="a", node_name="left", transform=move([5, 0, 0]))
    scene.graph.update("right", matrix=np.diag([2.0, 2, -2, 1]), geometry="a")
    scene.add_geometry(trimesh.load_path([[[0, 0, 0], [100, 0, 0]]]))
    mesh = read_mesh(scene.export(file_type="glb"), suffix=".glb")
    area, volume, *corners = measures(mesh)
    assert area == pytest.approx(6 + 24)
    assert volume == pytest.approx(1 + 8)  # the mirrored part is turned right side out
    assert np.allclose(corners, [-1, -1, -1, 5.5, 1, 1])


def test_gltf_finds_its_buffer_beside_itself_but_never_outside(tmp_path, box, box_files):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "gltf_buffer.bin").write_bytes(box_files["buffer"])
    (tmp_path / "a" / "box.gltf").write_bytes(box_files[".gltf"])
    assert np.allclose(measures(read_mesh(tmp_path / "a" / "box.gltf")), measures(box), atol=1e-5)
    tree = json.loads(box_files[".gltf"])
    (tmp_path / "secret.bin").write_bytes(box_files["buffer"])
    tree["buffers"][0]["uri"] = "../secret.bin"
    (tmp_path / "a" / "box.gltf").write_text(json.dumps(tree))
    with pytest.raises(MeshError, match="outside its own folder"):
        read_mesh(tmp_path / "a" / "box.gltf")


def test_compressed_gltf_says_what_to_do(box_files):
    tree = json.loads(box_files[".gltf"])
    tree["extensionsRequired"] = ["KHR_draco_mesh_compression"]
    with pytest.raises(MeshError, match="gltf-transform cp"):
        read_mesh(json.dumps(tree).encode(), suffix=".gltf")


TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)


@pytest.mark.parametrize(
    ("mesh", "reason"),
    [
        (Mesh(TRIANGLE, np.zeros((0, 3), np.int64)), "no faces"),
        (Mesh(TRIANGLE, np.array([[0, 1, 3]])), "face index 3 is out of range"),
        (Mesh(TRIANGLE, np.array([[0, 1, -1]])), "face index -1 is out of range"),
        (Mesh(TRIANGLE * np.nan, np.array([[0, 1, 2]])), "NaN or infinite"),
        (Mesh(np.where(TRIANGLE > 0, np.inf, 0), np.array([[0, 1, 2]])), "2 vertices are NaN"),
        (Mesh(TRIANGLE * 1e200, np.array([[0, 1, 2]])), "too large"),
        (Mesh(TRIANGLE, np.array([[0, 1, 1]])), "area of the surface is zero"),
    ],
)
def test_an_unusable_mesh_is_refused_with_its_reason(mesh, reason):
    with pytest.raises(MeshError, match=reason):
        check_mesh(mesh)


@pytest.mark.parametrize(
    ("suffix", "data", "reason"),
    [
        (".obj", b"", "empty"),
        (".obj", b"hello world", "no vertex line"),
        (".obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no faces"),
        (".obj", b"v 0 0 0\nv 1 0\nf 1 2 2\n", "not three numbers"),
        (".obj", b"v 0 0 0\nf  \n", "no faces"),
        (".obj", b"v 0 0 0\nf a b c\n", "not vertex numbers"),
        (".obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "out of range"),
        (".obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "out of range"),
        (".obj", b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "NaN"),
        (".off", b"PK\x03\x04", "must begin with OFF"),
        (".off", b"OFF BINARY\n", "truncated"),
        (".off", b"OFF\n3 1 0\n0 0 0\n", "truncated"),
        (".off", b"OFF\n3 0 0\n", "no faces"),
        (".off", b"OFF\nmany\n", "counts"),
        (".ply", b"ply\n", "end_header"),
        (".stl", b"solid nothing\nendsolid nothing\n", "no facet"),
        (".stl", b"solid x\nvertex 1 2 3\nvertex 1 2 3\n", "within a facet"),
        (".stl", b"solid x\nvertex 1 2\nvertex 1 2\nvertex 3 4\n", "not three numbers"),
        (".stl", b"\0" * 80 + b"\x05\0\0\0" + b"\0" * 50, "5 facets do not fit 134 bytes"),
        (".glb", b"glTF\x02\x00\x00\x00", "not a readable"),
        (".gltf", b"{}", "no"),
        (".gltf", b"[1, 2]", "not a readable"),
    ],
)
def test_a_broken_file_is_refused_with_its_reason(suffix, data, reason):
    with pytest.raises(MeshError, match=reason):
        read_mesh(data, suffix=suffix)


def test_unknown_suffix_and_missing_file_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"\.obj, \.off"):
        read_mesh(b"x", suffix=".blend")
    with pytest.raises(InputError, match="no file"):
        read_mesh(tmp_path / "none.obj")


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_mutated_files_are_read_or_refused_in_words(box_files, suffix):
    whole, draw = box_files[suffix], np.random.default_rng(7)
    for _ in range(120):
        copy = bytearray(whole)
        for position in draw.integers(0, len(copy), draw.integers(1, 6)):
            copy[position] = draw.integers(256)
        if draw.random() < 0.3:
            del copy[draw.integers(len(copy)) :]
        with contextlib.suppress(MeshError):
            mesh = read_mesh(bytes(copy), suffix=suffix, sibling=lambda _: box_files["buffer"])
            check_mesh(mesh)


def test_ply_header_that_promises_too_much_allocates_nothing():
    data = (
        b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999999\n"
        b"property float x\nproperty float y\nproperty float z\nend_header\n"
    ) + b"\0" * 40
    with pytest.raises(MeshError, match="truncated"):
        read_ply(data)


def test_obj_reader_agrees_with_trimesh():
    solid = trimesh.creation.icosphere(2)
    text = solid.export(file_type="obj", include_normals=True)
    mesh = read_mesh(text.encode(), suffix=".obj")
    theirs = trimesh.load(io.StringIO(text), file_type="obj", process=False)
    assert face_areas(mesh).sum() == pytest.approx(theirs.area)
    assert obj_bytes(mesh)
