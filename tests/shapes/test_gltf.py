"""Every feature of glTF is applied or refused, measured by a box of 2 × 3 × 4."""

import json
import struct

import numpy as np
import pytest
import trimesh

from pcgen.errors import MeshError
from pcgen.shapes.clouds import Cloud
from pcgen.shapes.mesh_files import face_areas
from pcgen.shapes.reading import open_bytes, read_mesh

BOX = trimesh.creation.box((2, 3, 4))
CORNERS = (BOX.vertices + np.array([1, 1.5, 2])).astype("<f4")
FACES = BOX.faces.astype("<u2").ravel()
KINDS = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}


class Glb:
    """A GLB under construction: arrays become accessors."""

    def __init__(self, **tree):
        self.binary, self.views, self.accessors = b"", [], []
        self.tree = {"asset": {"version": "2.0"}, "scene": 0, **tree}

    def view(self, array):
        self.binary += b"\0" * (-len(self.binary) % 4)
        data = np.ascontiguousarray(array).tobytes()
        self.views.append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)})
        self.binary += data
        return len(self.views) - 1

    def add(self, array, shape=None, **more):
        array = np.asarray(array)
        width = array.shape[1] if array.ndim == 2 else 1
        shape = shape or {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}[width]
        kind = KINDS[array.dtype.newbyteorder("=").str[1:]]
        found = {"componentType": kind, "count": len(array), "type": shape, **more}
        self.accessors.append({"bufferView": self.view(array), **found})
        return len(self.accessors) - 1

    def part(self, positions=CORNERS, corners=FACES, **more):
        attributes = {"POSITION": self.add(positions), **more.pop("attributes", {})}
        indices = {} if corners is None else {"indices": self.add(corners)}
        return {"attributes": attributes, **indices, **more}

    def bytes(self, **tree):
        whole = {
            "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}], **self.tree,
            "accessors": self.accessors, "bufferViews": self.views,
            "buffers": [{"byteLength": len(self.binary)}], **tree,
        }  # fmt: skip
        text = json.dumps(whole).encode()
        text += b" " * (-len(text) % 4)
        body = struct.pack("<I", len(text)) + b"JSON" + text
        body += struct.pack("<I", len(self.binary)) + b"BIN\0" + self.binary
        return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


def read(data):
    return open_bytes(data, ".glb")


def box(data):
    """The box, area and volume of a file."""
    mesh = read(data).shape
    a, b, c = mesh.triangles().transpose(1, 0, 2)
    volume = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    used = mesh.used_vertices()
    return [*used.min(0), *used.max(0), face_areas(mesh).sum(), volume]


PLAIN = [0, 0, 0, 2, 3, 4, 52, 24]


def test_a_plain_box_and_one_without_indices():
    glb = Glb()
    assert np.allclose(box(glb.bytes(meshes=[{"primitives": [glb.part()]}])), PLAIN)
    glb = Glb()
    part = glb.part(CORNERS[FACES], None)
    assert np.allclose(box(glb.bytes(meshes=[{"primitives": [part]}])), PLAIN)


@pytest.mark.parametrize("base", [True, False])
def test_sparse_accessors_patch_what_is_there_or_zeros(base):
    glb = Glb()
    part = glb.part(np.where(np.arange(8)[:, None] < 6, CORNERS, 77).astype("<f4"))
    rows = np.arange(6, 8) if base else np.arange(8)
    accessor = glb.accessors[part["attributes"]["POSITION"]]
    accessor["sparse"] = {
        "count": len(rows),
        "indices": {"bufferView": glb.view(rows.astype("u1")), "componentType": 5121},
        "values": {"bufferView": glb.view(CORNERS[rows])},
    }
    if not base:
        del accessor["bufferView"]
    assert np.allclose(box(glb.bytes(meshes=[{"primitives": [part]}])), PLAIN)


@pytest.mark.parametrize(
    ("kind", "most"), [("i1", 127), ("u1", 255), ("<i2", 32767), ("<u2", 65535)]
)
def test_normalised_integers_are_fractions(kind, most):
    glb = Glb(extensionsRequired=["KHR_mesh_quantization"])
    whole = np.round(CORNERS / 4 * most).astype(kind)
    part = glb.part(whole)
    glb.accessors[part["attributes"]["POSITION"]]["normalized"] = True
    data = glb.bytes(meshes=[{"primitives": [part]}], nodes=[{"mesh": 0, "scale": [4, 4, 4]}])
    assert np.allclose(box(data), PLAIN, atol=52 * 2 / most)


def test_interleaved_positions_are_read_with_their_stride():
    glb = Glb()
    part = glb.part(np.c_[CORNERS, np.full((8, 5), 9, "<f4")].astype("<f4")[:, :4])
    glb.accessors[part["attributes"]["POSITION"]]["type"] = "VEC3"
    glb.views[glb.accessors[part["attributes"]["POSITION"]]["bufferView"]]["byteStride"] = 16
    assert np.allclose(box(glb.bytes(meshes=[{"primitives": [part]}])), PLAIN)


def test_skins_place_vertices_and_their_own_node_does_not():
    glb = Glb()
    bind = np.tile(np.eye(4, dtype="<f4").ravel(), (2, 1))
    bind[1, 12:15] = [-1, 0, 0]
    joints = np.zeros((8, 4), "u1")
    joints[:, 0] = CORNERS[:, 0] > 1  # the far side hangs on the second bone
    weights = np.tile(np.array([255, 0, 0, 0], "u1"), (8, 1))
    part = glb.part(attributes={
        "JOINTS_0": glb.add(joints), "WEIGHTS_0": glb.add(weights, normalized=True)
    })  # fmt: skip
    data = glb.bytes(
        meshes=[{"primitives": [part]}],
        nodes=[{"mesh": 0, "skin": 0, "translation": [7, 7, 7]}, {}, {"translation": [11, 0, 0]}],
        scenes=[{"nodes": [0, 1, 2]}],
        skins=[{"joints": [1, 2], "inverseBindMatrices": glb.add(bind)}],
    )
    assert np.allclose(box(data)[:6], [0, 0, 0, 12, 3, 4])
    data = data.replace(b'"joints": [1, 2]', b'"joints": [1]   ')
    with pytest.raises(MeshError, match="joint 1 is out of range"):
        read(data)


def test_morph_weights_of_the_node_come_before_those_of_the_mesh():
    glb = Glb()
    up = np.where(CORNERS == 4, 4, 0).astype("<f4")
    part = glb.part(targets=[{"POSITION": glb.add(up)}])
    mesh = {"primitives": [part], "weights": [1.0]}
    assert box(glb.bytes(meshes=[mesh]))[5] == pytest.approx(8)
    assert box(glb.bytes(meshes=[mesh], nodes=[{"mesh": 0, "weights": [0.5]}]))[5] == 6
    assert np.allclose(box(glb.bytes(meshes=[{"primitives": [part]}])), PLAIN)


def test_instances_stand_at_each_of_their_places():
    glb = Glb(extensionsRequired=["EXT_mesh_gpu_instancing"])
    part = glb.part()
    half = np.sqrt(0.5)
    attributes = {
        "TRANSLATION": glb.add(np.array([[0, 0, 0], [10, 0, 0]], "<f4")),
        "ROTATION": glb.add(np.array([[0, 0, 0, 1], [0, 0, half, half]], "<f4")),
        "SCALE": glb.add(np.array([[1, 1, 1], [2, 2, -2]], "<f4")),
    }
    node = {"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}}}
    found = box(glb.bytes(meshes=[{"primitives": [part]}], nodes=[node]))
    # The second is twice as large, turned by a quarter about z and mirrored, right side out.
    assert np.allclose(found, [0, 0, -8, 10, 4, 4, 52 * 5, 24 * 9], atol=1e-4)


@pytest.mark.parametrize("roots", [[0, 1], [1, 0, 0]])
def test_a_node_that_is_listed_twice_is_shown_once(roots):
    glb = Glb()
    part = glb.part()
    data = glb.bytes(
        meshes=[{"primitives": [part]}], nodes=[{"children": [1]}, {"mesh": 0}],
        scenes=[{"nodes": roots}],
    )  # fmt: skip
    assert np.allclose(box(data), PLAIN)


def test_strips_and_fans_are_triangles_and_unknown_modes_are_refused():
    square = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], "<f4")
    for mode, order in ((5, [0, 1, 2, 3]), (6, [0, 1, 3, 2])):
        glb = Glb()
        part = glb.part(square, np.array(order, "u1"), mode=mode)
        mesh = read(glb.bytes(meshes=[{"primitives": [part]}])).shape
        assert face_areas(mesh).sum() == pytest.approx(1)
        assert (np.cross(*np.diff(mesh.triangles(), axis=1).transpose(1, 0, 2))[:, 2] > 0).all()
    glb = Glb()
    with pytest.raises(MeshError, match="primitive mode 9"):
        read(glb.bytes(meshes=[{"primitives": [glb.part(mode=9)]}]))


def test_points_alone_are_a_cloud_and_lines_are_counted():
    glb = Glb()
    points = glb.part(
        corners=None, mode=0, attributes={"NORMAL": glb.add(-CORNERS - np.float32(1))}
    )
    shape = read(glb.bytes(meshes=[{"primitives": [points]}])).shape
    assert isinstance(shape, Cloud)
    assert np.allclose(shape.points, CORNERS)
    assert np.allclose(np.linalg.norm(shape.normals, axis=1), 1)
    lines = glb.part(corners=np.arange(8, dtype="u1"), mode=1)
    opened = read(glb.bytes(meshes=[{"primitives": [glb.part(), lines, points]}]))
    assert opened.notes == (
        "1 parts of the glTF file are lines; left out",
        "1 parts are points; left out",
    )
    with pytest.raises(MeshError, match="made of lines"):
        read(glb.bytes(meshes=[{"primitives": [lines]}]))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["KHR_draco_mesh_compression"], "compressed with KHR_draco_mesh_compression"),
        (["EXT_meshopt_compression"], "compressed with EXT_meshopt_compression"),
        (["XYZ_lattice"], "requires the extension XYZ_lattice"),
    ],
)
def test_what_changes_the_shape_and_is_not_understood_is_refused_by_name(names, reason):
    glb = Glb()
    data = glb.bytes(meshes=[{"primitives": [glb.part()]}], extensionsRequired=names)
    with pytest.raises(MeshError, match=reason):
        read(data)


def test_paint_is_passed_over_and_the_unknown_is_named():
    used = [
        "KHR_texture_basisu", "KHR_texture_transform", "KHR_materials_variants", "EXT_texture_webp",
        "KHR_lights_punctual", "KHR_xmp_json_ld", "KHR_materials_pbrSpecularGlossiness",
    ]  # fmt: skip
    glb = Glb()
    meshes = [{"primitives": [glb.part()]}]
    assert read(glb.bytes(meshes=meshes, extensionsUsed=used, extensionsRequired=used)).notes == ()
    found = read(glb.bytes(meshes=meshes, extensionsUsed=["XYZ_lattice"]))
    assert found.notes == ("the extension XYZ_lattice is not understood",)


def test_a_compressed_part_with_no_other_data_is_refused_wherever_it_says_so():
    glb = Glb()
    part = glb.part(extensions={"KHR_draco_mesh_compression": {"bufferView": 0}})
    meshes = [{"primitives": [part]}]
    assert np.allclose(box(glb.bytes(meshes=meshes)), PLAIN)  # the fallback is there
    del glb.accessors[part["attributes"]["POSITION"]]["bufferView"]
    with pytest.raises(MeshError, match="compressed with KHR_draco"):
        read(glb.bytes(meshes=meshes))


def test_invisible_nodes_and_other_scenes_are_left_out_and_counted():
    glb = Glb()
    hidden = {"mesh": 0, "translation": [50, 0, 0],
              "extensions": {"KHR_node_visibility": {"visible": False}}}  # fmt: skip
    data = glb.bytes(
        meshes=[{"primitives": [glb.part()]}],
        nodes=[{"mesh": 0, "children": [1]}, hidden, {"mesh": 0, "translation": [9, 9, 9]}],
        scenes=[{"nodes": [0]}, {"nodes": [2]}],
    )
    assert np.allclose(box(data), PLAIN)
    assert len(read(data).notes) == 2


def test_an_index_beyond_its_own_part_is_refused_though_another_part_has_it():
    glb = Glb()
    parts = [glb.part(CORNERS[:3], np.array([0, 1, 5], "u1")), glb.part()]
    with pytest.raises(MeshError, match="face index 5 is out of range: there are 3"):
        read(glb.bytes(meshes=[{"primitives": parts}]))


def test_an_accessor_beyond_its_buffer_and_version_1_are_refused():
    glb = Glb()
    part = glb.part()
    glb.accessors[part["attributes"]["POSITION"]]["count"] = 9
    with pytest.raises(MeshError, match="beyond its buffer"):
        read(glb.bytes(meshes=[{"primitives": [part]}]))
    with pytest.raises(MeshError, match="version 1"):
        read_mesh(b'{"asset": {"version": "1.0"}, "meshes": {}}', suffix=".gltf")


def test_mirrored_nodes_keep_their_outside_outside():
    glb = Glb()
    mirrored = [{"mesh": 0, "scale": [-1, 1, 1]}]
    data = glb.bytes(meshes=[{"primitives": [glb.part()]}], nodes=mirrored)
    assert np.allclose(box(data), [-2, 0, 0, 0, 3, 4, 52, 24])
    glb = Glb()
    data = glb.bytes(
        meshes=[{"primitives": [glb.part()]}],
        nodes=[{"children": [1], "scale": [-1, -1, 1]}, {"mesh": 0, "scale": [-1, 1, 1]}],
    )
    assert np.allclose(box(data), [0, -3, 0, 2, 0, 4, 52, 24])


def test_sparse_indices_patch_corners():
    glb = Glb()
    wrong = FACES.copy()
    wrong[:3] = 0
    part = glb.part(corners=wrong)
    glb.accessors[part["indices"]]["sparse"] = {
        "count": 3,
        "indices": {"bufferView": glb.view(np.arange(3, dtype="<u2")), "componentType": 5123},
        "values": {"bufferView": glb.view(FACES[:3])},
    }
    assert np.allclose(box(glb.bytes(meshes=[{"primitives": [part]}])), PLAIN)


def test_morph_targets_may_be_quantised_and_sparse():
    glb = Glb(extensionsRequired=["KHR_mesh_quantization"])
    part = glb.part()
    moved = glb.add(np.tile(np.array([[127, 0, 0]], "i1"), (8, 1)), normalized=True)
    rows = glb.add(np.zeros((8, 3), "<f4"))
    glb.accessors[rows]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": glb.view(np.zeros(1, "u1")), "componentType": 5121},
        "values": {"bufferView": glb.view(np.array([[0, 0, 9]], "<f4"))},
    }
    del glb.accessors[rows]["bufferView"]
    part["targets"] = [{"POSITION": moved}, {"POSITION": rows}]
    data = glb.bytes(meshes=[{"primitives": [part]}], nodes=[{"mesh": 0, "weights": [10, 0]}])
    assert np.allclose(box(data), [10, 0, 0, 12, 3, 4, 52, 24])
    data = glb.bytes(meshes=[{"primitives": [part], "weights": [0, 1]}])
    assert np.allclose(box(data)[3:6], [2, 3, max(4, CORNERS[0, 2] + 9)])


def test_what_hangs_on_no_bone_hangs_on_the_first_and_bones_may_have_matrices():
    glb = Glb()
    joints, weights = np.zeros((8, 4), "<u2"), np.zeros((8, 4), "<f4")
    joints[:, 0] = 1
    weights[:4, 1] = 1.0  # the second of four is joint 0
    part = glb.part(attributes={"JOINTS_0": glb.add(joints), "WEIGHTS_0": glb.add(weights)})
    moved = np.eye(4)
    moved[:3, 3] = [5, 0, 0]
    data = glb.bytes(
        meshes=[{"primitives": [part]}],
        nodes=[{"mesh": 0, "skin": 0}, {"matrix": moved.T.ravel().tolist()}, {}],
        scenes=[{"nodes": [0, 1, 2]}],
        skins=[{"joints": [1, 1]}],
    )
    assert np.allclose(box(data), [5, 0, 0, 7, 3, 4, 52, 24])


def test_two_parts_and_two_instances_of_a_mesh_stand_side_by_side():
    glb = Glb()
    parts = [glb.part(), glb.part(CORNERS + np.float32(10))]
    data = glb.bytes(
        meshes=[{"primitives": parts}],
        nodes=[{"mesh": 0}, {"mesh": 0, "translation": [0, 0, 100]}],
        scenes=[{"nodes": [0, 1]}],
    )
    assert np.allclose(box(data), [0, 0, 0, 12, 13, 114, 208, 96])
    solid = trimesh.load(trimesh.util.wrap_as_stream(data), file_type="glb").to_mesh()
    assert np.allclose([solid.area, solid.volume], [208, 96])


@pytest.mark.parametrize("mode", [5, 6])
def test_strips_and_fans_without_indices(mode):
    glb = Glb()
    ring = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "<f4")
    part = glb.part(ring[[0, 1, 3, 2]] if mode == 5 else ring, None, mode=mode)
    mesh = read(glb.bytes(meshes=[{"primitives": [part]}])).shape
    assert face_areas(mesh).sum() == pytest.approx(1)
    assert (mesh.triangles()[:, 1] - mesh.triangles()[:, 0]).shape == (2, 3)


def test_corners_after_the_last_triangle_are_counted():
    glb = Glb()
    part = glb.part(corners=np.r_[FACES, FACES[:2]])
    data = glb.bytes(meshes=[{"primitives": [part]}])
    assert np.allclose(box(data), PLAIN)
    assert read(data).notes == ("2 corners after the last triangle; left out",)


@pytest.mark.parametrize("scene", [{"nodes": [0]}, {"nodes": [0, 1]}, None])
def test_of_levels_of_detail_the_finest_is_read(scene):
    glb = Glb(extensionsUsed=["MSFT_lod"])
    fine, coarse = glb.part(), glb.part(3 * CORNERS)
    nodes = [{"mesh": 0, "extensions": {"MSFT_lod": {"ids": [1]}}}, {"mesh": 1}]
    meshes = [{"primitives": [fine]}, {"primitives": [coarse]}]
    data = glb.bytes(meshes=meshes, nodes=nodes, scenes=[scene] if scene else [])
    assert np.allclose(box(data), PLAIN)
    assert read(data).notes == ("1 nodes are coarser levels of detail; left out",)
