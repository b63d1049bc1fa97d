"""The fixed-point iteration within Gaussians, where each step is known exactly.

The network takes the same steps on samples, with the same damping and convergence tests.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pcgen.transport.conjugate.gaussian import GaussianConjugate, matrix_power
from pcgen.transport.conjugate.iteration import IterationStatus, damping_rule, iteration_status

ROUNDING = 1e-10
"""A residual below this share of the problem's size has not diverged."""


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
    mean, covariance = mean.double(), covariance.double()
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
