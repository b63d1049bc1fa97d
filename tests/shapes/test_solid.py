"""What is inside of a mesh, against shapes of which it is known."""

import numpy as np
import pytest
import trimesh

from pcgen.errors import MeshError
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.solid import Solid


def mesh_of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices, np.float64), np.asarray(shape.faces, np.int64))


def joined(*meshes: Mesh) -> Mesh:
    counts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + n for mesh, n in zip(meshes, counts[:-1], strict=True)]
    return Mesh(np.concatenate([m.vertices for m in meshes]), np.concatenate(faces))


SPHERE = mesh_of(trimesh.creation.icosphere(4, 1.0))


def wrong(mesh: Mesh, count: int = 2000) -> float:
    """The share of places on the wrong side, of those off the unit sphere."""
    places = np.random.default_rng(0).uniform(-1.1, 1.1, (count, 3))
    height = np.linalg.norm(places, axis=1) - 1
    off = np.abs(height) > 0.02
    return float((Solid(mesh).outside(places[off]) != (height[off] > 0)).mean())


def test_the_inside_of_a_closed_mesh_is_exact():
    assert wrong(SPHERE) == 0


def test_winding_and_doubled_faces_do_not_matter():
    rng = np.random.default_rng(0)
    faces = np.concatenate([SPHERE.faces, SPHERE.faces[::3]])
    turned = np.where(rng.random(len(faces))[:, None] < 0.5, faces, faces[:, ::-1])
    assert wrong(Mesh(SPHERE.vertices, turned)) == 0


def test_a_hole_of_a_few_faces_lets_no_air_in():
    torn = Mesh(SPHERE.vertices, np.delete(SPHERE.faces, slice(0, 2000, 500), axis=0))
    assert wrong(torn) < 0.01


def test_shells_in_shells_are_inside_and_not_of_the_surface():
    nested = joined(SPHERE, Mesh(SPHERE.vertices * 0.5, SPHERE.faces))
    assert wrong(nested) == 0
    points = Solid(nested).surface(500, np.random.default_rng(0))[0]
    assert (np.linalg.norm(points, axis=1) > 0.9).all()


def test_a_cup_is_hollow_and_its_wall_solid():
    cup = trimesh.boolean.difference(
        [
            trimesh.creation.box((2, 2, 2)),
            trimesh.creation.box(
                (1.8, 1.8, 2), trimesh.transformations.translation_matrix((0, 0, 0.1))
            ),
        ],
        engine="manifold",
    )
    solid = Solid(mesh_of(cup))
    points = np.array([[0, 0, 0.5], [0, 0, -0.85], [0.95, 0, 0], [0.85, 0, 0.9], [0, 0, -0.95]])
    assert solid.outside(points).tolist() == [True, True, False, True, False]


def test_a_slot_narrower_than_a_cell_is_outside():
    halves = [
        mesh_of(trimesh.creation.box(bounds=[[-1, -1, low], [1, 1, high]]))
        for low, high in ((-1, -0.02), (0.02, 1))
    ]
    points = np.array([[0.8, 0, 0], [0, 0, 0], [0, 0, 0.03]])
    assert Solid(joined(*halves)).outside(points).tolist() == [True, True, False]


def test_an_open_sheet_is_seen_from_both_sides():
    square = Mesh(
        np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]),
        np.array([[0, 1, 2], [0, 2, 3]]),
    )
    points, normals, sheet = Solid(square).surface(500, np.random.default_rng(0))
    assert len(points) == 500
    assert sheet.all()
    assert np.allclose(np.abs(normals[:, 2]), 1)


def test_normals_of_the_surface_point_outwards():
    turned = Mesh(SPHERE.vertices, SPHERE.faces[:, ::-1])
    points, normals, sheet = Solid(turned).surface(500, np.random.default_rng(0))
    assert not sheet.any()
    assert ((points * normals).sum(1) > 0.99).all()


def test_a_mesh_outside_of_the_box_is_refused():
    with pytest.raises(MeshError, match="scale it first"):
        Solid(Mesh(SPHERE.vertices * 2, SPHERE.faces))
