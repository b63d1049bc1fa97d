"""One box of 2 × 3 × 4 and one cloud, in the spellings of many programs."""

import numpy as np
import pytest
import trimesh

from pcgen.shapes.mesh_files import face_areas
from pcgen.shapes.reading import open_bytes

CORNERS = [(x, y, z) for x in (0, 2) for y in (0, 3) for z in (0, 4)]
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
NO_NUMBER = "-nan(ind) 1.#QNAN nan\n"


def lines(rows, before="", shift=0):
    return "".join(
        before + " ".join(str(x + shift if isinstance(x, int) else x) for x in row) + "\n"
        for row in rows
    )


ROWS, QUADS = lines(CORNERS), lines(SIDES, "4 ")
OBJ = lines(CORNERS, "v ") + lines(SIDES, "f ", 1)
STL = "solid {0}\n" + "".join(
    "facet\nouter loop\n" + lines([CORNERS[k] for k in side], "vertex ") + "endloop\nendfacet\n"
    for side in SIDES
) + "endsolid {0}\n"  # fmt: skip
PLY = (
    "ply\nformat ascii 1.0\n{}element vertex {}\nproperty float x\nproperty float y\n"
    "property float z\nelement face 6\nproperty list uchar int vertex_indices\nend_header\n"
)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".obj", OBJ.replace("v 2 3 4", "v 2 \\\n3 4")),
        (".obj", OBJ.replace("f 1 2 4 3", "f -8 2 -5 3")),
        (".obj", OBJ.replace("v 2 3 4", "v 2 3 4 # a corner")),
        (".obj", OBJ.replace("f 1 2 4 3", "f 1 1 2 4 3")),
        (".obj", "g f 1\n" + OBJ + "v " + NO_NUMBER),
        (".off", "OFF\n9 6 0\n" + ROWS + NO_NUMBER + QUADS),
        (".off", "OFF " + f"9 6 0 {ROWS}{NO_NUMBER}{QUADS}".replace("\n", " ")),
        (".off", "OFF\n8 6 0\n" + lines([(*c, 255, 0, 0) for c in CORNERS]) + QUADS),
        (".off", "STCN4OFF\n8 6 0\n" + lines([(2 * x, 2 * y, 2 * z, 2, 0, 0, 1, 1, 0, 0, 1, 0, 0)
                                              for x, y, z in CORNERS]) + QUADS),
        (".ply", PLY.format("comment see end_header\n", 8) + ROWS + QUADS),
        (".ply", PLY.format("obj_info element vertex 3\n", 9) + ROWS + NO_NUMBER + QUADS),
        (".stl", STL.format("vertex model")),
        (".stl", STL.format("endloop")),
        (".stl", STL.format("n" * 700).replace("facet", "facet normal -nan(ind) 0 0")
                 .replace("endfacet normal -nan(ind) 0 0", "endfacet")),
    ],
)  # fmt: skip
def test_a_box_is_the_same_in_every_spelling(suffix, text):
    found = open_bytes(text.encode(), suffix)
    used = found.shape.used_vertices()
    assert (used.min(0).tolist(), used.max(0).tolist()) == ([0, 0, 0], [2, 3, 4])
    assert np.isclose(face_areas(found.shape).sum(), 52)
    solid = trimesh.Trimesh(found.shape.vertices, found.shape.faces)
    assert np.isclose(abs(solid.volume), 24)
    assert found.notes == ()


NORMALS = np.random.default_rng(0).normal(size=(40, 3))
NORMALS = (NORMALS / np.linalg.norm(NORMALS, axis=1, keepdims=True)).round(4)
POINTS = (NORMALS * [1, 2, 3]).round(4)
NUMBERS = np.arange(40)[:, None]


def table(*columns, separator=" "):
    return "".join(separator.join(f"{x:.6g}" for x in row) + "\n" for row in np.hstack(columns))


def pcd(fields, body):
    words = fields.split()
    head = [f"FIELDS {fields}", "SIZE" + " 4" * len(words), "TYPE" + " F" * len(words)]
    return "\n".join([*head, "WIDTH 40", "HEIGHT 1", "DATA ascii", body])


@pytest.mark.parametrize(
    ("suffix", "text", "normals"),
    [
        (".txt", "# label x y z\n" + table(NUMBERS % 3, POINTS), False),
        (".xyz", "# nx ny nz x y z\n" + table(NORMALS, POINTS), True),
        (".xyz", "// Nx,Ny,Nz,X,Y,Z\n40\n" + table(NORMALS, POINTS), True),
        (".xyz", "# the axes x y z in m\n" + table(POINTS, NUMBERS), False),
        (".csv", '"Normals_0","Normals_1","Normals_2","Points_0","Points_1","Points_2"\n'
                 + table(NORMALS, POINTS, separator=","), True),
        (".csv", "x,y,z,r,g,b,nx,ny,nz\n"
                 + table(POINTS, NUMBERS, NUMBERS, NUMBERS, NORMALS, separator=","), True),
        (".xyz", table(POINTS, NUMBERS % 7, NUMBERS, NUMBERS, NUMBERS), False),
        (".pcd", pcd("x y z nx ny nz", table(POINTS, NORMALS)), True),
        (".pcd", pcd("normal_x normal_y normal_z x y z", table(NORMALS, POINTS)), True),
    ],
)  # fmt: skip
def test_a_cloud_is_the_same_in_every_spelling(suffix, text, normals):
    found = open_bytes(text.encode(), suffix)
    assert np.allclose(found.shape.points, POINTS)
    assert found.notes == ()
    if normals:
        assert np.allclose(found.shape.normals, NORMALS, atol=2e-4)
    else:
        assert found.shape.normals is None


@pytest.mark.parametrize("begin", [0, 1])
def test_a_first_column_that_counts_the_lines_is_no_coordinate(begin):
    found = open_bytes(table(NUMBERS + begin, POINTS, NORMALS).encode(), ".xyz")
    assert np.allclose(found.shape.points, POINTS)
    assert found.shape.normals is not None
    assert found.notes == ("column 1 counts the lines; columns 2 to 4 are x, y, z",)
    line = open_bytes(table(NUMBERS + begin, POINTS[:, :2]).encode(), ".xyz")
    assert np.allclose(line.shape.points[:, 0], NUMBERS[:, 0] + begin)  # three columns are x, y, z


@pytest.mark.parametrize("suffix", [".xyz", ".pcd", ".ply", ".obj", ".off"])
def test_points_that_are_no_numbers_are_left_out_in_every_format(suffix):
    body = table(POINTS[:39]) + NO_NUMBER
    head = {
        ".ply": PLY.format("", 40).replace("face 6", "face 0"),
        ".off": "OFF\n40 0 0\n", ".xyz": "",
    }  # fmt: skip
    text = pcd("x y z", body) if suffix == ".pcd" else head.get(suffix, "") + body
    if suffix == ".obj":
        text = "".join(f"v {line}\n" for line in body.splitlines())
    found = open_bytes(text.encode(), suffix)
    assert np.allclose(found.shape.points, POINTS[:39])
    assert found.notes[-1] == "left out 1 of 40 points that are NaN or infinite"
