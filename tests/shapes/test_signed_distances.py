"""Signed distances of shapes for which they are known."""

import numpy as np
import pytest
import trimesh

from pcgen.errors import MeshError
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.signed_distances import HALF_SIDE, SHEET, OuterSurface, sample_signed_distances


def mesh_of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices, np.float64), np.asarray(shape.faces, np.int64))


def joined(*meshes: Mesh) -> Mesh:
    counts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = [mesh.faces + n for mesh, n in zip(meshes, counts[:-1], strict=True)]
    return Mesh(np.concatenate([m.vertices for m in meshes]), np.concatenate(faces))


SPHERE = mesh_of(trimesh.creation.icosphere(4, 1.0))
CUBE = mesh_of(trimesh.creation.box((2, 2, 2)))
# Both fill the frame, so their distances are those of the unit sphere and of the cube of side 2.
UNIT_SPHERE = lambda x: np.linalg.norm(x, axis=1) - 1  # noqa: E731


def unit_cube(x):
    over = np.abs(x) - 1
    return np.linalg.norm(np.maximum(over, 0), axis=1) + np.minimum(over.max(1), 0)


def stored(mesh: Mesh, count: int = 2000, seed: int = 0):
    found = sample_signed_distances(mesh, count, np.random.default_rng(seed)).astype(np.float64)
    return found[:, :3], found[:, 3]


@pytest.mark.parametrize(("mesh", "truth"), [(SPHERE, UNIT_SPHERE), (CUBE, unit_cube)])
def test_distances_of_closed_meshes(mesh, truth):
    places, distance = stored(mesh)
    assert np.abs(distance - truth(places)).max() < 4e-3  # facets of the sphere, half precision
    assert (np.abs(places) <= HALF_SIDE + 1e-3).all()
    near = np.abs(distance) < 0.15
    assert 0.7 < near.mean() < 0.95
    assert 0.3 < (distance[near] < 0).mean() < 0.7


def test_winding_doubled_faces_and_units_do_not_matter():
    rng = np.random.default_rng(0)
    faces = np.concatenate([SPHERE.faces, SPHERE.faces[::3]])
    turned = np.where(rng.random(len(faces))[:, None] < 0.5, faces, faces[:, ::-1])
    soup = Mesh(SPHERE.vertices * 1e-6 + 3, turned)
    places, distance = stored(soup)
    assert np.abs(distance - UNIT_SPHERE(places)).max() < 4e-3


def test_a_hole_of_a_few_faces_lets_no_air_in():
    torn = Mesh(SPHERE.vertices, np.delete(SPHERE.faces, slice(0, 2000, 500), axis=0))
    places, distance = stored(torn, 4000)
    wrong = (distance > 0) != (UNIT_SPHERE(places) > 0)
    assert wrong[np.abs(distance) > 0.02].mean() < 0.01


def test_shells_in_shells_and_walls_within_do_not_count():
    inner = Mesh(SPHERE.vertices * 0.5, SPHERE.faces)
    places, distance = stored(joined(SPHERE, inner))
    truth = UNIT_SPHERE(places)
    inside = truth < 0
    assert ((distance < 0) == inside)[np.abs(truth) > 2e-3].all()  # there facets are in between
    assert np.abs(distance - truth)[inside].max() < 0.06  # from points of the outer


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
    surface = OuterSurface(mesh_of(cup))
    points = np.array([[0, 0, 0.5], [0, 0, -0.85], [0.95, 0, 0], [0.85, 0, 0.9], [0, 0, -0.95]])
    assert surface.outside(points).tolist() == [True, True, False, True, False]


def test_a_slot_narrower_than_a_cell_is_outside():
    halves = [
        mesh_of(trimesh.creation.box(bounds=[[-1, -1, low], [1, 1, high]]))
        for low, high in ((-1, -0.02), (0.02, 1))
    ]
    points = np.array([[0.8, 0, 0], [0, 0, 0], [0, 0, 0.03]])
    assert OuterSurface(joined(*halves)).outside(points).tolist() == [True, True, False]


def test_an_open_sheet_gets_its_thickness():
    square = Mesh(
        np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]),
        np.array([[0, 1, 2], [0, 2, 3]]),
    )
    surface = OuterSurface(square)
    points, normals, sheet = surface.sample(500, np.random.default_rng(0))
    assert sheet.all()
    assert np.allclose(np.abs(normals[:, 2]), 1)
    height = np.linspace(-0.1, 0.1, 21)
    places = np.stack([0 * height, 0 * height, height], 1)
    distance = surface.distances(places, points)
    assert np.allclose(distance, np.abs(height) - SHEET / 2, atol=1e-6)


def test_normals_of_the_surface_point_outwards():
    turned = Mesh(SPHERE.vertices, SPHERE.faces[:, ::-1])
    points, normals, sheet = OuterSurface(turned).sample(500, np.random.default_rng(0))
    assert not sheet.any()
    assert ((points * normals).sum(1) > 0.99).all()


def test_axes_are_stretched_to_the_frame_and_flat_ones_are_not():
    box = mesh_of(trimesh.creation.box((4, 2, 0.04)))
    assert np.allclose(np.abs(OuterSurface(box).mesh.vertices), [1, 1, 0.1])


def test_equal_seeds_give_equal_places():
    assert np.array_equal(stored(CUBE, 300, 1)[0], stored(CUBE, 300, 1)[0])


def test_one_triangle_is_a_sheet():
    triangle = Mesh(np.eye(3), np.array([[0, 1, 2]]))
    distance = stored(triangle, 1000)[1]
    assert np.isfinite(distance).all()
    assert (distance < 0).any()
    assert distance.min() > -SHEET


def test_a_mesh_without_extent_is_refused():
    with pytest.raises(MeshError, match="no extent"):
        OuterSurface(Mesh(np.ones((3, 3)), np.array([[0, 1, 2]])))
