"""Nearest training shapes and replays, against the full table and known answers."""

import numpy as np
import pytest

from pcgen.evaluate import novelty
from pcgen.evaluate.distances import chamfer_table
from pcgen.evaluate.matrix import Work
from tests.evaluate.shapes import surfaces


@pytest.mark.parametrize("backend", ["auto", "kdtree"])
def test_the_search_finds_the_minimum_of_the_full_table(backend):
    queries, training = surfaces(11, 60)[0], surfaces(50, 60, seed=1)[0]
    found = novelty.nearest_training(queries, training, Work(backend=backend))
    table = chamfer_table(queries, training, "kdtree")
    assert (found.index == table.argmin(1)).all()
    assert np.allclose(found.distance, table.min(1), rtol=1e-6)


def test_two_draws_are_pairs_of_one_shape():
    first, second = surfaces(70, 50, draws=2)
    draws = novelty.two_draw(first, second, Work())
    expected = np.diagonal(chamfer_table(first, second, "kdtree"))
    assert np.allclose(draws, expected, rtol=1e-6)


def test_a_method_that_replays_is_found_out():
    training, again, replayed = surfaces(30, 800, draws=3)
    test = surfaces(30, 800, seed=1)[0]
    draws = novelty.two_draw(training, again, Work())
    real = novelty.nearest_training(test, training, Work())
    copied = novelty.nearest_training(replayed, training, Work())
    assert novelty.replay_rate(copied, draws) > 0.8
    assert novelty.replay_rate(real, draws) < 0.3
    assert novelty.novelty_ratio(copied, real) < 0.6
    assert novelty.novelty_ratio(real, real) == 1


def test_the_replay_rate_compares_with_the_own_two_draws_of_the_nearest():
    found = novelty.Nearest(index=np.array([0, 0, 1]), distance=np.array([1.19, 1.21, 1.21]))
    assert novelty.replay_rate(found, np.array([1.0, 2.0])) == pytest.approx(2 / 3)


def test_no_ratio_when_the_test_shapes_are_training_shapes():
    zero = novelty.Nearest(index=np.zeros(3, np.int64), distance=np.zeros(3))
    assert novelty.novelty_ratio(zero, zero) is None


@pytest.mark.parametrize("backend", ["native", "kdtree"])
def test_a_query_passes_over_its_own_row(backend):
    rng = np.random.default_rng(3)
    clouds = rng.normal(size=(11, 40, 3)).astype(np.float32)
    again = clouds + 0.01 * rng.normal(size=clouds.shape).astype(np.float32)
    own = np.arange(11)
    found = novelty.nearest_training(again, clouds, Work(workers=1, backend=backend), own=own)
    table = chamfer_table(again, clouds, "kdtree")
    assert (table.argmin(1) == own).all()
    table[own, own] = np.inf
    assert (found.index == table.argmin(1)).all()
    assert np.allclose(found.distance, table.min(1), rtol=1e-5)
