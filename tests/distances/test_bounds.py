"""Lower bounds of Chamfer distances, compared with the distances."""

import numpy as np
import pytest

from pcgen.distances.bounds import lower_bounds, sketch
from pcgen.distances.pairwise import chamfer_table
from tests.evaluate.shapes import surfaces

MIRROR = np.array([-1, 1, 1], np.float32)


def clouds(kind, seed):
    rng = np.random.default_rng(seed)
    if kind == "surfaces":
        return surfaces(20, 100, seed=seed)[0]
    if kind == "one point":
        return rng.uniform(-1, 1, (20, 1, 3)).astype(np.float32)
    if kind == "corners":
        return rng.choice([-1.0, 1.0], (20, 30, 3)).astype(np.float32)
    if kind == "flat":
        return (rng.uniform(-1, 1, (20, 50, 3)) * [1, 0, 1]).astype(np.float32)
    return (20 * rng.normal(size=(20, 40, 3))).astype(np.float32)  # most of it outside the grid


@pytest.mark.parametrize("kind", ["surfaces", "one point", "corners", "flat", "scattered"])
@pytest.mark.parametrize("scale", [1.0, 0.3, 40.0])
def test_no_bound_is_above_its_distance(kind, scale):
    x, y = clouds(kind, 0), clouds(kind, 1)
    found = lower_bounds(sketch(x, scale), sketch(y, scale), mirrors=True)
    assert (found[..., 0] <= chamfer_table(x, y, "kdtree")).all()
    assert (found[..., 1] <= chamfer_table(x, y * MIRROR, "kdtree")).all()


def test_bounds_of_different_shapes_are_close_to_the_distances():
    x, y = surfaces(20, 400)[0], surfaces(20, 400, seed=1)[0] + np.float32(0.5)
    found = lower_bounds(sketch(x, 2), sketch(y, 2), mirrors=False)[..., 0]
    assert np.median(found / chamfer_table(x, y, "kdtree")) > 0.5


def test_a_copy_is_never_ruled_out():
    x = surfaces(20, 100)[0]
    found = lower_bounds(sketch(x), sketch(x), mirrors=True)
    assert (np.diagonal(found[..., 0]) <= 0).all()
