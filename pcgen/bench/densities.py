"""The 2D densities on which generative models are usually compared, as samplers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor


def _ring(count: int, generator: Generator) -> Tensor:
    angle = torch.randint(8, (count,), generator=generator) * (math.pi / 4)
    centres = 4 * torch.stack([angle.cos(), angle.sin()], 1)
    return centres + 0.2 * torch.randn(count, 2, generator=generator)


def _lattice(count: int, generator: Generator) -> Tensor:
    centres = 2.0 * (torch.randint(5, (count, 2), generator=generator) - 2)
    return centres + 0.1 * torch.randn(count, 2, generator=generator)


def _checkerboard(count: int, generator: Generator) -> Tensor:
    column = torch.randint(4, (count,), generator=generator)
    row = 2 * torch.randint(2, (count,), generator=generator) + column % 2
    corner = torch.stack([column, row], 1).float() - 2
    return corner + torch.rand(count, 2, generator=generator)


def _swiss_roll(count: int, generator: Generator) -> Tensor:
    angle = 1.5 * math.pi * (1 + 2 * torch.rand(count, generator=generator))
    roll = torch.stack([angle * angle.cos(), angle * angle.sin()], 1)
    return roll / 5 + 0.06 * torch.randn(count, 2, generator=generator)


def _moons(count: int, generator: Generator) -> Tensor:
    angle = math.pi * torch.rand(count, generator=generator)
    upper = torch.stack([angle.cos(), angle.sin()], 1)
    lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    first = torch.rand(count, 1, generator=generator) < 0.5
    return torch.where(first, upper, lower) + 0.05 * torch.randn(count, 2, generator=generator)


# name -> draws of (count, 2) float32
DENSITIES: dict[str, Callable[[int, Generator], Tensor]] = {
    "8-gaussians": _ring,
    "25-gaussians": _lattice,
    "checkerboard": _checkerboard,
    "swiss-roll": _swiss_roll,
    "two-moons": _moons,
}
