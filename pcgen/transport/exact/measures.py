"""Sources for the exact solver, and initial potentials without empty cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.datatypes import Source
from pcgen.transport.exact.densities import ConvexDomain, Density, GridDensity
from pcgen.transport.exact.radial_densities import BallDensity, GaussianDensity
from pcgen.transport.gaussian import GaussianMeasure, bures_matrix
from pcgen.transport.sources import GaussianSource, UniformBall, UniformCube

Array = NDArray[np.float64]

# Ratio of the smallest to the largest standard deviation of a Gaussian, below which it counts as
# singular.
FLATTEST = 1e-6

# Fixed-point iterations of Tyler's scatter.
SCATTER_STEPS = 20


@dataclass(frozen=True, eq=False)
class ExactMeasure:
    """The distribution of x = mean + factor z, where z has a density on a convex domain.

    Attributes:
        domain: of z; density: of z, None if uniform.
        mean: (dim,); factor: (dim, dim), invertible. None if x is z.
    """

    domain: ConvexDomain
    density: Density | None = None
    mean: Array | None = None
    factor: Array | None = None

    def pull(self, atoms: Array) -> tuple[Array, Array]:
        """Atoms q (n, dim) and shifts (n,) such that ⟨p, x⟩ = ⟨q, z⟩ + shift for all x."""
        if self.mean is None or self.factor is None:
            return atoms, np.zeros(len(atoms))
        return atoms @ self.factor, atoms @ self.mean

    def first_potential(self, atoms: Array, weights: Array) -> Array:
        """A potential (n,) that leaves no cell of pulled atoms (n, dim) empty.

        With heavy tails an affine map would crowd most atoms in the middle of a Gaussian.
        """
        if isinstance(self.density, GaussianDensity | BallDensity):
            return radial_potential(atoms, weights, self.density.radius)
        return affine_potential(atoms, self.domain)


def exact_measure(source: Source) -> ExactMeasure | None:
    """The exact measure of a source, or None if its cells cannot be measured exactly."""
    if isinstance(source, ConvexDomain):
        return ExactMeasure(source)
    if isinstance(source, GridDensity):
        return ExactMeasure(source.domain, source)
    if source.dim not in (2, 3):
        return None
    if isinstance(source, UniformCube):
        return ExactMeasure(ConvexDomain.box([-0.5] * source.dim, [0.5] * source.dim))
    if isinstance(source, UniformBall):
        ball = BallDensity(source.dim)
        return ExactMeasure(ball.domain, ball)
    normal = GaussianDensity(source.dim)
    if isinstance(source, GaussianSource):
        return ExactMeasure(normal.domain, normal)
    if isinstance(source, GaussianMeasure):
        covariance = source.factor @ source.factor.T
        values, vectors = np.linalg.eigh(covariance.cpu().numpy())
        if values[0] > FLATTEST**2 * values[-1]:
            factor = vectors * np.sqrt(values)
            return ExactMeasure(normal.domain, normal, source.mean.cpu().numpy(), factor)
    return None


def affine_potential(atoms: Array, domain: ConvexDomain) -> Array:
    """A potential whose cells all have mass, for any atoms.

    A symmetric positive map q = x₀ + A (p - c) takes the atoms into the domain; the cells of
    h_i = -⟨p_i - c, x₀⟩ - ½ (p_i - c)ᵀ A (p_i - c) each contain their q_i. A is the optimal map
    between Gaussians of the same moments, shrunk until the atoms fit.
    """
    centred = atoms - atoms.mean(0)
    middle, covariance = domain.moments
    spread = centred.T @ centred / len(atoms)
    scale = max(np.trace(spread), 1e-300)
    if np.linalg.eigvalsh(spread)[0] > 1e-6 * scale:
        matrix = bures_matrix(spread, covariance)
    else:
        matrix = np.eye(domain.dim) * np.sqrt(np.trace(covariance) / scale)
    normals, sides = domain.sides
    reach = ((centred @ matrix) @ normals.T / (sides - normals @ middle)).max()
    matrix = matrix / max(1.0, 1.02 * reach)
    result: Array = -(centred @ middle) - 0.5 * ((centred @ matrix) * centred).sum(1)
    return result


def radial_potential(atoms: Array, weights: Array, radius: Callable[[Array], Array]) -> Array:
    """A potential (n,) whose cell masses are about right for rotationally symmetric atoms (n, dim).

    With ψ convex the cells of h_i = -ψ(p_i) contain ∇ψ(p_i). Here ψ depends only on s = √(pᵀAp),
    with p relative to the median and A the inverse root of Tyler's scatter, which uses no moments
    and so resists outliers; ψ' is the ``radius`` of the source at the rank of s. So even very
    distant atoms have cells at the source's border or in its tail.
    """
    p = atoms - np.median(atoms, 0)
    matrix = _scatter_root(p)
    s = np.sqrt(np.maximum(((p @ matrix) * p).sum(1), 0))
    order = np.argsort(s)
    rank = np.empty(len(s))
    rank[order] = weights[order].cumsum() - 0.5 * weights[order]
    wanted = radius(rank)
    # The image of p is A p ψ'(s) / s. Its lengths equal the radii on the whole; none exceeds
    # the longest radius, even for atoms that are far in a direction with few others.
    stretch = np.linalg.norm(p @ matrix, axis=1) / np.maximum(s, 1e-300)
    longest = (wanted * stretch).max() / max(wanted.max(), 1e-300)
    slope = wanted / max(np.median(stretch), longest, 1e-300)
    steps = 0.5 * (slope[order][1:] + slope[order][:-1]) * np.diff(s[order])
    potential = np.zeros(len(s))
    potential[order[1:]] = -np.cumsum(steps)
    result: Array = potential - potential.mean()
    return result


def _scatter_root(p: Array) -> Array:
    """S^-½ of Tyler's scatter S (1987), of trace dim; flat directions are bounded at 1e-3."""
    dim = p.shape[1]
    p = p[(p != 0).any(1)]
    if len(p) == 0:
        return np.eye(dim)
    p = p / np.linalg.norm(p, axis=1, keepdims=True)
    scatter = np.eye(dim)
    for _ in range(SCATTER_STEPS):
        values, vectors = np.linalg.eigh(scatter)
        values = np.maximum(values, 1e-6 * values[-1])
        inverse = (vectors / values) @ vectors.T
        scatter = (p / ((p @ inverse) * p).sum(1)[:, None]).T @ p
        scatter *= dim / np.trace(scatter)
    values, vectors = np.linalg.eigh(scatter)
    values = np.maximum(values, 1e-6 * values[-1])
    result: Array = (vectors / np.sqrt(values)) @ vectors.T
    return result
