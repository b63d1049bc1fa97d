"""Orders of convergence as slopes, and exactness where the path is straight."""

import itertools
import math

import pytest
import torch

from pcgen.errors import InputError
from pcgen.flow.characteristic import characteristic_map
from pcgen.flow.integrate import characteristic_trajectory, trajectory


def gaussian_velocity(x, t):
    """A flow from N(0, 1) to N(0, 9) that is curved in time: x(t) = 3^t x(0)."""
    return math.log(3) * x


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2)])
def test_the_error_falls_with_the_order_of_the_method(method, order):
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    errors = []
    for steps in (16, 32, 64):
        *_, end = trajectory(gaussian_velocity, x, steps=steps, method=method)
        errors.append((end - 3 * x).abs().max().item())
    slopes = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert all(slope == pytest.approx(order, abs=0.1) for slope in slopes)


@pytest.mark.parametrize("method", ["euler", "heun"])
def test_one_step_is_exact_on_a_constant_velocity(method):
    x = torch.randn(5, 3)
    *_, end = trajectory(lambda x, t: torch.ones_like(x), x, steps=1, method=method)
    assert torch.allclose(end, x + 1)


def test_a_trajectory_yields_every_time():
    assert len(list(trajectory(gaussian_velocity, torch.ones(2, 1), steps=5))) == 6


def test_exact_characteristics_give_the_same_end_for_any_number_of_steps():
    def slope(x, t, s):
        grown = x * (3 ** (s - t))[:, None]
        return (grown - x) / (s - t).clamp_min(1e-12)[:, None]

    x = torch.randn(6, 1, dtype=torch.float64)
    for steps in (1, 2, 7):
        *_, end = characteristic_trajectory(
            lambda *a: characteristic_map(slope, *a), x, steps=steps
        )
        assert torch.allclose(end, 3 * x)


def test_zero_steps_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        next(trajectory(gaussian_velocity, torch.ones(1, 1), steps=0))


def test_an_unknown_method_is_named():
    with pytest.raises(InputError, match="'rk4'"):
        next(trajectory(gaussian_velocity, torch.ones(1, 1), steps=1, method="rk4"))
