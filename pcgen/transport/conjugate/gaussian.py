"""Conjugate moment measures of Gaussians, in closed form.

ρ = N(m, Σ) is (∇w*)♯ P_w for w(x) = ½ (x − a)ᵀ Σ^{−1/3} (x − a) with a = (I + Σ^{1/3})⁻¹ m: the
base P_w is N(a, Σ^{1/3}) and the map ∇w*(z) = Σ^{1/3} z + a. (The plain moment measure would
invert the covariance: base N(0, Σ⁻¹).)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pcgen.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class GaussianConjugate:
    """The quadratic w(x) = ½ (x − centre)ᵀ covariance⁻¹ (x − centre).

    Attributes:
        centre: (dim,) float64, the mean of P_w.
        covariance: (dim, dim) float64, of P_w; also the slope of the map.
    """

    centre: Tensor
    covariance: Tensor

    @property
    def dim(self) -> int:
        return len(self.centre)

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Sample P_w, (count, dim) float32."""
        if count < 0:
            raise InputError(f"the number of samples must be 0 or more, got {count}")
        z = torch.randn(count, self.dim, generator=generator, device=generator.device).double()
        root = matrix_power(self.covariance, 0.5).to(z.device)
        return (self.centre.to(z.device) + z @ root).float()

    def push(self, z: Tensor) -> Tensor:
        """∇w*(z) at (n, dim): the map that pushes P_w to ρ."""
        return (z.double() @ self.covariance + self.centre).to(z.dtype)

    def gradient(self, x: Tensor) -> Tensor:
        """∇w(x) at (n, dim): the inverse of :meth:`push`."""
        inverse = matrix_power(self.covariance, -1)
        return ((x.double() - self.centre) @ inverse).to(x.dtype)


def conjugate_gaussian(mean: Tensor, covariance: Tensor) -> GaussianConjugate:
    """The conjugate moment measure of N(mean, covariance).

    Args:
        mean: (dim,); covariance: (dim, dim), symmetric, positive semi-definite.
    """
    mean, covariance = _checked(mean, covariance)
    third = matrix_power(covariance, 1 / 3)
    eye = torch.eye(len(mean)).to(covariance)
    return GaussianConjugate(torch.linalg.solve(eye + third, mean), third)


def matrix_power(matrix: Tensor, power: float) -> Tensor:
    """A real power of a symmetric positive semi-definite (dim, dim) matrix.

    Raises:
        InputError: the power is negative and the matrix singular.
    """
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=0)
    if power < 0 and values[0] <= 1e-14 * values[-1]:
        raise InputError("the covariance is singular; shrink it or drop constant directions")
    result: Tensor = (vectors * values.pow(power)) @ vectors.T
    return result


def _checked(mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    mean, covariance = mean.double(), covariance.double()
    dim = mean.numel()
    if mean.ndim != 1 or dim < 1 or covariance.shape != (dim, dim):
        raise InputError(
            f"mean must be (dim,) and covariance (dim, dim), got {tuple(mean.shape)} and "
            f"{tuple(covariance.shape)}"
        )
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise InputError("mean or covariance contains NaN or infinite values")
    values = torch.linalg.eigvalsh(covariance)
    if not torch.allclose(covariance, covariance.T) or values[0] < -1e-8 * values[-1].abs():
        raise InputError("the covariance must be symmetric and positive semi-definite")
    return mean, covariance
