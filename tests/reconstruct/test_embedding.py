from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import trimesh

from pcgen.reconstruct.cell_complex import cell_complex_around, widest
from pcgen.reconstruct.embedding import embedded
from pcgen.reconstruct.inside_cells import cells, delaunay
from pcgen.reconstruct.methods import reconstruct
from pcgen.reconstruct.report import volume
from pcgen.reconstruct.self_intersections import crossing_faces
from pcgen.reconstruct.topology import topology
from pcgen.reconstruct.watertight import close
from tests.reconstruct.shapes import sphere


def crosses_exactly(one, other):
    """Whether an edge of one triangle passes through the other, in rational arithmetic."""

    def volume_sign(a, b, c, d):
        u, v, w = (
            [Fraction(float(x)) - Fraction(float(y)) for x, y in zip(p, a, strict=True)]
            for p in (b, c, d)
        )
        value = (
            (u[1] * v[2] - u[2] * v[1]) * w[0]
            + (u[2] * v[0] - u[0] * v[2]) * w[1]
            + (u[0] * v[1] - u[1] * v[0]) * w[2]
        )
        return (value > 0) - (value < 0)

    for edges, (a, b, c) in ((one, other), (other, one)):
        for p, q in combinations(edges, 2):
            if volume_sign(a, b, c, p) * volume_sign(a, b, c, q) > 0:
                continue
            around = {volume_sign(p, q, a, b), volume_sign(p, q, b, c), volume_sign(p, q, c, a)}
            if not {1, -1} <= around:
                return True
    return False


def crossings_by_comparing_all(vertices, faces):
    """Pairs of faces without a common vertex that cross, found without any library."""
    corners = vertices[faces]
    low, high = corners.min(axis=1), corners.max(axis=1)
    apart = (low[:, None] > high[None]).any(axis=2)
    shared = (faces[:, None, :, None] == faces[None, :, None, :]).any(axis=(2, 3))
    pairs = np.argwhere(np.triu(~(apart | apart.T | shared), 1))
    return [(i, j) for i, j in pairs.tolist() if crosses_exactly(corners[i], corners[j])]


def random_walls(seed, points=25, share=0.25):
    rng = np.random.default_rng(seed)
    cloud = rng.uniform(-1, 1, (points, 3))
    facets = cells(delaunay(cloud)).facets
    return cloud, facets[rng.random(len(facets)) < share]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("share", [0.03, 0.25, 0.6])
def test_any_delaunay_facets_become_a_manifold_that_does_not_cross_itself(seed, share):
    cloud, facets = random_walls(seed, share=share)
    vertices, faces = close(cloud, facets, 0.02, delaunay=True)
    assert topology(vertices, faces).manifold
    assert crossings_by_comparing_all(vertices, faces) == []
    assert volume(vertices, faces) > -1e-12  # lone triangles have no thickness


def test_sewing_the_same_facets_crosses_and_is_found_to():
    cloud, facets = random_walls(0)
    vertices, faces = close(cloud, facets, 0.02)
    found = {tuple(pair) for pair in crossing_faces(vertices, faces).tolist()}
    assert found
    assert found == set(crossings_by_comparing_all(vertices, faces))


def test_a_thickness_far_beyond_the_cells_is_made_smaller_where_it_must():
    cloud, facets = random_walls(3)
    vertices, faces = close(cloud, facets, 0.5, delaunay=True)
    assert topology(vertices, faces).manifold
    assert crossings_by_comparing_all(vertices, faces) == []


def test_a_filled_solid_keeps_its_points():
    ball = trimesh.creation.icosphere(2)
    vertices, faces = close(np.asarray(ball.vertices), ball.faces, 0.02, delaunay=True)
    assert volume(vertices, faces) == pytest.approx(ball.volume)
    assert np.abs(np.linalg.norm(vertices, axis=1) - 1).max() < 1e-9
    assert len(faces) == len(ball.faces)


def test_a_sheet_gets_its_thickness_on_both_sides():
    rng = np.random.default_rng(0)
    sheet = np.c_[rng.uniform(-1, 1, (200, 2)), np.zeros(200)]
    cloud = np.concatenate([sheet, [[0, 0, 2.0], [0, 0, -2.0]]])
    facets = cells(delaunay(cloud)).facets
    flat = facets[(facets < 200).all(axis=1)]
    vertices, faces = close(cloud, flat, 0.02, delaunay=True)
    inner = np.abs(vertices[:, :2]).max(axis=1) < 0.5
    heights = np.abs(vertices[inner, 2])
    assert heights.max() == pytest.approx(0.01)
    assert np.median(heights) == pytest.approx(0.01)  # less where points are close together
    assert topology(vertices, faces).genus == 0


def test_two_tetrahedra_that_touch_in_a_point_do_not_cross_there():
    cloud = np.array(
        [
            [0, 0, 0],
            [1, 0.2, 0],
            [1, -0.2, 0.3],
            [1, 0, -0.3],
            [-1, 0.2, 0],
            [-1, -0.2, 0.3],
            [-1, 0, -0.3],
        ]
    )
    faces = np.array(
        [[0, 1, 2], [0, 2, 3], [0, 1, 3], [1, 2, 3], [0, 4, 5], [0, 5, 6], [0, 4, 6], [4, 5, 6]]
    )
    vertices, faces = close(cloud, faces, 0.05, delaunay=True)
    assert topology(vertices, faces).manifold
    assert crossings_by_comparing_all(vertices, faces) == []
    assert volume(vertices, faces) > 0


def test_a_part_with_points_of_its_own_is_kept():
    ball = trimesh.creation.icosphere(2)
    inside = np.array([[0, 0, 0], [0.3, 0, 0], [0, 0.3, 0], [0, 0, 0.3]])
    around = np.concatenate([np.asarray(ball.vertices), inside + np.array([3, 0, 0])])
    facets = {tuple(f) for f in cells(delaunay(around)).facets.tolist()}
    part = np.array([[162, 163, 164], [162, 163, 165], [162, 164, 165], [163, 164, 165]])
    assert all(tuple(f) in facets for f in part.tolist())
    wings = [
        f
        for f in facets
        if max(f) < 162 and 0 in f and tuple(f) not in set(map(tuple, np.sort(ball.faces).tolist()))
    ]
    walls = np.concatenate([ball.faces, part])
    _, plain = close(around, walls, 0.02, delaunay=True)
    assert topology(*close(around, walls, 0.02, delaunay=True)).components == 2
    assert wings  # facets inside the ball are walls of nothing once it is filled
    _, with_wing = close(around, np.concatenate([walls, wings[:1]]), 0.02, delaunay=True)
    assert len(with_wing) == len(plain)


def test_flakes_on_the_skin_of_a_ball_are_dropped():
    points, _ = sphere(1500)  # six points of a flat cell would be a piece of their own
    report = reconstruct(points).report
    assert (report.components, report.genus, report.crossings) == (1, 0, 0)


def test_faces_that_are_no_delaunay_facets_are_sewn():
    cloud = np.random.default_rng(0).uniform(-1, 1, (30, 3))
    facets = {tuple(f) for f in cells(delaunay(cloud)).facets.tolist()}
    other = next(f for f in combinations(range(30), 3) if f not in facets)
    one = close(cloud, np.array([other]), 0.02, delaunay=True)
    two = close(cloud, np.array([other]), 0.02)
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])


def test_the_finest_surface_of_walls_never_crosses_itself(monkeypatch):
    # However little the directions see, opening every nook must do.
    monkeypatch.setattr("pcgen.reconstruct.embedding._SEES", 2.0)
    cloud, facets = random_walls(1)
    space = cell_complex_around(cloud)
    chosen = {tuple(f) for f in facets.tolist()}
    walls = np.array([tuple(f) in chosen for f in space.cells.facets.tolist()])
    vertices, faces, _ = embedded(space, walls, np.zeros(len(space.cells.corners), bool), 0.02)
    assert crossings_by_comparing_all(vertices, faces) == []


def test_cells_around_a_cloud_fill_space_with_one_orientation():
    cloud = np.random.default_rng(2).normal(size=(80, 3))
    space = cell_complex_around(cloud)
    corners = cloud[space.cells.corners[: space.finite]]
    volumes = np.linalg.det(corners[:, 1:] - corners[:, :1])
    assert (np.sign(volumes) == space.sign[: space.finite]).all()
    assert (space.cells.cells_of < len(space.cells.corners)).all()


def test_the_widest_direction_sees_all_faces_of_a_spike():
    # Twenty steep faces on one side and one on the other: their mean does not see the one.
    around = np.concatenate([np.linspace(-0.3, 0.3, 20), [np.pi]])
    normals = np.c_[np.cos(around), np.sin(around), np.full(21, 0.2)]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    direction, least = widest(normals, np.zeros((21, 3), np.int64), 1)
    assert (normals.mean(axis=0) @ normals.T).min() < 0
    assert least[0] > 0.15
    assert (direction[0] @ normals.T).min() == pytest.approx(least[0])


@pytest.mark.parametrize(
    ("shift", "expected"), [((0.1, 0.1, 0.0), 1), ((0.1, 0.1, 1.1), 0), ((3.0, 0.0, 0.0), 0)]
)
def test_one_triangle_through_another_is_found(shift, expected):
    flat = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float)
    upright = np.array([[0.2, 0.2, -0.5], [0.2, 0.2, 0.5], [0.4, 0.1, 0.5]]) + shift
    found = crossing_faces(np.concatenate([flat, upright]), np.array([[0, 1, 2], [3, 4, 5]]))
    assert len(found) == expected
