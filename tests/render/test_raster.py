"""The rasterisers agree with slow, simple ones."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pcgen.render import raster

SIZE = (23, 31)


def slow_triangles(x, y, value, faces):
    """Test every pixel centre with every triangle, by barycentric coordinates."""
    best = np.full(SIZE, np.inf)
    owner = np.full(SIZE, -1)
    for row in range(SIZE[0]):
        for column in range(SIZE[1]):
            for number, (a, b, c) in enumerate(faces):
                matrix = np.array([[x[a], x[b], x[c]], [y[a], y[b], y[c]], [1, 1, 1]])
                if abs(np.linalg.det(matrix)) < 1e-9:
                    continue
                weights = np.linalg.solve(matrix, [column + 0.5, row + 0.5, 1])
                near = weights @ value[[a, b, c]]
                if weights.min() > 0 and near < best[row, column]:
                    best[row, column], owner[row, column] = near, number
    return owner, best


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_triangles_equal_the_barycentric_test_of_every_pixel(seed):
    draw = np.random.default_rng(seed)
    x, y = draw.uniform(-8, 38, 9), draw.uniform(-8, 30, 9)
    value = draw.uniform(-2, 2, 9)
    faces = np.arange(9).reshape(3, 3)
    hits = raster.triangles(x, y, value, faces, SIZE)
    owner, best = slow_triangles(x, y, value, faces)
    assert (hits.primitive == owner).all()
    assert np.allclose(hits.value[owner >= 0], best[owner >= 0], atol=1e-5)


def test_two_triangles_that_share_an_edge_leave_no_gap_and_no_overlap():
    x, y = np.array([2.0, 20.3, 21.0, 3.1]), np.array([1.0, 2.2, 19.0, 18.7])
    whole = raster.triangles(x, y, np.zeros(4), np.array([[0, 1, 2], [0, 2, 3]]), SIZE)
    one = raster.triangles(x, y, np.zeros(4), np.array([[0, 1, 2]]), SIZE)
    two = raster.triangles(x, y, np.zeros(4), np.array([[0, 2, 3]]), SIZE)
    assert not ((one.primitive >= 0) & (two.primitive >= 0)).any()
    assert ((whole.primitive >= 0) == ((one.primitive >= 0) | (two.primitive >= 0))).all()


def test_large_triangles_are_the_same_in_small_blocks(monkeypatch):
    draw = np.random.default_rng(1)
    x, y, value = draw.uniform(0, 31, 60), draw.uniform(0, 23, 60), draw.uniform(0, 1, 60)
    faces = draw.integers(0, 60, (40, 3))
    whole = raster.triangles(x, y, value, faces, SIZE)
    monkeypatch.setattr(raster, "BLOCK_FRAGMENTS", 50)
    blocks = raster.triangles(x, y, value, faces, SIZE)
    assert (whole.primitive == blocks.primitive).all()


def test_a_disc_covers_the_pixel_centres_within_its_radius():
    hits = raster.discs(*(np.array([v]) for v in (11.2, 9.7, 3.0, 5.5, 0.0)), SIZE)
    row, column = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5
    inside = np.hypot(column - 11.2, row - 9.7) <= 5.5
    assert ((hits.primitive == 0) == inside).all()
    assert (hits.value[inside] == 3).all()


def test_the_nearer_ball_wins_and_bulges_like_a_ball():
    x, y, value, radius = (
        np.array(v) for v in ([15.5, 15.5], [11.5, 11.5], [4.0, 5.0], [6.0, 6.0])
    )
    hits = raster.discs(x, y, value, radius, np.full(2, 2.0), SIZE)
    assert set(np.unique(hits.primitive)) == {-1, 0}
    assert np.isclose(hits.value[11, 15], 2.0)
    assert np.isclose(hits.value[11, 18], 4 - 2 * np.sqrt(1 - 0.25))


def test_negative_and_positive_depths_are_ordered():
    x, y = np.full(3, 10.5), np.full(3, 10.5)
    hits = raster.discs(x, y, np.array([0.5, -0.5, -0.25]), np.full(3, 2.0), np.zeros(3), SIZE)
    assert hits.primitive[10, 10] == 1
    assert hits.value[10, 10] == -0.5


def test_the_order_of_the_discs_does_not_matter():
    draw = np.random.default_rng(3)
    x, y, value = draw.uniform(0, 31, 200), draw.uniform(0, 23, 200), draw.uniform(1, 2, 200)
    radius, bulge = draw.uniform(0.2, 4, 200), draw.uniform(0, 0.1, 200)
    order = draw.permutation(200)
    one = raster.discs(x, y, value, radius, bulge, SIZE)
    other = raster.discs(x[order], y[order], value[order], radius[order], bulge[order], SIZE)
    named = np.where(other.primitive < 0, -1, order[other.primitive])
    assert (one.primitive == named).all()
    assert (one.value == other.value).all()
