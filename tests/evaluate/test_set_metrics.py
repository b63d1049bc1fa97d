"""Set metrics agree with loops written from their definitions, and with known answers."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from pcgen.distances.pairwise import chamfer_table
from pcgen.errors import InputError
from pcgen.evaluate import set_metrics
from tests.evaluate.shapes import surfaces


def tables(x, y):
    return {
        "generated": chamfer_table(x, x, "kdtree"),
        "generated_reference": chamfer_table(x, y, "kdtree"),
        "reference": chamfer_table(y, y, "kdtree"),
    }


def test_1nna_is_the_leave_one_out_classifier():
    x, y = surfaces(12, 40)[0], surfaces(12, 40, seed=1)[0]
    union = np.concatenate([x, y])
    right = []
    for i in range(24):
        distances = chamfer_table(union[i : i + 1], union, "kdtree")[0]
        distances[i] = np.inf
        right.append((int(np.argmin(distances)) < 12) == (i < 12))
    found = set_metrics.nearest_neighbour_accuracy(**tables(x, y))
    assert found.overall == pytest.approx(np.mean(right), abs=1e-12)
    assert found.generated == pytest.approx(np.mean(right[:12]), abs=1e-12)
    assert found.reference == pytest.approx(np.mean(right[12:]), abs=1e-12)


def test_a_set_against_itself_covers_everything_at_no_distance():
    x = surfaces(10, 40)[0]
    found = tables(x, x)
    across = found["generated_reference"]
    assert set_metrics.coverage(generated_reference=across) == 1
    assert set_metrics.minimum_matching_distance(generated_reference=across) == 0
    assert set_metrics.nearest_neighbour_accuracy(**found).overall == 0  # the twin is always nearer
    assert set_metrics.jensen_shannon(x, x) == 0


def test_far_apart_sets_are_told_apart_always():
    x = surfaces(10, 40)[0]
    found = tables(x, x + np.float32(100))
    accuracy = set_metrics.nearest_neighbour_accuracy(**found)
    assert (accuracy.overall, accuracy.reference, accuracy.generated) == (1, 1, 1)
    assert set_metrics.coverage(generated_reference=found["generated_reference"]) <= 0.2


def test_one_replaced_shape_costs_one_shape_of_coverage():
    x = surfaces(10, 40)[0]
    changed = x.copy()
    changed[3] = x[0]
    across = chamfer_table(changed, x, "kdtree")
    own = chamfer_table(x, x, "kdtree")
    np.fill_diagonal(own, np.inf)
    assert set_metrics.coverage(generated_reference=across) == 0.9
    matching = set_metrics.minimum_matching_distance(generated_reference=across)
    assert matching == pytest.approx(own[3].min() / 10)


def test_coverage_and_matching_read_their_own_axis():
    across = np.array([[0.0, 5, 5], [1, 5, 5], [2, 4, 9]])
    assert set_metrics.coverage(generated_reference=across) == pytest.approx(1 / 3)
    assert set_metrics.minimum_matching_distance(generated_reference=across) == pytest.approx(3)


def test_a_collapse_shows_on_one_side_only():
    reference = surfaces(20, 40)[0]
    collapsed = np.repeat(reference[:1], 20, 0) + np.float32(1e-3)
    accuracy = set_metrics.nearest_neighbour_accuracy(**tables(collapsed, reference))
    assert accuracy.generated > 0.9


def test_jsd_is_scipys_on_the_same_histogram():
    x, y = surfaces(6, 50)[0] / 2, surfaces(6, 50, seed=1)[0] / 2
    step = np.array([-0.5 + i / 27 for i in range(28)])
    grid = np.array([(a, b, c) for a in step for b in step for c in step])
    grid = grid[(grid**2).sum(1) <= 0.25]
    counts = []
    for clouds in (x, y):
        points = clouds.reshape(-1, 3)
        cell = [np.square(grid - point).sum(1).argmin() for point in points]
        counts.append(np.bincount(cell, minlength=len(grid)))
    expected = jensenshannon(counts[0], counts[1], base=2) ** 2
    assert set_metrics.jensen_shannon(x, y) == pytest.approx(expected, abs=1e-9)


def test_jsd_of_clouds_in_the_unit_box_needs_its_scale():
    x, y = surfaces(6, 50)[0], surfaces(6, 50, seed=1)[0]
    right = set_metrics.jensen_shannon(x / 2, y / 2)
    assert set_metrics.jensen_shannon(x, y, scale=0.5) == pytest.approx(right)
    assert set_metrics.jensen_shannon(x, y) != pytest.approx(right, rel=0.05)


def test_unequal_sets_are_refused():
    x, y = surfaces(5, 20)[0], surfaces(4, 20)[0]
    with pytest.raises(InputError, match="same number of shapes"):
        set_metrics.nearest_neighbour_accuracy(**tables(x, y))
    with pytest.raises(InputError, match="at least 2"):
        set_metrics.nearest_neighbour_accuracy(**tables(x[:1], y[:1]))


def test_noise_of_exchangeable_sets_is_binomial_around_a_half():
    x = surfaces(80, 40)[0]
    a, b = x[:40], x[40:]
    found = tables(a, b)
    noise = set_metrics.expected_noise(
        first=found["generated"],
        first_second=found["generated_reference"],
        second=found["reference"],
        generator=np.random.default_rng(0),
    )
    assert noise.size == 40
    assert noise.nna[0] == pytest.approx(0.5, abs=0.02)
    assert 0.03 < noise.nna[1] < 0.1  # 0.39 / sqrt(40) = 0.06
    accuracy = set_metrics.nearest_neighbour_accuracy(**found).overall
    assert abs(accuracy - noise.nna[0]) < 4 * noise.nna[1]
    assert noise.minimum_matching[1] < 0.2 * noise.minimum_matching[0]


def test_half_of_the_shapes_are_symmetric():
    rng = np.random.default_rng(0)
    clouds = rng.uniform(-1, 1, (8, 1024, 3))
    clouds[..., 1] *= 1 + 0.9 * clouds[..., 2]  # in x alone
    clouds[4:, :, 1] += clouds[4:, :, 0]
    clouds[4:, :, 2] += 0.7 * clouds[4:, :, 0]
    assert set_metrics.symmetry_rate(clouds.astype(np.float32)) == 0.5
