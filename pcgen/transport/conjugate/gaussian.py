"""Conjugate moment measures of Gaussians: the closed form, and the iteration it serves to test.

ρ = N(m, Σ) is (∇w*)♯ P_w for w(x) = ½ (x − a)ᵀ Σ^{−1/3} (x − a) with a = (I + Σ^{1/3})⁻¹ m: the
base P_w is N(a, Σ^{1/3}) and the map ∇w*(z) = Σ^{1/3} z + a. (The plain moment measure would
invert the covariance: base N(0, Σ⁻¹).)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pcgen.errors import InputError
from pcgen.transport.conjugate.iteration import (
    IterationStatus,
    check_damping,
    damping_rule,
    iteration_status,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor


ROUNDING = 1e-10
"""A residual below this share of the problem's size has not diverged."""


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


@dataclass(frozen=True)
class GaussianIteration:
    """The result of the fixed-point iteration, with evidence.

    Attributes:
        measure: the last iterate.
        residuals: (E_ρ |∇w_k − ∇G(w_k)|²)^{1/2} of each iterate.
        dampings: η of each step.
        status: why it stopped.
    """

    measure: GaussianConjugate
    residuals: tuple[float, ...]
    dampings: tuple[float, ...]
    status: IterationStatus


def iterate_gaussian(
    mean: Tensor,
    covariance: Tensor,
    *,
    start: GaussianConjugate | None = None,
    damping: float | None = None,
    tolerance: float = 1e-12,
    max_steps: int = 500,
) -> GaussianIteration:
    """Iterate w ← (1 − η) w + η G(w) on Gaussians, where G(w) is known exactly.

    Args:
        start: the first iterate, by default N(0, I).
        damping: η, or None for :func:`damping_rule` of the current Cov(P_w).
    """
    check_damping(damping)
    mean, covariance = _checked(mean, covariance)
    # Residuals end at the rounding errors of slopes and shifts, which fluctuate.
    noise = ROUNDING * float((mean.square().sum() + covariance.trace() + len(mean)).sqrt())
    root, inverse_root = matrix_power(covariance, 0.5), matrix_power(covariance, -0.5)
    eye = torch.eye(len(mean), dtype=torch.float64)
    w = start or GaussianConjugate(torch.zeros_like(mean), eye)
    residuals: list[float] = []
    dampings: list[float] = []
    status = None
    while status is None:
        hessian = torch.linalg.inv(w.covariance)
        slope = inverse_root @ matrix_power(root @ w.covariance @ root, 0.5) @ inverse_root
        # ∇w_k and ∇G at x are hessian (x − centre) and centre + slope (x − mean).
        shift = hessian @ (mean - w.centre) - w.centre
        spread = ((hessian - slope) @ covariance @ (hessian - slope)).trace()
        residuals.append(float((shift.square().sum() + spread.clamp(min=0)).sqrt()))
        status = iteration_status(residuals, tolerance, noise=noise)
        if status is not None or len(residuals) > max_steps:
            break
        values = torch.linalg.eigvalsh(w.covariance)
        eta = damping or damping_rule(float(values[0].clamp(min=0)), float(values[-1]))
        dampings.append(eta)
        mixed = (1 - eta) * hessian + eta * slope
        offset = (1 - eta) * hessian @ w.centre + eta * (slope @ mean - w.centre)
        w = GaussianConjugate(torch.linalg.solve(mixed, offset), torch.linalg.inv(mixed))
    return GaussianIteration(
        w, tuple(residuals), tuple(dampings), status or IterationStatus.EXHAUSTED
    )


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
