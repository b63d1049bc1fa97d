"""The nearest training shape agrees with brute force."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from pcgen.errors import InputError
from pcgen.evaluate.neighbours import Neighbours, relate


class Shapes:
    """Ellipsoids as a data set, with the methods that the search calls."""

    def __init__(self, count=30, points=400):
        draw = np.random.default_rng(0)
        ball = draw.normal(size=(count, points, 3))
        ball /= np.linalg.norm(ball, axis=2, keepdims=True)
        self.clouds = (ball * draw.uniform(0.2, 1, (count, 1, 3))).astype(np.float32)
        self.points_per_shape = points
        self.rows = [
            SimpleNamespace(id=f"s{k}", category="cd"[k % 2], split="train" if k % 3 else "test")
            for k in range(count)
        ]
        self.categories = ("c", "d")

    def select(self, *, split=None, categories=None):
        return np.array([
            k for k, row in enumerate(self.rows)
            if split in (None, row.split) and row.category in (categories or self.categories)
        ])  # fmt: skip

    def points(self, rows, count=None):
        return self.clouds[np.asarray(rows)][:, :count]


def chamfer(a, b):
    there, _ = cKDTree(b).query(a)
    back, _ = cKDTree(a).query(b)
    return (there**2).mean() + (back**2).mean()


def proportion_free(cloud):
    low, high = cloud.min(0), cloud.max(0)
    side = np.maximum(high - low, 0.1 * (high - low).max())
    return (cloud - (low + high) / 2) / (side / 2)


@pytest.mark.parametrize("row", [1, 4, 20])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_nearest_training_shape_is_that_of_brute_force(row, sign):
    shapes = Shapes()
    noise = 0.02 * np.random.default_rng(1).normal(size=shapes.clouds[row].shape)
    sample = (shapes.clouds[row] + noise).astype(np.float32)
    sample *= np.array([sign, 0.7, 0.9], np.float32)
    found = Neighbours(shapes).nearest(sample)
    query = proportion_free(sample)
    table = {
        (k, face): chamfer(query, proportion_free(shapes.clouds[k]) * [face, 1, 1])
        for k in range(30)
        if k % 3
        for face in (1, -1)
    }
    best = min(table, key=table.get)
    assert (found.row, found.id) == (best[0], f"s{best[0]}")
    assert found.row == row
    assert found.distance == pytest.approx(table[best], rel=1e-4)
    face = -1 if found.relation.mirrored else 1
    assert face == sign
    assert (found.points == shapes.clouds[row] * np.array([face, 1, 1], np.float32)).all()


def test_what_is_said_of_a_copy_is_how_it_was_made():
    shapes = Shapes()
    cloud = shapes.clouds[7] / np.abs(shapes.clouds[7]).max(0)
    shapes.clouds[7] = cloud
    assert str(Neighbours(shapes).nearest(cloud).relation) == ""
    image = Neighbours(shapes).nearest(cloud * np.array([-1, 1, 1], np.float32))
    assert str(image.relation) == "mirrored"
    both = Neighbours(shapes).nearest(cloud * np.array([-0.25, 0.5, 0.5], np.float32))
    assert str(both.relation) == "mirrored, stretched 0.5 : 1 : 1"
    assert (both.points == image.points).all()


def test_the_mirror_image_of_a_symmetric_shape_is_not_spoken_of():
    draw = np.random.default_rng(0)
    ball = draw.normal(size=(2, 2000, 3)).astype(np.float32)
    ball /= np.linalg.norm(ball, axis=2, keepdims=True)
    for seed in range(5):
        one, other = ball[:, draw.permutation(2000)[:500]]
        assert not relate(one, other, mirrored=bool(seed % 2)).mirrored


def test_a_flat_shape_has_a_relation():
    flat = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    flat[:, 1] = 0
    thin = flat * np.array([1, 1, 0.5], np.float32)
    assert relate(thin, flat, False).stretch == pytest.approx((1, 1, 0.5), abs=0.05)


def test_shapes_of_other_splits_are_never_found():
    shapes = Shapes()
    assert all(Neighbours(shapes).nearest(shapes.clouds[k]).row % 3 for k in (0, 3, 6))


def test_a_replayed_training_shape_has_distance_zero():
    shapes = Shapes()
    assert Neighbours(shapes).nearest(shapes.clouds[7]).distance == 0


def test_a_cloud_without_a_finite_point_has_no_neighbour():
    with pytest.raises(InputError, match="no finite point"):
        Neighbours(Shapes()).nearest(np.full((5, 3), np.nan))


def test_only_what_was_learned_can_be_near():
    shapes = Shapes()
    sample = shapes.clouds[7]  # of d
    assert Neighbours(shapes, categories=("d", "gone")).nearest(sample).row == 7
    found = Neighbours(shapes, categories=("c",)).nearest(sample)
    assert found.row % 2 == 0
    assert found.distance > 0
    assert Neighbours(shapes, categories=("gone",)).nearest(sample).row == 7
