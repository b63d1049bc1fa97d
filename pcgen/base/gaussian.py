"""N(0, I), and Gaussians fitted to latents: shrunken full, diagonal, isotropic, low-rank.

The relaxed problem of Base Initialisation (our reconstruction, see :mod:`pcgen.base`) has a closed
form here. For ν = N(m, Σ), μ = N(0, I) and D = W₂²(·, μ) the solution is the point at λ/(1+λ) of
the Wasserstein geodesic from ν to μ: mean m/(1+λ), root (Σ^{1/2} + λI)/(1+λ).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import torch

from pcgen.base.measure import TensorMeasure, normal
from pcgen.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor


Structure = Literal["full", "diagonal", "isotropic"]
STRUCTURES = get_args(Structure)


@dataclass(frozen=True, kw_only=True)
class StandardBase(TensorMeasure):
    """N(0, I), with which every other base is compared."""

    name: ClassVar[str] = "standard"
    dim: int

    def sample(self, count: int, generator: Generator) -> Tensor:
        return normal(count, self.dim, generator)

    def log_density(self, x: Tensor) -> Tensor:
        """Log density (n,) float64 at points (n, dim)."""
        x = x.double()
        return -0.5 * (x.square().sum(1) + self.dim * math.log(2 * math.pi))


@dataclass(frozen=True, kw_only=True)
class GaussianSettings:
    """Settings of a Gaussian fit.

    Attributes:
        structure: structure of the covariance before shrinkage.
        rank: keep this many principal directions and distribute the remaining variance evenly
            (probabilistic PCA, Tipping and Bishop 1999); None keeps the whole covariance.
        shrinkage: weight in [0, 1] of the isotropic part; None for Ledoit and Wolf's (2004).
        relaxation: λ ≥ 0, the pull towards N(0, I); 0 is the unrelaxed fit.
    """

    structure: Structure = "full"
    rank: int | None = None
    shrinkage: float | None = None
    relaxation: float = 0.0

    def __post_init__(self) -> None:
        check_structure(self.structure)
        if self.rank is not None and (self.rank < 0 or self.structure != "full"):
            raise InputError(
                f"rank must be 0 or more and requires structure 'full', got rank {self.rank} "
                f"and structure {self.structure!r}"
            )
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise InputError(f"shrinkage must lie in [0, 1], got {self.shrinkage}")
        check_relaxation(self.relaxation)


@dataclass(frozen=True, kw_only=True)
class GaussianBase(TensorMeasure):
    """The distribution of ``mean + factor z + noise ε`` with z, ε standard normal.

    Attributes:
        mean: (dim,) float32.
        factor: (dim, rank) float32; square and symmetric for a full covariance.
        noise: standard deviation of the isotropic part; 0 for a full covariance.
    """

    name: ClassVar[str] = "gaussian"
    mean: Tensor
    factor: Tensor
    noise: float = 0.0

    @property
    def dim(self) -> int:
        return len(self.mean)

    @property
    def covariance(self) -> Tensor:
        """The covariance (dim, dim) float64."""
        factor = self.factor.double()
        return factor @ factor.T + self.noise**2 * torch.eye(self.dim).to(factor)

    def sample(self, count: int, generator: Generator) -> Tensor:
        z = normal(count, self.factor.shape[1], generator)
        x = self.mean.to(z.device) + z @ self.factor.to(z.device).T
        if self.noise:
            x = x + self.noise * normal(count, self.dim, generator)
        return x

    def log_density(self, x: Tensor) -> Tensor:
        """Log density (n,) float64 at points (n, dim).

        Raises:
            InputError: the covariance is singular, so there is no density.
        """
        root, bad = torch.linalg.cholesky_ex(self.covariance)
        if bad:
            raise InputError("the Gaussian has a singular covariance and no density")
        return gaussian_log_density(x, self.mean, root)


def fit_gaussian(latents: Tensor, settings: GaussianSettings) -> GaussianBase:
    """The Gaussian with the latents' mean and their shrunken covariance.

    Args:
        latents: (N, dim), at least two of them different.
    """
    x = latents.double()
    mean = x.mean(0)
    covariance, weight = shrunken_covariance(x - mean, settings.shrinkage)
    if settings.structure == "diagonal":
        covariance = covariance.diagonal().diag()
    elif settings.structure == "isotropic":
        covariance = covariance.trace() / len(mean) * torch.eye(len(mean)).to(x)
    notes = []
    if weight > 0.5 and settings.shrinkage is None and settings.structure != "isotropic":
        notes.append(
            f"{len(x)} latents in {len(mean)} dimensions: {weight:.0%} of the covariance is "
            "isotropic (Ledoit-Wolf shrinkage)"
        )
    return gaussian_from_moments(
        mean, covariance, rank=settings.rank, relaxation=settings.relaxation, notes=tuple(notes)
    )


def gaussian_from_moments(
    mean: Tensor,
    covariance: Tensor,
    *,
    rank: int | None = None,
    relaxation: float = 0.0,
    notes: tuple[str, ...] = (),
) -> GaussianBase:
    """A base with mean (dim,) and covariance (dim, dim), relaxed towards N(0, I)."""
    values, vectors = torch.linalg.eigh(covariance.double())
    roots = relaxed_root(values.clamp(min=0).sqrt(), relaxation)
    mean = (mean.double() / (1 + relaxation)).float()
    dim = len(mean)
    if rank is None or rank >= dim:
        return GaussianBase(mean=mean, factor=((vectors * roots) @ vectors.T).float(), notes=notes)
    # eigh sorts ascending and relaxation keeps the order: the last columns are the leading ones.
    noise = float(roots[: dim - rank].square().mean().sqrt())
    kept = (roots[dim - rank :].square() - noise**2).clamp(min=0).sqrt()
    factor = (vectors[:, dim - rank :] * kept).float()
    return GaussianBase(mean=mean, factor=factor, noise=noise, notes=notes)


def shrunken_covariance(centred: Tensor, shrinkage: float | None = None) -> tuple[Tensor, float]:
    """The shrunken covariance (1 − s) S + s (tr S / dim) I, and the s used.

    Args:
        centred: (N, dim) float64 with zero column means.
        shrinkage: s in [0, 1]; None estimates the s with the least squared Frobenius error (Ledoit
            and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
            2004).
    """
    count, dim = centred.shape
    sample = centred.T @ centred / count
    level = sample.trace() / dim
    if shrinkage is None:
        distance = (sample.square().sum() - dim * level**2).clamp(min=0)
        # sum over entries of the variance of x_i x_j, estimated from the squares
        squares = centred.square()
        spread = ((squares.T @ squares / count) - sample.square()).sum() / count
        weight = 1.0 if distance <= 0 else float((spread / distance).clamp(0, 1))
    else:
        weight = shrinkage
    eye = torch.eye(dim).to(centred)
    return (1 - weight) * sample + weight * level * eye, weight


def gaussian_log_density(x: Tensor, mean: Tensor, root: Tensor) -> Tensor:
    """log N(x; mean, L Lᵀ) for a lower triangular L: (n, dim) to (n,) float64."""
    solved = torch.linalg.solve_triangular(root, (x.double() - mean.double()).T, upper=False)
    constant = len(root) * math.log(2 * math.pi) + 2 * root.diagonal().log().sum()
    result: Tensor = -0.5 * (solved.square().sum(0) + constant)
    return result


def relaxed_root(root: Tensor, relaxation: float) -> Tensor:
    """Eigenvalues of the covariance root after relaxation by λ towards the identity."""
    return (root + relaxation) / (1 + relaxation)


def check_structure(structure: str) -> None:
    """Check that a covariance structure is one of :data:`STRUCTURES`."""
    if structure not in STRUCTURES:
        raise InputError(f"structure must be one of {', '.join(STRUCTURES)}, got {structure!r}")


def check_relaxation(relaxation: float) -> None:
    """Check that λ is finite and at least 0."""
    if not (0 <= relaxation < math.inf):
        raise InputError(f"relaxation must be finite and 0 or more, got {relaxation}")
