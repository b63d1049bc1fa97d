"""Maps between Gaussians: the Bures map in closed form, in any dimension, full or low rank.

For N(m₀, S₀) → N(m₁, S₁) the optimal map is x ↦ m₁ + A (x - m₀) with
A = S₀^{-½} (S₀^{½} S₁ S₀^{½})^{½} S₀^{-½}, and W₂² = |m₀ - m₁|² + tr S₀ + tr S₁ - 2 tr (…)^{½}.
With factors S = F Fᵀ of few columns all matrices are smaller: if F₁ᵀ F₀ = U Σ Vᵀ, the coupling of
x = m₀ + F₀ z with y = m₁ + F₁ U Vᵀ z is optimal, and the trace is that of Σ (the nuclear norm). It
is a map if the rank of the source is at least that of the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pcgen.errors import InputError, TransportError

Array = NDArray[np.float64]

# Singular values below this share of the largest count as zero.
RANK_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class GaussianMeasure:
    """N(mean, factor factorᵀ), a source.

    Attributes:
        mean: (dim,) float64; factor: (dim, rank) float64.
    """

    mean: Tensor
    factor: Tensor
    name = "gaussian-measure"

    def __post_init__(self) -> None:
        for name in ("mean", "factor"):
            value = torch.as_tensor(getattr(self, name)).double()
            if not torch.isfinite(value).all():
                raise InputError(f"the {name} contains NaN or infinite values")
            object.__setattr__(self, name, value)
        if self.mean.ndim != 1 or self.factor.ndim != 2 or len(self.factor) != len(self.mean):
            raise InputError(
                "mean must be (dim,) and factor (dim, rank), got "
                f"{tuple(self.mean.shape)} and {tuple(self.factor.shape)}"
            )

    @classmethod
    def of_covariance(cls, mean: Any, covariance: Any) -> GaussianMeasure:
        """From a covariance (dim, dim), symmetric and positive semi-definite.

        Raises:
            InputError: it is not symmetric, or an eigenvalue is clearly negative.
        """
        covariance = torch.as_tensor(covariance).double()
        scale = covariance.abs().max().clamp(min=1e-300)
        if (covariance - covariance.T).abs().max() > 1e-8 * scale:
            raise InputError("a covariance must be symmetric")
        values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
        if values[0] < -1e-8 * scale:
            raise InputError(
                f"a covariance must not have negative eigenvalues, got {values[0]:.3g}"
            )
        return cls(torch.as_tensor(mean), vectors * values.clamp(min=0).sqrt())

    @property
    def dim(self) -> int:
        """The dimension of the space."""
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """(dim, dim)."""
        return self.factor @ self.factor.T

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Sample (count, dim) float32."""
        z = torch.randn(count, self.factor.shape[1], generator=generator, device=generator.device)
        return (self.mean + z.double() @ self.factor.T).float()


def bures_squared(source: GaussianMeasure, target: GaussianMeasure) -> float:
    """W₂² between two Gaussians of any rank."""
    shared = torch.linalg.svdvals(target.factor.T @ source.factor).sum()
    total = source.factor.square().sum() + target.factor.square().sum() - 2 * shared
    result: float = ((source.mean - target.mean).square().sum() + total.clamp(min=0)).item()
    return result


@dataclass(frozen=True, eq=False)
class GaussianMap:
    """The optimal map between two Gaussians, x ↦ m₁ + A (x - m₀), and its potential.

    Raises:
        TransportError: the source has a lower rank than the target or lacks some of its
            directions, so there is no map, only a coupling.
    """

    source: GaussianMeasure
    target: GaussianMeasure

    def __post_init__(self) -> None:
        if self.source.dim != self.target.dim:
            raise InputError(
                f"source and target must have the same dimension, got {self.source.dim} and "
                f"{self.target.dim}"
            )
        missing = _rank(self.target.factor) > _rank(self.target.factor.T @ self.source.factor)
        if missing:
            raise TransportError(
                "no optimal map exists: the source has no extent in some direction of the target; "
                "add a small isotropic part to the source's covariance"
            )

    @cached_property
    def _parts(self) -> tuple[Tensor, Tensor]:
        """A = left right with left (dim, r) and right (r, dim), where r is the smaller rank."""
        u, _, vt = torch.linalg.svd(self.target.factor.T @ self.source.factor, full_matrices=False)
        inverse = torch.linalg.pinv(self.source.factor, rtol=RANK_TOLERANCE)
        return self.target.factor @ u, vt @ inverse

    @cached_property
    def matrix(self) -> Tensor:
        """A, (dim, dim): symmetric on the range of the source's covariance."""
        left, right = self._parts
        return left @ right

    def gradient(self, x: Tensor) -> Tensor:
        """The map at (n, dim); costs n · dim · rank."""
        left, right = self._parts
        moved = (x.double() - self.source.mean) @ right.T @ left.T
        return (moved + self.target.mean).to(x.dtype)

    def value(self, x: Tensor) -> Tensor:
        """½ (x - m₀)ᵀ A (x - m₀) + ⟨m₁, x⟩ at (n, dim), as (n,) float64."""
        centred = x.double() - self.source.mean
        bent = self.gradient(x.double()) - self.target.mean
        return 0.5 * (centred * bent).sum(1) + x.double() @ self.target.mean

    def conjugate(self, y: Tensor) -> Tensor:
        """½ (y - m₁)ᵀ A⁺ (y - m₁) + ⟨m₀, y - m₁⟩, +inf off the range of A, (n,) float64."""
        centred = y.double() - self.target.mean
        inverse = torch.linalg.pinv(self.matrix, rtol=RANK_TOLERANCE)
        back = centred @ inverse.T
        off = (back @ self.matrix.T - centred).norm(dim=1) > 1e-8 * (1 + centred.norm(dim=1))
        value = 0.5 * (centred * back).sum(1) + centred @ self.source.mean
        return torch.where(off, torch.inf, value)


def bures_matrix(source: Array, target: Array) -> Array:
    """A of the map between covariances (dim, dim), the source's positive definite."""
    zero = np.zeros(len(source))
    between = GaussianMap(
        GaussianMeasure.of_covariance(zero, source), GaussianMeasure.of_covariance(zero, target)
    )
    matrix = between.matrix.numpy()
    result: Array = (matrix + matrix.T) / 2
    return result


def _rank(matrix: Tensor) -> int:
    values = torch.linalg.svdvals(matrix)
    return int((values > RANK_TOLERANCE * values.amax().clamp(min=1e-300)).sum())
