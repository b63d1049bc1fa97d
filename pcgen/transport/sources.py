"""Source measures of semi-discrete transport.

Any object with ``dim`` and ``sample(count, generator)`` is a source. Solvers also use these, if a
source has them:

* ``name`` - written to files, read back by :func:`source_named`;
* ``from_uniform(u)`` - the quantile function of independent coordinates, so that a low-discrepancy
  sequence can replace random numbers;
* ``line_quantile(direction)`` - the quantile function of ⟨direction, x⟩, for exact 1D transport;
* ``rotated(k)`` - the distribution of the coordinates in any k orthonormal directions, if it does
  not depend on them, so that a solver can choose directions that suit the atoms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from pcgen.datatypes import Source
from pcgen.errors import InputError

LARGEST_BELOW_ONE = 1 - 2.0**-24

Quantile = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class GaussianSource:
    """N(0, I) in ``dim`` dimensions."""

    dim: int
    name = "gaussian"

    def __post_init__(self) -> None:
        _check_dim(self.dim)

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Sample (count, dim) float32."""
        return torch.randn(count, self.dim, generator=generator, device=generator.device)

    def from_uniform(self, uniform: Tensor) -> Tensor:
        """Map independent uniforms in (0, 1), of any shape, to independent N(0, 1)."""
        # float32 erfinv is six times as fast as float64; it is limited to 5.4 standard deviations.
        centred = (2 * uniform - 1).float().clamp_(-LARGEST_BELOW_ONE, LARGEST_BELOW_ONE)
        return torch.erfinv(centred).mul_(math.sqrt(2))

    def rotated(self, dim: int) -> GaussianSource:
        """The distribution of the coordinates in any ``dim`` orthonormal directions."""
        return GaussianSource(dim)

    def line_quantile(self, direction: Tensor) -> Quantile:
        """⟨direction, x⟩ is N(0, |direction|²)."""
        length = direction.double().norm()
        return lambda p: length * normal_quantile(p)


@dataclass(frozen=True)
class UniformCube:
    """Uniform on the cube [-½, ½]^dim."""

    dim: int
    name = "uniform"

    def __post_init__(self) -> None:
        _check_dim(self.dim)

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Sample (count, dim) float32."""
        return torch.rand(count, self.dim, generator=generator, device=generator.device) - 0.5

    def from_uniform(self, uniform: Tensor) -> Tensor:
        """Map independent uniforms in (0, 1), of any shape, to coordinates of the cube."""
        return (uniform - 0.5).float()

    def line_quantile(self, direction: Tensor) -> Quantile | None:
        """Known only along coordinate axes; otherwise the distribution is a sum of uniforms."""
        if int((direction != 0).sum()) != 1:
            return None
        length = direction.double().abs().sum()
        return lambda p: length * (p - 0.5)


@dataclass(frozen=True)
class UniformBall:
    """Uniform on the unit ball."""

    dim: int
    name = "ball"

    def __post_init__(self) -> None:
        _check_dim(self.dim)

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Sample (count, dim) float32: a Gaussian direction times a radius with CDF r^dim."""
        device = generator.device
        x = torch.randn(count, self.dim, generator=generator, device=device)
        radius = torch.rand(count, 1, generator=generator, device=device) ** (1 / self.dim)
        result: Tensor = x * (radius / x.norm(dim=1, keepdim=True))
        return result


@dataclass(frozen=True)
class SamplerSource:
    """Any sampler as a source: ``draw(count, generator)`` returns (count, dim)."""

    dim: int
    draw: Callable[[int, Generator], Tensor]
    name = "sampler"

    def __post_init__(self) -> None:
        _check_dim(self.dim)

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Sample (count, dim) float32, checked for shape and finiteness."""
        x = self.draw(count, generator).float()
        if x.shape != (count, self.dim):
            raise InputError(f"the sampler must return ({count}, {self.dim}), got {tuple(x.shape)}")
        if not torch.isfinite(x).all():
            raise InputError("the sampler returned NaN or infinite values")
        return x


def source_named(name: str, dim: int) -> Source:
    """The source with this name; an unknown one raises an error when sampled."""
    known = {kind.name: kind for kind in (GaussianSource, UniformCube, UniformBall)}
    if name in known:
        return known[name](dim)

    def absent(count: int, generator: Generator) -> Tensor:
        raise InputError(
            f"the file names the source {name!r}, which cannot be rebuilt from a file; "
            "pass the source to load()"
        )

    return SamplerSource(dim, absent)


def normal_quantile(p: Tensor) -> Tensor:
    """Φ⁻¹ in float64; p of 0 and 1 give -inf and inf."""
    result: Tensor = torch.special.ndtri(p.double())
    return result


def _check_dim(dim: int) -> None:
    if not (isinstance(dim, int) and dim >= 1):
        raise InputError(f"a source's dimension must be an integer of at least 1, got {dim!r}")
