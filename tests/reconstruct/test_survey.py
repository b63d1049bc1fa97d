"""Points that are there many times, and points whose coordinates count from far away."""

import json

import numpy as np
import pytest
import trimesh

from pcgen.reconstruct.cloud import prepare_cloud
from pcgen.reconstruct.export import checked_bytes
from pcgen.reconstruct.report import measure
from pcgen.shapes.mesh_files import Mesh, far_offset
from pcgen.shapes.reading import read_mesh
from tests.reconstruct.shapes import sphere

UTM = np.array([500_123.25, 5_412_345.5, 312.0])


@pytest.mark.parametrize("noise", [0.0, 1e-9])
def test_repeated_points_are_merged_before_outliers_are_sought(noise):
    draw = np.random.default_rng(0)
    ball = sphere(800)[0]
    times = np.where(ball[:, 0] > 0, 8, 1)  # one half is there eight times
    many = np.repeat(ball, times, axis=0)
    many = many + draw.normal(size=many.shape) * noise
    cloud = prepare_cloud(np.vstack([many, [[50.0, 0, 0]] * 9]))
    # Of repeats that are not quite equal a few fall on two sides of a limit.
    assert 0 <= len(cloud.points) - len(ball) <= (2 if noise else 0)
    assert cloud.notes[0].endswith("repeated points dropped")
    assert cloud.notes[1] == "1 outliers dropped"


@pytest.mark.parametrize("suffix", [".glb", ".ply", ".obj", ".stl"])
def test_survey_coordinates_keep_their_digits_where_a_file_can_hold_them(suffix):
    ball = trimesh.creation.icosphere(3)
    mesh = Mesh(np.asarray(ball.vertices) * 2 + UTM, np.asarray(ball.faces))
    offset = far_offset(mesh.vertices)
    assert np.abs(offset - UTM).max() <= 1
    assert (offset == np.round(offset)).all()
    data = checked_bytes(mesh, suffix)
    found = read_mesh(data, suffix=suffix)
    want = mesh.triangles() - (offset if suffix == ".stl" else 0)
    assert np.abs(found.triangles() - want).max() < 1e-6
    if suffix == ".glb":
        tree = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
        assert [node["translation"] for node in tree["nodes"] if "mesh" in node] == [
            offset.tolist()
        ]


def test_a_shape_far_away_is_judged_as_it_is_and_its_offset_reported():
    ball = trimesh.creation.icosphere(3)
    vertices, faces = np.asarray(ball.vertices) * 2 + UTM, np.asarray(ball.faces)
    options = {"method": "given", "seconds": 0.0, "notes": ()}
    report = measure(vertices, faces, vertices, **options)
    assert report.watertight
    assert report.volume == pytest.approx(ball.volume * 8, rel=1e-6)
    assert report.offset == tuple(far_offset(vertices))
    place = ", ".join(f"{x:.0f}" for x in report.offset)
    assert f"STL files have ({place}) subtracted" in report.notes[0]
    report = measure(vertices, faces[1:], vertices, **options)
    assert report.notes[-1] == "not watertight: 3 edges belong to only one face, 0 to more than two"
    near = measure(ball.vertices, faces, ball.vertices, **options)
    assert (near.offset, near.notes) == ((0.0, 0.0, 0.0), ())
