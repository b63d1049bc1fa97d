"""The relaxed Monge-Kantorovich energy E(ω) = W₂²(ω, ν) + λ D(ω, μ), estimated with error bars.

Our reconstruction of Base Initialisation, with μ = N(0, I). Between Gaussians both terms have
closed forms. Otherwise W₂² is the debiased exact assignment of samples
(:mod:`pcgen.transport.assignment`), which is 0 on average if ω = ν. Latents are split into disjoint
blocks with one estimate each, so the error bar includes the randomness of the latents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch

from pcgen.base.gaussian import GaussianBase, StandardBase, check_relaxation
from pcgen.base.measure import BaseMeasure, check_dim, check_latents
from pcgen.errors import InputError
from pcgen.transport.assignment import centred_cost
from pcgen.transport.gaussian import GaussianMeasure, bures_squared

if TYPE_CHECKING:
    from torch import Generator, Tensor

Divergence = Literal["w2", "kl", "entropy"]
DIVERGENCES = get_args(Divergence)
BLOCK = 128
BLOCKS = 8


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error, which is 0 if the number is exact."""

    value: float
    error: float

    @classmethod
    def mean(cls, values: Tensor) -> Estimate:
        """The mean of independent values (n,); a single value has an infinite error."""
        error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf
        return cls(float(values.mean()), error)

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.error:.2g}"


@dataclass(frozen=True)
class Energy:
    """E(ω), with its two terms estimated separately.

    Attributes:
        transport: W₂²(ω, ν).
        divergence: D(ω, μ), not multiplied by the relaxation.
        relaxation: λ.
        kind: the kind of D.
    """

    transport: Estimate
    divergence: Estimate
    relaxation: float
    kind: Divergence

    @property
    def total(self) -> Estimate:
        """W₂² + λ D."""
        share = self.relaxation * self.divergence.value if self.relaxation else 0.0
        noise = self.relaxation * self.divergence.error if self.relaxation else 0.0
        return Estimate(self.transport.value + share, math.hypot(self.transport.error, noise))


def energy(
    omega: BaseMeasure,
    target: Tensor | BaseMeasure,
    *,
    generator: Generator,
    relaxation: float = 0.0,
    kind: Divergence = "w2",
    blocks: int = BLOCKS,
) -> Energy:
    """Estimate E(ω).

    Args:
        omega: the base.
        target: ν, as latents (N, dim) with N at least 4, or as a measure.
        relaxation: λ at least 0.
        kind: D = W₂²(·, μ), KL(· ‖ μ), or the negative entropy ∫ ω log ω; the last two need a
            base with a density.
        blocks: independent estimates of each term, at least 2.
    """
    if blocks < 2:
        raise InputError(f"blocks must be at least 2 for an error bar, got {blocks}")
    check_relaxation(relaxation)
    return Energy(
        transport_term(omega, target, generator=generator, blocks=blocks),
        divergence_term(omega, kind, generator=generator, blocks=blocks),
        relaxation,
        kind,
    )


def transport_term(
    omega: BaseMeasure,
    target: Tensor | BaseMeasure,
    *,
    generator: Generator,
    blocks: int = BLOCKS,
) -> Estimate:
    """W₂²(ω, ν): exact between Gaussians, else debiased from samples (may be negative)."""
    if isinstance(target, torch.Tensor):
        pairs = split_blocks(target, generator)
        check_dim(omega, pairs[0][0].shape[1], "its target")
        return Estimate.mean(centred_blocks(omega, pairs, generator))
    check_dim(omega, target.dim, "its target")
    if isinstance(omega, GAUSSIANS) and isinstance(target, GAUSSIANS):
        return Estimate(bures_squared(_gaussian(omega), _gaussian(target)), 0.0)
    pairs = [
        (target.sample(BLOCK, generator), target.sample(BLOCK, generator)) for _ in range(blocks)
    ]
    return Estimate.mean(centred_blocks(omega, pairs, generator))


def divergence_term(
    omega: BaseMeasure, kind: Divergence, *, generator: Generator, blocks: int = BLOCKS
) -> Estimate:
    """D(ω, N(0, I)) of the requested kind.

    Raises:
        InputError: the kind is unknown, or needs a density and this base has none.
    """
    if kind not in DIVERGENCES:
        raise InputError(f"D must be one of {', '.join(DIVERGENCES)}, got {kind!r}")
    reference = StandardBase(dim=omega.dim)
    if kind == "w2":
        return transport_term(omega, reference, generator=generator, blocks=blocks)
    log_density: Callable[[Tensor], Tensor] | None = getattr(omega, "log_density", None)
    if log_density is None:
        raise InputError(f"base {omega.name} has no density for D = {kind}; use D = w2")
    x = omega.sample(BLOCK * blocks, generator)
    values = log_density(x)
    if kind == "kl":
        values = values - reference.log_density(x)
    return Estimate.mean(values)


def split_blocks(latents: Tensor, generator: Generator) -> list[tuple[Tensor, Tensor]]:
    """Disjoint pairs of equally many latents: (n, dim) each, n at most :data:`BLOCK`.

    Raises:
        InputError: there are fewer than 4 latents, too few for an error bar.
    """
    latents = check_latents(latents)
    if len(latents) < 4:
        raise InputError(f"an energy needs at least 4 latents, got {len(latents)}")
    number = max(2, min(BLOCKS, len(latents) // 16))
    size = min(BLOCK, len(latents) // (2 * number))
    order = torch.randperm(len(latents), generator=generator, device=generator.device)
    rows = order[: 2 * number * size].view(number, 2, size).to(latents.device)
    return [(latents[a], latents[b]) for a, b in rows]


def centred_blocks(
    omega: BaseMeasure, pairs: list[tuple[Tensor, Tensor]], generator: Generator
) -> Tensor:
    """Debiased estimates of W₂²(ω, ν), one per pair of target samples, (blocks,) float64."""
    values = []
    for first, second in pairs:
        count = len(first)
        a, b = omega.sample(2 * count, generator).to(first.device).split(count)
        values.append(centred_cost(a, b, first, second))
    return torch.tensor(values, dtype=torch.float64)


GAUSSIANS = (StandardBase, GaussianBase)


def _gaussian(measure: BaseMeasure) -> GaussianMeasure:
    if isinstance(measure, GaussianBase):
        return GaussianMeasure.of_covariance(measure.mean.cpu(), measure.covariance.cpu())
    return GaussianMeasure(torch.zeros(measure.dim), torch.eye(measure.dim))
