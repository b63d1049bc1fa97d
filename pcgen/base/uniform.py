"""The uniform distribution on a box, with the mean and variances of the latents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from pcgen.base.measure import TensorMeasure
from pcgen.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True, kw_only=True)
class UniformSettings:
    """Settings of a uniform fit.

    Attributes:
        spread: half the side of the box, in standard deviations of each coordinate; with √3 the
            variances are those of the latents.
    """

    spread: float = math.sqrt(3)

    def __post_init__(self) -> None:
        if not 0 < self.spread < math.inf:
            raise InputError(f"spread must be positive and finite, got {self.spread}")


@dataclass(frozen=True, kw_only=True)
class UniformBase(TensorMeasure):
    """Uniform between ``low`` and ``high``, both (dim,) float32."""

    name: ClassVar[str] = "uniform"
    low: Tensor
    high: Tensor

    @property
    def dim(self) -> int:
        return len(self.low)

    def sample(self, count: int, generator: Generator) -> Tensor:
        if count < 0:
            raise InputError(f"the number of samples must be 0 or more, got {count}")
        u = torch.rand(count, self.dim, generator=generator, device=generator.device)
        low, high = self.low.to(u.device), self.high.to(u.device)
        return low + (high - low) * u

    def log_density(self, x: Tensor) -> Tensor:
        """Log density (n,) float64 at points (n, dim); −∞ outside the box."""
        inside = ((x >= self.low) & (x <= self.high)).all(1)
        level = -(self.high - self.low).double().log().sum()
        return torch.where(inside, level, -torch.inf)


def fit_uniform(latents: Tensor, settings: UniformSettings) -> UniformBase:
    """The box around the mean of the latents (N, dim)."""
    x = latents.double()
    mean, half = x.mean(0), settings.spread * x.std(0, correction=0)
    return UniformBase(low=(mean - half).float(), high=(mean + half).float())
