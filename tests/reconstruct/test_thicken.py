import numpy as np
import pytest
import trimesh

from pcgen.reconstruct.report import volume
from pcgen.reconstruct.thicken import move_apart, thicken
from pcgen.reconstruct.topology import fans, is_watertight, topology
from pcgen.reconstruct.watertight import close

QUAD = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
FAN_OF_THREE = np.array([[0, 0, 0], [0, 0, 1], [1, 0, 0], [-1, 1, 0], [-1, -1, 0]], float)


def apart(layer, thickness=0.02):
    return move_apart(layer.vertices, layer.faces, thickness / 2)


def test_a_closed_surface_becomes_its_outside_and_its_inside():
    ball = trimesh.creation.icosphere(2)
    layer = thicken(ball.vertices, ball.faces)
    assert sorted(layer.volume) == pytest.approx([-ball.volume, ball.volume])
    assert len(layer.faces) == 2 * len(ball.faces)


def test_the_orientation_of_the_triangles_does_not_matter():
    ball = trimesh.creation.icosphere(1)
    flipped = ball.faces.copy()
    flipped[::2] = flipped[::2, ::-1]
    layer = thicken(ball.vertices, flipped)
    assert max(layer.volume) == pytest.approx(ball.volume)


def test_an_open_sheet_becomes_two_sided_and_gets_its_thickness():
    grid = trimesh.creation.box((1, 1, 0.5)).subdivide().subdivide()
    top = grid.faces[(grid.vertices[grid.faces][:, :, 2] > 0.24).all(axis=1)]
    layer = thicken(grid.vertices, top)
    vertices = apart(layer)
    assert topology(vertices, layer.faces).manifold
    inner = np.abs(vertices[:, :2]).max(axis=1) < 0.4
    assert sorted(set(np.round(vertices[inner, 2], 6))) == [0.24, 0.26]


def test_an_edge_of_two_rim_vertices_is_split_so_that_it_has_two_faces():
    layer = thicken(QUAD, np.array([[0, 1, 2], [0, 2, 3]]))
    assert is_watertight(layer.faces)
    assert fans(layer.faces) == len(np.unique(layer.faces))
    assert topology(apart(layer), layer.faces).genus == 0


def test_three_sheets_that_meet_in_an_edge_come_out_manifold():
    layer = thicken(FAN_OF_THREE, np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]]))
    shape = topology(apart(layer), layer.faces)
    assert shape.manifold
    assert shape.components == 1
    assert shape.genus == 0


def test_two_cubes_that_share_an_edge_come_apart_there():
    cube = trimesh.creation.box((1, 1, 1))
    both = trimesh.util.concatenate([cube, cube.copy().apply_translation((1, 1, 0))])
    both.merge_vertices()
    layer = thicken(both.vertices, both.faces)
    outside = layer.faces[layer.volume[layer.piece] > 0]
    assert topology(move_apart(layer.vertices, outside, 0.01), outside).manifold
    assert layer.volume.max() == pytest.approx(2)


@pytest.mark.parametrize("seed", range(20))
def test_any_soup_of_triangles_becomes_closed_and_manifold(seed):
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(12, 3))
    faces = rng.integers(0, 12, (40, 3))
    layer = thicken(vertices, faces)
    assert is_watertight(layer.faces)
    assert fans(layer.faces) == len(np.unique(layer.faces))


def test_repeated_and_collapsed_faces_are_ignored():
    faces = np.array([[0, 1, 2], [2, 1, 0], [0, 0, 1], [0, 2, 3]])
    once = thicken(QUAD, faces[[0, 3]])
    assert np.array_equal(thicken(QUAD, faces).faces, once.faces)


@pytest.mark.parametrize(("full", "components", "inside"), [(False, 3, 0.1), (True, 1, 2.0)])
def test_two_rooms_with_a_wall_between_are_kept_or_filled(full, components, inside):
    room = trimesh.creation.box((1, 1, 1)).subdivide().subdivide().subdivide()
    places = np.asarray(room.vertices) + np.array([0.5, 0, 0])
    both = trimesh.Trimesh(
        np.concatenate([places, places * [-1, 1, 1]]),
        np.concatenate([room.faces, room.faces + len(places)]), process=False,
    )  # fmt: skip
    both.merge_vertices()
    made = close(np.asarray(both.vertices), np.asarray(both.faces), 0.01, full=full)
    assert topology(*made).components == components
    assert volume(*made) == pytest.approx(inside, rel=0.05)
