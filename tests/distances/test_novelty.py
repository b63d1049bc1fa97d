"""Nearest training shapes and replays agree with the full table and known answers."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from pcgen.distances import novelty
from pcgen.distances.pairwise import chamfer_table
from pcgen.distances.tables import Work
from pcgen.errors import InputError
from pcgen.shapes.normalise import proportion_free
from tests.evaluate.shapes import blobs, surfaces


@pytest.mark.parametrize("backend", ["auto", "kdtree"])
def test_the_search_finds_the_minimum_of_the_full_table(backend):
    queries, training = surfaces(11, 60)[0], surfaces(50, 60, seed=1)[0]
    found = novelty.nearest_training(queries, training, Work(backend=backend))
    table = chamfer_table(queries, training, "kdtree")
    assert (found.index == table.argmin(1)).all()
    assert np.allclose(found.distance, table.min(1), rtol=1e-6)


def test_two_draws_are_pairs_of_one_shape():
    first, second = surfaces(70, 50, draws=2)
    draws = novelty.two_draw_distances(first, second, Work())
    expected = np.diagonal(chamfer_table(first, second, "kdtree"))
    assert np.allclose(draws, expected, rtol=1e-6)


def test_a_method_that_replays_is_found_out():
    training, again, replayed = surfaces(30, 800, draws=3)
    test = surfaces(30, 800, seed=1)[0]
    draws = novelty.two_draw_distances(training, again, Work())
    real = novelty.nearest_training(test, training, Work())
    copied = novelty.nearest_training(replayed, training, Work())
    assert novelty.replays(copied, draws).mean() > 0.8
    assert novelty.replays(real, draws).mean() < 0.3
    assert novelty.novelty_ratio(copied, real) < 0.6
    assert novelty.novelty_ratio(real, real) == 1


def test_the_replay_rate_compares_with_the_own_two_draws_of_the_nearest():
    found = novelty.Nearest(index=np.array([0, 0, 1]), distance=np.array([1.19, 1.21, 1.21]))
    assert novelty.replays(found, np.array([1.0, 2.0])).mean() == pytest.approx(2 / 3)


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


def measured(clouds, *sets):
    return novelty.NoveltyIndex(*sets).of(clouds)


def brute_force(queries, training, own=None):
    """Rows, mirroring and distances of the nearest, by trees for every pair and mirror image.

    Shares nothing with the search.
    """
    table = np.empty((len(queries), 2, len(training)))
    for i, query in enumerate(queries):
        for image, sign in enumerate((1, -1)):
            for j, shape in enumerate(training * np.array([sign, 1, 1], np.float32)):
                there, back = cKDTree(shape).query(query)[0], cKDTree(query).query(shape)[0]
                table[i, image, j] = (there**2).mean() + (back**2).mean()
        if own is not None:
            table[i, :, own[i]] = np.inf
    flat = table.reshape(len(queries), -1)
    best = flat.argmin(1)
    return best % len(training), best >= len(training), flat.min(1)


@pytest.mark.parametrize("backend", ["native", "kdtree", "dense"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_search_with_mirrors_is_that_of_brute_force(backend, seed):
    queries, training = blobs(12, seed=seed)[0], blobs(70, seed=seed + 10)[0]
    queries[6:] = training[3:9] + 0.02 * np.random.default_rng(0).normal(size=(6, 80, 3))
    queries[9:] *= novelty.MIRROR
    work = Work(backend=backend)
    found = novelty.nearest_training(queries, training, work, mirrors=True)
    index, mirrored, distance = brute_force(queries, training)
    assert (found.index == index).all()
    assert (found.mirrored == mirrored).all()
    assert np.allclose(found.distance, distance, rtol=1e-5)
    assert found.index[6:].tolist() == [3, 4, 5, 6, 7, 8]
    assert found.mirrored[6:].tolist() == [False] * 3 + [True] * 3


@pytest.mark.parametrize("frame", ["box", "proportion_free"])
def test_novelty_in_both_frames_is_that_of_brute_force(frame):
    training, again = blobs(40, draws=2)
    real, clouds = blobs(15, seed=1)[0], blobs(10, seed=2)[0]
    clouds[:5] = again[:5] * np.array([0.8, 1.1, -0.6], np.float32)
    found = measured(clouds, training, again, real)[frame]

    def framed(sets):
        low, high = sets.min(1, keepdims=True), sets.max(1, keepdims=True)
        side = high - low
        longest = side.max(2, keepdims=True)
        side = longest if frame == "box" else np.maximum(side, 0.1 * longest)
        return (sets - (low + high) / 2) / (side / 2)

    one, two = framed(training), framed(again)
    draws = np.array([brute_force(a[None], b[None])[2][0] for a, b in zip(one, two, strict=True)])
    plain = np.diagonal(chamfer_table(one, two, "kdtree"))
    assert (draws <= plain + 1e-9).all()
    mine, theirs = (brute_force(framed(sets), one) for sets in (clouds, real))
    assert (found.found.index == mine[0]).all()
    assert found.novelty_ratio == pytest.approx(np.median(mine[2]) / np.median(theirs[2]), rel=1e-4)
    assert found.replay_rate == (mine[2] < 1.2 * plain[mine[0]]).mean()
    assert found.reference_replays.mean() == (theirs[2] < 1.2 * plain[theirs[0]]).mean()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param([1, 0.5, 0.8], id="stretched"),
        pytest.param([-1, 1, 1], id="mirrored"),
        pytest.param([-1, 0.5, 0.8], id="stretched and mirrored"),
    ],
)
def test_copies_are_found_out_without_proportions(change):
    training, again, copied = blobs(30, 300, draws=3)
    found = measured(copied * np.float32(change), training, again, blobs(30, 300, seed=1)[0])
    free, box = found["proportion_free"], found["box"]
    assert (free.found.index == np.arange(30)).all()
    assert (free.found.mirrored == (change[0] < 0)).all()
    assert free.replay_rate > 0.7  # two draws of such a cloud differ by their boxes too
    assert free.novelty_ratio < 0.5
    assert free.reference_replays.mean() == 0
    if change[1] < 1:
        assert box.replay_rate == 0  # in the box they pass for new
    else:
        assert box.replay_rate > 0.7


def test_flat_shapes_are_compared_where_they_have_extent():
    training, again = blobs(20, 200, draws=2) * np.array([1, 0, 1], np.float32)
    stretched = again * np.array([1, 1, 0.4], np.float32)
    found = measured(stretched, training, again)["proportion_free"]
    assert np.isfinite(found.found.distance).all()
    assert (found.found.index == np.arange(20)).all()
    assert found.replay_rate > 0.9


def test_a_shape_with_one_place_has_a_frame():
    points = np.full((2, 5, 3), 0.7, np.float32)
    assert (proportion_free(points) == 0).all()


def test_one_training_shape_is_the_nearest_of_all():
    training, again = blobs(1, draws=2)
    found = measured(blobs(4, seed=1)[0], training, again, blobs(3, seed=2)[0])
    assert (found["box"].found.index == 0).all()
    with pytest.raises(InputError, match="second training shape"):
        measured(blobs(4, seed=1)[0], training, again)  # nothing stands for nature


def test_of_duplicates_the_first_is_found_as_it_is():
    shape = blobs(1)[0]
    both = np.concatenate([shape, shape * novelty.MIRROR])  # together their own mirror image
    symmetric = both.reshape(1, -1, 3)
    training = np.concatenate([blobs(3, 160, seed=4)[0], symmetric, symmetric])
    found = novelty.nearest_training(symmetric, training, Work(), mirrors=True)
    assert (found.index[0], found.mirrored[0], found.distance[0]) == (3, False, 0)


@pytest.mark.parametrize("points", [1, 2, 3])
def test_clouds_of_few_points_are_searched_too(points):
    queries, training = blobs(5, points)[0], blobs(30, points, seed=1)[0]
    found = novelty.nearest_training(queries, training, Work(), mirrors=True)
    index, _, distance = brute_force(queries, training)
    assert (found.index == index).all()
    assert np.allclose(found.distance, distance, rtol=1e-4, atol=1e-7)


def test_a_large_set_is_searched_in_parts(monkeypatch):
    queries, training = blobs(9)[0], blobs(41, seed=1)[0]
    own = np.array([0, 40, 20, 21, 13, 14, -1, -1, 5])
    queries[:6] = training[own[:6]]
    training[33] = training[2]  # the first of equals counts, in whichever part
    queries[6] = training[2]
    whole = novelty.nearest_training(queries, training, Work(), own=own, mirrors=True)
    monkeypatch.setattr(novelty, "PART", 8)
    parts = novelty.nearest_training(queries, training, Work(), own=own, mirrors=True)
    assert (parts.index == whole.index).all()
    assert (parts.mirrored == whole.mirrored).all()
    assert (parts.distance == whole.distance).all()
    assert parts.index[6] == 2
    assert (parts.index[:6] != own[:6]).all()


def test_most_pairs_are_never_compared(monkeypatch):
    compared = []
    spent = novelty._distances

    def counted(query, clouds, backend, limit):
        compared.append(len(clouds))
        return spent(query, clouds, backend, limit)

    monkeypatch.setattr(novelty, "_distances", counted)
    queries, training = blobs(10, 200)[0], blobs(400, 200, seed=1)[0]
    novelty.nearest_training(queries, training, Work(), mirrors=True)
    assert sum(compared) < 0.2 * 10 * 2 * 400


def test_without_unseen_shapes_training_shapes_stand_for_nature():
    training, again = blobs(30, 200, draws=2)
    found = measured(again, training, again)["box"]
    _, _, distance = brute_force(novelty.in_box(again), novelty.in_box(training), np.arange(30))
    assert np.allclose(found.reference.distance, distance, rtol=1e-4)
    assert found.replay_rate == 1
    assert measured(again, training)["box"].replay_rate is None


def test_sketches_of_a_large_training_set_are_made_once(monkeypatch):
    made = []
    sketched = novelty.sketched
    monkeypatch.setattr(novelty, "sketched", lambda part: made.append(len(part)) or sketched(part))
    monkeypatch.setattr(novelty, "PART", 8)
    training, again = blobs(20, 200, draws=2)
    index = novelty.NoveltyIndex(training, again, frames={"as given": novelty.as_given})
    first, second = (index.of(again)["as given"].found for _ in range(2))
    assert made == [6, 7, 7]
    assert (first.distance == second.distance).all()
    monkeypatch.setattr(novelty, "KEPT", 10)  # then they are made anew
    index = novelty.NoveltyIndex(training, again, frames={"as given": novelty.as_given})
    assert (index.of(again)["as given"].found.distance == first.distance).all()
    assert made == [6, 7, 7] * 3
