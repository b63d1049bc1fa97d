"""The sources whose cells the exact solver can measure, in coordinates where it does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.datatypes import Source
from pcgen.transport.exact.ball_density import BallDensity
from pcgen.transport.exact.densities import ConvexDomain, Density, GridDensity
from pcgen.transport.exact.gaussian_density import NormalDensity
from pcgen.transport.exact.initial_potentials import affine_potential, round_potential
from pcgen.transport.gaussian import GaussianMeasure
from pcgen.transport.sources import GaussianSource, UniformBall, UniformCube

Array = NDArray[np.float64]

# Of the standard deviations of a Gaussian, smallest to largest; below, it has no density to speak
# of in its flattest direction.
FLATTEST = 1e-6


@dataclass(frozen=True, eq=False)
class Measurable:
    """The law of x = mean + factor z, z of a density on a convex domain.

    Attributes:
        domain: of z; density: of z, uniform when None.
        mean: (dim,); factor: (dim, dim), invertible. None where x is z.
    """

    domain: ConvexDomain
    density: Density | None = None
    mean: Array | None = None
    factor: Array | None = None

    def pull(self, atoms: Array) -> tuple[Array, Array]:
        """Atoms q (n, dim) and shifts (n,) with ⟨p, x⟩ = ⟨q, z⟩ + shift for all x."""
        if self.mean is None or self.factor is None:
            return atoms, np.zeros(len(atoms))
        return atoms @ self.factor, atoms @ self.mean

    def first_potential(self, atoms: Array, weights: Array) -> Array:
        """A potential (n,) that leaves no cell of atoms (n, dim), as pulled, empty.

        An affine image of heavy tails would crowd the others in the middle of a normal law.
        """
        if isinstance(self.density, NormalDensity | BallDensity):
            return round_potential(atoms, weights, self.density.radius)
        return affine_potential(atoms, self.domain)


def measurable(source: Source) -> Measurable | None:
    """How the cells of a source are measured exactly, or None where they cannot be."""
    if isinstance(source, ConvexDomain):
        return Measurable(source)
    if isinstance(source, GridDensity):
        return Measurable(source.domain, source)
    if source.dim not in (2, 3):
        return None
    if isinstance(source, UniformCube):
        return Measurable(ConvexDomain.box([-0.5] * source.dim, [0.5] * source.dim))
    if isinstance(source, UniformBall):
        ball = BallDensity(source.dim)
        return Measurable(ball.domain, ball)
    normal = NormalDensity(source.dim)
    if isinstance(source, GaussianSource):
        return Measurable(normal.domain, normal)
    if isinstance(source, GaussianMeasure):
        covariance = source.factor @ source.factor.T
        values, vectors = np.linalg.eigh(covariance.cpu().numpy())
        if values[0] > FLATTEST**2 * values[-1]:
            factor = vectors * np.sqrt(values)
            return Measurable(normal.domain, normal, source.mean.cpu().numpy(), factor)
    return None
