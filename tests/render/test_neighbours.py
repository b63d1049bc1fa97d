"""The nearest training shape against brute force."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from pcgen.errors import InputError
from pcgen.render.neighbours import Neighbours


class Shapes:
    """Ellipsoids as a data set: the few methods that the search calls."""

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


@pytest.mark.parametrize("row", [1, 4, 20])
def test_the_nearest_training_shape_is_that_of_brute_force(row):
    shapes = Shapes()
    sample = shapes.clouds[row] * np.float32(1.07)
    found = Neighbours(shapes).nearest(sample)
    train = [k for k in range(30) if k % 3]
    table = {k: chamfer(sample, shapes.clouds[k]) for k in train}
    best = min(table, key=table.get)
    assert found.row == best
    assert found.id == f"s{best}"
    assert found.distance == pytest.approx(table[best], rel=1e-4)
    assert (found.points == shapes.clouds[best]).all()


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
