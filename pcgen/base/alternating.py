"""The alternating fit of a Gaussian base: dual steps for the map, then a damped base step.

Our reconstruction of Base Initialisation. For x = m + A z with A symmetric and positive, D = W₂²
to N(0, I) and T the optimal map from the base to the target, E is stationary at

    m = E[y] / (1 + λ),      A = (sym E[T(m + A z) zᵀ] + λ I) / (1 + λ),

so iterate A ← (1 − η) A + η (that). The minimiser never has more total variance than the target.
Beware in more than four dimensions: T onto N atoms is chosen after seeing x, and E[T zᵀ] shrinks by
far more than the population's. Variance of the base over that of the latents, for N latents of
N(0, I), where the population's base has 1:

=======  =====  =====  =====  =====  =====  =====
dim          2      4      8     16     32     64
=======  =====  =====  =====  =====  =====  =====
N 500     0.98   0.88   0.56   0.26   0.17   0.12
N 2000    0.93   0.94   0.75   0.39   0.20
=======  =====  =====  =====  =====  =====  =====

:func:`pcgen.base.gaussian.fit_gaussian`, by moments, does not shrink.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pcgen.base.dual_ascent import DualAscent
from pcgen.base.gaussian import GaussianBase, Structure, check_relaxation, check_structure
from pcgen.base.measure import check_latents, normal
from pcgen.errors import InputError
from pcgen.transport.conjugate.gaussian import matrix_power

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True, kw_only=True)
class AlternatingSettings:
    """How to alternate.

    Attributes:
        structure: shape of A.
        relaxation: λ ≥ 0.
        damping: η in (0, 1].
        steps: base steps; the result on latents is the mean of the second half.
        dual_steps: K, dual steps in each.
        batch: draws of the base in each step.
    """

    structure: Structure = "full"
    relaxation: float = 0.0
    damping: float = 0.5
    steps: int = 200
    dual_steps: int = 4
    batch: int = 1024

    def __post_init__(self) -> None:
        check_structure(self.structure)
        check_relaxation(self.relaxation)
        if not 0 < self.damping <= 1 or min(self.steps, self.dual_steps, self.batch) < 1:
            raise InputError(
                f"damping must lie in (0, 1] and steps, dual_steps, batch be positive, got {self}"
            )


@dataclass(frozen=True)
class AlternatingFit:
    """The base, and the energy E of every iterate (on latents: estimated from its batch)."""

    base: GaussianBase
    energies: tuple[float, ...]


def alternate(
    target: Tensor | GaussianBase, settings: AlternatingSettings, generator: Generator
) -> AlternatingFit:
    """Minimise E over Gaussians of one structure.

    Args:
        target: ν, as latents (N, dim) or as a Gaussian, whose map is a closed form.
    """
    if isinstance(target, GaussianBase):
        return _against_gaussian(target, settings)
    latents = check_latents(target, least=2, family="the alternating fit")
    dual = DualAscent(latents)
    pull, eta = settings.relaxation, settings.damping
    eye = torch.eye(latents.shape[1], dtype=torch.float64)
    mean = latents.double().mean(0) / (1 + pull)
    root = torch.eye(latents.shape[1], dtype=torch.float64) * latents.double().std(0).mean()
    total, energies = torch.zeros_like(root), []
    for step in range(settings.steps):
        for _ in range(settings.dual_steps):
            dual.step(_draw(mean, root, settings.batch, generator)[1])
        z, x = _draw(mean, root, settings.batch, generator)
        mapped = dual.map(x)
        distance = float((x - mapped).double().square().sum(1).mean())
        energies.append(distance + pull * _divergence(mean, root))
        z = z.double()
        # A regression on the batch's own second moment: exact where T is linear, and less noisy.
        moment = torch.linalg.solve(z.T @ z, z.T @ (mapped.double() - mapped.double().mean(0))).T
        aim = _shaped((_symmetric(moment) + pull * eye) / (1 + pull), settings.structure)
        root = (1 - eta) * root + eta * aim
        if step >= settings.steps // 2:
            total = total + root
    root = total / (settings.steps - settings.steps // 2)
    return AlternatingFit(GaussianBase(mean=mean.float(), factor=root.float()), tuple(energies))


def _against_gaussian(target: GaussianBase, settings: AlternatingSettings) -> AlternatingFit:
    goal, centre = target.covariance, target.mean.double()
    pull, eta = settings.relaxation, settings.damping
    eye = torch.eye(target.dim, dtype=torch.float64)
    mean, root = centre / (1 + pull), eye.clone()
    energies = []
    for _ in range(settings.steps):
        cross = matrix_power(root @ goal @ root, 0.5)
        distance = (centre - mean).square().sum() + (root @ root + goal - 2 * cross).trace()
        energies.append(float(distance) + pull * _divergence(mean, root))
        slope = torch.linalg.solve(root, torch.linalg.solve(root, cross).T)
        aim = _shaped((_symmetric(slope @ root) + pull * eye) / (1 + pull), settings.structure)
        root = (1 - eta) * root + eta * aim
    return AlternatingFit(GaussianBase(mean=mean.float(), factor=root.float()), tuple(energies))


def _draw(mean: Tensor, root: Tensor, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    z = normal(count, len(mean), generator).to(mean.device)
    return z, mean.float() + z @ root.float()


def _divergence(mean: Tensor, root: Tensor) -> float:
    """W₂² to N(0, I)."""
    eye = torch.eye(len(mean), dtype=root.dtype)
    return float(mean.square().sum() + (root - eye).square().sum())


def _shaped(matrix: Tensor, structure: str) -> Tensor:
    """The nearest positive matrix of the structure."""
    if structure == "isotropic":
        level = (matrix.trace() / len(matrix)).clamp(min=1e-6)
        return level * torch.eye(len(matrix), dtype=matrix.dtype)
    if structure == "diagonal":
        return matrix.diagonal().clamp(min=1e-6).diag()
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=1e-6)) @ vectors.T


def _symmetric(matrix: Tensor) -> Tensor:
    return 0.5 * (matrix + matrix.T)
