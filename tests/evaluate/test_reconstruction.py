"""Figures of reconstructions where the answer is known."""

import numpy as np
import pytest

from pcgen.distances.pairwise import chamfer_table
from pcgen.errors import InputError
from pcgen.evaluate.reconstruction import reconstruction_quality
from tests.evaluate.shapes import surfaces


def test_a_real_cloud_in_place_of_the_reconstruction_is_at_the_floor():
    seen, again, third = surfaces(20, 500, draws=3)
    found = reconstruction_quality(seen, again, third)
    assert found["cd"]["mean"] == pytest.approx(found["cd"]["floor"], rel=0.1)
    assert found["cd_ratio"] == pytest.approx(1, rel=0.1)
    assert found["f_score"]["mean"] == pytest.approx(found["f_score"]["floor"], rel=0.1)
    assert found["holes"] == pytest.approx(0.01, abs=0.01)
    assert found["outliers"] == pytest.approx(0.01, abs=0.01)


def test_the_chamfer_distance_is_the_one_of_the_metrics():
    seen, again, made = surfaces(3, 60, draws=3)
    found = reconstruction_quality(seen, again, made)
    expected = np.diagonal(chamfer_table(again, made, "kdtree")).mean()
    assert found["cd"]["mean"] == pytest.approx(expected)


def test_a_missing_half_is_a_hole_and_no_outlier():
    seen, again, made = surfaces(6, 800, draws=3)
    for cloud in made:
        upper = cloud[cloud[:, 0] > 0]
        cloud[:] = np.resize(upper, cloud.shape)
    found = reconstruction_quality(seen, again, made)
    assert 0.3 < found["holes"] < 0.5
    assert found["outliers"] < 0.03


def test_stray_points_are_outliers_and_no_hole():
    seen, again, made = surfaces(6, 500, draws=3)
    made[:, :100] += np.float32(1)
    found = reconstruction_quality(seen, again, made)
    assert 0.15 < found["outliers"] < 0.25
    assert found["holes"] < 0.04


def test_the_f_score_counts_points_within_a_hundredth_of_the_longest_side():
    line = np.zeros((1, 101, 3), np.float32)
    line[0, :, 0] = np.linspace(0, 1, 101)
    near, far = line.copy(), line.copy()
    near[..., 1] += 0.009
    far[..., 1] += 0.011
    assert reconstruction_quality(line, line, near)["f_score"]["mean"] == 1
    assert reconstruction_quality(line, line, far)["f_score"]["mean"] == 0
    larger = [5 * cloud for cloud in (line, line, far * np.float32([1, 0.9, 1]))]
    assert reconstruction_quality(*larger)["f_score"]["mean"] == 1


def test_different_numbers_of_shapes_are_refused():
    seen = surfaces(3, 10)[0]
    with pytest.raises(InputError, match="got 3 encoded, 3 again and 2 rebuilt"):
        reconstruction_quality(seen, seen, seen[:2])
