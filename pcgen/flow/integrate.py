"""Integration from t = 0 to t = 1 in a given number of steps, by a velocity or a student."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from pcgen.errors import InputError

# v(x, t) with t (batch,), and G(x, t, s) with t and s (batch,).
Velocity = Callable[[Tensor, Tensor], Tensor]
Characteristic = Callable[[Tensor, Tensor, Tensor], Tensor]


def euler(velocity: Velocity, x: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
    """One step of order 1; one evaluation."""
    return x + _like(t_next - t, x) * velocity(x, t)


def heun(velocity: Velocity, x: Tensor, t: Tensor, t_next: Tensor) -> Tensor:
    """One step of order 2; two evaluations."""
    first = velocity(x, t)
    step = _like(t_next - t, x)
    second = velocity(x + step * first, t_next)
    return x + step * 0.5 * (first + second)


STEPPERS = {"euler": euler, "heun": heun}


def trajectory(
    velocity: Velocity, x: Tensor, *, steps: int, method: str = "euler"
) -> Iterator[Tensor]:
    """Yield x at t = 0, 1/steps, ..., 1 under the flow of ``velocity``."""
    _check(steps)
    if method not in STEPPERS:
        raise InputError(f"method must be one of {', '.join(STEPPERS)}, got {method!r}")
    for t, t_next in _grid(x, steps):
        yield x
        x = STEPPERS[method](velocity, x, t, t_next)
    yield x


def characteristic_trajectory(
    characteristic: Characteristic, x: Tensor, *, steps: int
) -> Iterator[Tensor]:
    """Yield x at t = 0, 1/steps, ..., 1, each from the previous one by G(x, t, t_next)."""
    _check(steps)
    for t, t_next in _grid(x, steps):
        yield x
        x = characteristic(x, t, t_next)
    yield x


def _grid(x: Tensor, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
    times = torch.linspace(0, 1, steps + 1, device=x.device, dtype=x.dtype)
    for start, stop in itertools.pairwise(times.unbind()):
        yield start.expand(len(x)), stop.expand(len(x))


def _like(t: Tensor, x: Tensor) -> Tensor:
    return t.view(-1, *[1] * (x.ndim - 1))


def _check(steps: int) -> None:
    if steps < 1:
        raise InputError(f"steps must be at least 1, got {steps}")
