"""Losses of the teacher and of the one-step student.

Source of the student: Ding et al., arXiv 2405.05512, section on characteristic fitting. There t = 0
is data and the noise is Gaussian; here t = 0 is the base and the path is linear, because the
identities of the Föllmer path only hold for Gaussian noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from pcgen.batch_random import mine, whole
from pcgen.errors import InputError
from pcgen.flow.integrate import heun
from pcgen.runtime import staged

# F(x, t, s) with its condition bound; t and s are (batch,).
MeanVelocity = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class StudentSettings:
    """The time grid, and how far the teacher integrates.

    Attributes:
        grid: number of intervals of [0, 1] between the possible values of t, u and s.
        teacher_steps: at most this many Heun steps of the teacher before the student takes over.
        whole: share of the batch that trains the jump from 0 to 1, which sampling uses.
    """

    grid: int = 16
    teacher_steps: int = 2
    whole: float = 0.25

    def __post_init__(self) -> None:
        if self.grid < 1 or self.teacher_steps < 1 or not 0 <= self.whole <= 1:
            raise InputError("student needs grid >= 1, teacher_steps >= 1 and 0 <= whole <= 1")


def characteristic_map(slope: MeanVelocity, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """G(x, t, s) = x + (s − t) F(x, t, s); exactly x if s equals t."""
    return x + _like(s - t, x) * slope(x, t, s)


def velocity_of(slope: MeanVelocity) -> Callable[[Tensor, Tensor], Tensor]:
    """The teacher's velocity: the diagonal of F."""
    return lambda x, t: slope(x, t, t)


def matching_loss(slope: MeanVelocity, start: Tensor, end: Tensor, generator: Generator) -> Tensor:
    """Flow matching on the straight line: mean |F(x_t, t, t) − (x₁ − x₀)|².

    Args:
        start, end: (batch, ...) coupled points of base and data.
    """
    _check_pairs(start, end)
    t = mine(torch.rand(whole(len(start), generator), generator=generator), generator)
    t = staged(t.to(start.dtype), start.device)
    x = torch.lerp(start, end, _like(t, start))
    return (slope(x, t, t) - (end - start)).square().mean()


def semigroup_loss(
    student: MeanVelocity,
    target: MeanVelocity,
    teacher: MeanVelocity,
    start: Tensor,
    end: Tensor,
    settings: StudentSettings,
    generator: Generator,
) -> Tensor:
    """The error of the student's jump t → s against the teacher's t → u, then a jump u → s.

    Args:
        target: the student's moving average, which takes the jump u → s; no gradient.
        start, end: (batch, ...) coupled points of base and data; x is on the path between them.
    """
    _check_pairs(start, end)
    batch, grid = whole(len(start), generator), settings.grid
    low = torch.randint(0, grid, (batch,), generator=generator)
    high = low + 1 + (torch.rand(batch, generator=generator) * (grid - low)).long()
    longest = torch.rand(batch, generator=generator) < settings.whole
    low, high = low.where(~longest, 0), high.where(~longest, grid)
    walk = torch.randint(1, settings.teacher_steps + 1, (batch,), generator=generator)
    low, high, walk = (mine(drawn, generator) for drawn in (low, high, walk))
    middle = torch.minimum(low + walk, high)
    times = (torch.stack([low, high, middle]) / grid).to(start.dtype)
    t, s, middle = staged(times, start.device).unbind()
    x = torch.lerp(start, end, _like(t, start))
    with torch.no_grad():
        there, velocity = x, velocity_of(teacher)
        for step in range(settings.teacher_steps):
            now = torch.minimum(t + step / grid, middle)
            there = heun(velocity, there, now, torch.minimum(now + 1 / grid, middle))
        goal = characteristic_map(target, there, middle, s)
        slope = (goal - x) / _like(s - t, x)
    return (student(x, t, s) - slope).square().mean()


def _check_pairs(start: Tensor, end: Tensor) -> None:
    """Require one base point per data point: a smaller shape would be broadcast silently."""
    if start.shape != end.shape:
        raise InputError(
            "start and end must have the same shape, "
            f"got {tuple(start.shape)} and {tuple(end.shape)}"
        )


def _like(t: Tensor, x: Tensor) -> Tensor:
    return t.view(-1, *[1] * (x.ndim - 1))
