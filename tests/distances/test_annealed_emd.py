"""The two annealed variants agree with a float64 port, written from the recursion alone."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from pcgen.distances.annealed_emd import VARIANTS, annealed_table
from pcgen.errors import InputError
from pcgen.kernels import backends
from tests.evaluate.shapes import surfaces

BACKENDS = [
    "dense",
    pytest.param(
        "native", marks=pytest.mark.skipif(not backends.native_usable(), reason="no compiler")
    ),
]


def port(x, y, exponents, power):
    """Scalar loops in float64, one point at a time: slow and simple."""
    n = len(x)
    d = cdist(x.astype(np.float64), y.astype(np.float64))
    left, right = [1.0] * n, [1.0] * n
    match = np.zeros((n, n))
    for level in exponents:
        e = np.exp(level * d * d)
        ratio_left = [
            left[k] / (1e-9 + sum(e[k, j] * right[j] for j in range(n))) for k in range(n)
        ]
        ratio_right, next_right = [], []
        for j in range(n):
            total = sum(e[k, j] * ratio_left[k] for k in range(n)) * right[j]
            ratio_right.append(min(right[j] / (total + 1e-9), 1.0) * right[j])
            next_right.append(max(0.0, right[j] - total))
        right = next_right
        for k in range(n):
            given = e[k] * ratio_left[k] * np.array(ratio_right)
            match[k] += given
            left[k] = max(0.0, left[k] - given.sum())
    return (match * d**power).sum() / n


def expected(x, y, variant):
    levels = [-(4.0**j) for j in range(7, -2, -1)]
    if variant == "emd_pytorchemd":
        return port(x, y, [*levels, 0.0], 2)
    return port(x, y, levels, 1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_both_variants_follow_the_recursion(variant, backend):
    x, y = surfaces(2, 40)[0], surfaces(3, 40, seed=1)[0]
    table = annealed_table(x, y, variant, backend)
    port_table = [[expected(a, b, variant) for b in y] for a in x]
    assert np.allclose(table, port_table, rtol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_variants_are_different_figures(backend):
    x, y = surfaces(1, 60)[0], surfaces(1, 60, seed=1)[0]
    values = [annealed_table(x, y, variant, backend).item() for variant in VARIANTS]
    assert abs(values[0] - values[1]) > 0.1 * max(values)


@pytest.mark.parametrize("backend", BACKENDS)
def test_neither_variant_is_below_the_optimal_assignment(backend):
    x, y = surfaces(1, 80)[0], surfaces(1, 80, seed=1)[0]
    for variant, power in (("emd_pointflow", 1), ("emd_pytorchemd", 2)):
        cost = cdist(x[0], y[0]) ** power
        best = cost[linear_sum_assignment(cost)].mean()
        assert annealed_table(x, y, variant, backend).item() > 0.99 * best


def test_the_roles_of_the_clouds_are_not_symmetric():
    x, y = surfaces(1, 60)[0], surfaces(1, 60, seed=1)[0]
    there = annealed_table(x, y, "emd_pointflow", "dense").item()
    back = annealed_table(y, x, "emd_pointflow", "dense").item()
    assert there != back
    assert there == pytest.approx(back, rel=0.05)


def test_clouds_of_different_sizes_are_refused():
    with pytest.raises(InputError, match="got 40 and 30 points"):
        annealed_table(surfaces(1, 40)[0], surfaces(1, 30)[0], "emd_pointflow", "dense")
