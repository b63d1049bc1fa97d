"""Gaussian mixtures for few latents in many dimensions: shrinkage and selection on held-out data.

Each component's covariance is shrunk towards the pooled one with the weight of ``strength · dim``
extra latents (the mode under an inverse Wishart prior), and the pooled one towards the isotropic by
a multiple of Ledoit and Wolf's weight. The multiple, the number of components and the strength
maximise the likelihood of held-out latents; the final mixture is then fitted to all latents.

The relaxation λ moves every component along its own Wasserstein geodesic to N(0, I), which is the
geodesic of the mixture in the sense of Delon and Desolneux ("A Wasserstein-type distance in the
space of Gaussian mixture models", 2020).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from pcgen.base.gaussian import (
    check_relaxation,
    gaussian_log_density,
    relaxed_root,
)
from pcgen.base.measure import TensorMeasure, normal
from pcgen.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor


LEAST_SCATTER = 1e-8
"""The minimum variance within components, relative to the variance between their means."""


@dataclass(frozen=True, kw_only=True)
class MixtureSettings:
    """Settings of a mixture fit.

    Attributes:
        components: numbers of components to select from on held-out latents.
        strengths: weights of the pooled covariance to select from, in multiples of dim latents.
        roundings: isotropic weights of the pooled covariance, in multiples of Ledoit-Wolf's.
        least_share: minimum average number of latents per component.
        held_out: share of latents for the selection, if no validation latents are given.
        iterations: maximum number of expectation-maximisation steps.
        tolerance: stop if the mean log-likelihood gains less than this (nats).
        choose_on: maximum number of latents for the selection; the final fit uses all.
        relaxation: λ ≥ 0, the pull towards N(0, I).
    """

    components: tuple[int, ...] = (1, 2, 4, 8, 16)
    strengths: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    roundings: tuple[float, ...] = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
    least_share: int = 8
    held_out: float = 0.2
    iterations: int = 20
    tolerance: float = 1e-3
    choose_on: int = 2000
    relaxation: float = 0.0

    def __post_init__(self) -> None:
        if not self.components or min(self.components) < 1:
            raise InputError(f"components must be positive numbers, got {self.components}")
        if not self.strengths or min(self.strengths) <= 0:
            raise InputError(f"strengths must be positive, got {self.strengths}")
        if not self.roundings or min(self.roundings) <= 0:
            raise InputError(f"roundings must be positive, got {self.roundings}")
        if not 0 < self.held_out < 1:
            raise InputError(f"held_out must be between 0 and 1, got {self.held_out}")
        check_relaxation(self.relaxation)


@dataclass(frozen=True, kw_only=True)
class MixtureBase(TensorMeasure):
    """Σ_k weight_k N(mean_k, factor_k factor_kᵀ).

    Attributes:
        weights: (K,) float64, sum 1.
        means: (K, dim) float32.
        factors: (K, dim, dim) float32, lower triangular, or symmetric after relaxation.
        table: (components, strength, rounding, held-out log-likelihood) of every candidate.
    """

    name: ClassVar[str] = "gmm"
    weights: Tensor
    means: Tensor
    factors: Tensor
    table: tuple[tuple[float, ...], ...] = ()

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    def sample(self, count: int, generator: Generator) -> Tensor:
        z = normal(count, self.dim, generator)
        if count == 0:
            return z
        weights = self.weights.to(z.device)
        label = torch.multinomial(weights, count, replacement=True, generator=generator)
        x = torch.empty_like(z)
        for k in range(len(self.weights)):
            rows = label == k
            x[rows] = self.means[k].to(z) + z[rows] @ self.factors[k].to(z).T
        return x

    def log_density(self, x: Tensor) -> Tensor:
        """Log density (n,) float64 at points (n, dim)."""
        factors = self.factors.double()
        roots = torch.linalg.cholesky(factors @ factors.transpose(1, 2))
        return _joint(x, self.weights, self.means, roots).logsumexp(1)


def fit_mixture(
    latents: Tensor,
    settings: MixtureSettings,
    generator: Generator,
    validation: Tensor | None = None,
) -> MixtureBase:
    """Select and fit a mixture.

    Args:
        latents: (N, dim), at least two of them different.
        validation: (M, dim) latents for the selection; None holds out a share of ``latents``.
    """
    x = latents.double()
    train, held = _split(x, validation, settings, generator)
    if len(held) < 2:
        chosen = Candidate(1, settings.strengths[-1], settings.roundings[-1])
        table: tuple[tuple[float, ...], ...] = ()
        notes: tuple[str, ...] = (f"{len(x)} latents are too few for a selection: one component",)
    else:
        chosen, table = _choose(train, held, settings, generator)
        notes = ()
    fitted = _expectation_maximisation(x, chosen, settings, generator)
    weights, means, roots = fitted.weights, fitted.means, fitted.roots(chosen)
    if settings.relaxation:
        means = means / (1 + settings.relaxation)
        values, vectors = torch.linalg.eigh(roots @ roots.transpose(1, 2))
        relaxed = relaxed_root(values.clamp(min=0).sqrt(), settings.relaxation)
        roots = (vectors * relaxed[:, None, :]) @ vectors.transpose(1, 2)
    return MixtureBase(
        weights=weights,
        means=means.float(),
        factors=roots.float(),
        table=table,
        notes=notes,
    )


@dataclass(frozen=True)
class Candidate:
    """What the held-out latents select; see :class:`MixtureSettings`."""

    components: int
    strength: float
    rounding: float


@dataclass(frozen=True)
class Moments:
    """The mixture before shrinkage: weights (K,), means (K, dim), scatters (K, dim, dim)."""

    weights: Tensor
    means: Tensor
    scatter: Tensor
    count: int

    def roots(self, candidate: Candidate) -> Tensor:
        """Cholesky factors (K, dim, dim) of the shrunken covariances."""
        mass = self.weights * self.count
        pooled = (self.scatter * self.weights[:, None, None]).sum(0)
        # Components on copies of a single latent have no scatter; it is replaced by an isotropic
        # one that is small compared with the whole.
        between = (self.weights @ (self.means - self.weights @ self.means).square()).mean()
        pooled = pooled + LEAST_SCATTER * between * torch.eye(len(pooled)).to(pooled)
        pooled = _rounded(pooled, self.count, candidate.rounding)
        share = (mass / (mass + candidate.strength * len(pooled)))[:, None, None]
        if len(mass) == 1:
            share = torch.zeros_like(share)
        result: Tensor = torch.linalg.cholesky(share * self.scatter + (1 - share) * pooled)
        return result

    def joint(self, x: Tensor, candidate: Candidate) -> Tensor:
        """log weight_k + log N(x; mean_k, covariance_k), (n, K) float64."""
        return _joint(x, self.weights, self.means, self.roots(candidate))


def _choose(
    train: Tensor, held: Tensor, settings: MixtureSettings, generator: Generator
) -> tuple[Candidate, tuple[tuple[float, ...], ...]]:
    """The candidate for the final fit, and the table of all candidates."""
    strength = settings.strengths[len(settings.strengths) // 2]
    candidates, scores = [], []

    def score(moments: Moments, candidate: Candidate) -> float:
        candidates.append(candidate)
        scores.append(moments.joint(held, candidate).logsumexp(1))
        return float(scores[-1].mean())

    # The rounding is selected for one component, which has no strength, and reused for others.
    start = Candidate(1, strength, settings.roundings[0])
    single = _expectation_maximisation(train, start, settings, generator)
    tried = [Candidate(1, strength, rounding) for rounding in settings.roundings]
    rounding = max(tried, key=lambda c: score(single, c)).rounding
    most = max(1, len(train) // settings.least_share)
    for number in sorted({min(k, most) for k in settings.components} - {1}):
        start = Candidate(number, strength, rounding)
        moments = _expectation_maximisation(train, start, settings, generator)
        for value in settings.strengths:
            score(moments, Candidate(number, value, rounding))
    table = tuple(
        (c.components, c.strength, c.rounding, float(s.mean()))
        for c, s in zip(candidates, scores, strict=True)
    )
    return _simplest(candidates, scores), table


def _simplest(candidates: list[Candidate], scores: list[Tensor]) -> Candidate:
    """The fewest components, most pooled, whose held-out likelihood is not clearly below the best.

    Their mean loss against the best must be below its own standard error (the one-standard-error
    rule), since the maximum of many noisy likelihoods prefers too many components.
    """
    best = max(scores, key=lambda score: float(score.mean()))
    within = [
        (candidate, float(score.mean()))
        for candidate, score in zip(candidates, scores, strict=True)
        if (best - score).mean() <= (best - score).std() / math.sqrt(len(best))
    ]
    fewest = min(candidate.components for candidate, _ in within)
    return max(
        ((c, s) for c, s in within if c.components == fewest),
        key=lambda pair: (pair[0].strength, pair[1]),
    )[0]


def _split(
    x: Tensor, validation: Tensor | None, settings: MixtureSettings, generator: Generator
) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(x), generator=generator, device=generator.device).to(x.device)
    x = x[order[: settings.choose_on]]
    if validation is not None:
        return x, validation.double()[: settings.choose_on]
    held = int(settings.held_out * len(x))
    return x[held:], x[:held]


def _expectation_maximisation(
    x: Tensor, candidate: Candidate, settings: MixtureSettings, generator: Generator
) -> Moments:
    """Fit the mixture of one candidate to x (n, dim) float64."""
    number = candidate.components
    means = _spread_out(x, number, generator)
    label = torch.cdist(x, means).argmin(1)
    share = torch.nn.functional.one_hot(label, len(means)).to(x.dtype)
    before = -math.inf
    for _ in range(settings.iterations):
        mass = share.sum(0).clamp(min=1e-9)
        means = share.T @ x / mass[:, None]
        scatter = torch.stack(
            [_scatter(x, mean, s) / m for mean, s, m in zip(means, share.T, mass, strict=True)]
        )
        moments = Moments(mass / mass.sum(), means, scatter, len(x))
        if number == 1:
            break
        joint = moments.joint(x, candidate)
        total = joint.logsumexp(1)
        share = (joint - total[:, None]).exp()
        now = float(total.mean())
        if now - before < settings.tolerance:
            break
        before = now
    return moments


def _scatter(x: Tensor, mean: Tensor, share: Tensor) -> Tensor:
    rows = share > 1e-6  # in many dimensions shares are nearly 0 or 1; skip the zeros
    centred = x[rows] - mean
    return (centred * share[rows, None]).T @ centred


def _rounded(covariance: Tensor, count: int, rounding: float) -> Tensor:
    """Shrink a covariance towards isotropy by a multiple of Ledoit-Wolf's weight for Gaussians."""
    dim = len(covariance)
    level = covariance.trace() / dim
    squares = covariance.square().sum()
    distance = (squares - dim * level**2).clamp(min=1e-300)
    spread = (squares + (dim * level) ** 2) / count
    weight = rounding * float((spread / distance).clamp(1e-6, 1))
    return (1 - weight) * covariance + weight * level * torch.eye(dim).to(covariance)


def _joint(x: Tensor, weights: Tensor, means: Tensor, roots: Tensor) -> Tensor:
    """log weight_k + log N(x; mean_k, covariance_k), (n, K) float64."""
    columns = [gaussian_log_density(x, mean, root) for mean, root in zip(means, roots, strict=True)]
    return torch.stack(columns, 1) + weights.log()


def _spread_out(x: Tensor, number: int, generator: Generator) -> Tensor:
    """Initial means by k-means++ (Arthur and Vassilvitskii, 2007): distant latents."""
    device = generator.device
    first = int(torch.randint(len(x), (1,), generator=generator, device=device))
    chosen = [x[first]]
    nearest = x.new_full((len(x),), torch.inf)
    for _ in range(number - 1):
        nearest = torch.minimum(nearest, (x - chosen[-1]).square().sum(1))
        if nearest.sum() <= 0:
            break
        pick = torch.multinomial(nearest.to(device), 1, generator=generator)
        chosen.append(x[int(pick)])
    return torch.stack(chosen)
