"""Metrics do not depend on the order of points and shapes, or on a common motion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcgen.distances.pairwise import chamfer_table
from pcgen.evaluate import set_metrics

SEEDS = st.integers(0, 2**32 - 1)
quick = settings(max_examples=15, deadline=None)


def clouds(seed, count=6, points=24):
    random = np.random.default_rng(seed)
    return random.normal(size=(2, count, points, 3)).astype(np.float32), random


def metrics(x, y):
    within, across, other = (chamfer_table(a, b, "dense") for a, b in ((x, x), (x, y), (y, y)))
    accuracy = set_metrics.nearest_neighbour_accuracy(
        generated=within, generated_reference=across, reference=other
    )
    return {
        "nna": accuracy.overall,
        "cov": set_metrics.coverage(generated_reference=across),
        "mmd": set_metrics.minimum_matching_distance(generated_reference=across),
    }


@quick
@given(seed=SEEDS)
def test_the_order_of_points_and_shapes_does_not_matter(seed):
    (x, y), random = clouds(seed)
    shapes, points = random.permutation(x.shape[0]), random.permutation(x.shape[1])
    assert metrics(x[shapes], y) == pytest.approx(metrics(x, y), rel=1e-5)
    assert metrics(x[:, points], y) == pytest.approx(metrics(x, y), rel=1e-5)


@quick
@given(seed=SEEDS, shift=st.floats(-2, 2), power=st.integers(-3, 3), axis=st.integers(0, 2))
def test_a_common_motion_changes_nothing_and_a_scale_squares_the_distance(seed, shift, power, axis):
    (x, y), _ = clouds(seed)
    before, scale = metrics(x, y), 2.0**power
    mirror = np.ones(3, np.float32)
    mirror[axis] = -1
    after = metrics(scale * mirror * x + np.float32(shift), scale * mirror * y + np.float32(shift))
    assert after["mmd"] == pytest.approx(scale**2 * before["mmd"], rel=1e-3)
    assert (after["nna"], after["cov"]) == pytest.approx((before["nna"], before["cov"]), abs=0.17)


@quick
@given(seed=SEEDS)
def test_the_histogram_distance_is_symmetric_and_bounded(seed):
    (x, y), _ = clouds(seed)
    value = set_metrics.jensen_shannon(x, y, scale=0.2)
    assert value == pytest.approx(set_metrics.jensen_shannon(y, x, scale=0.2))
    assert 0 <= value <= 1 + 1e-12
    assert set_metrics.jensen_shannon(x, x, scale=0.2) == 0
