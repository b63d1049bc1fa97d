"""The result of fitting a network: the base P_w, the map ∇w*, and their coordinates.

All computations use coordinates v = Λ^(−1/6) Vᵀ (x − m), given the data's mean m and (shrunken)
covariance V Λ Vᵀ. In these the Gaussian solution is W(v) = ½|v|² + c·v, and P_W has covariance I.
With M = Λ^(1/3) and b = Λ^(1/6) Vᵀ m the map is ∇W*(M v_z + b).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pcgen.errors import InputError
from pcgen.transport.conjugate.convex import ConvexPotential
from pcgen.transport.conjugate.legendre import Conjugate, conjugate
from pcgen.transport.conjugate.mala import Chains, mala

if TYPE_CHECKING:
    from torch import Generator, Tensor

PUSH_TOLERANCE = 1e-3  # residual of a conjugate, relative to the spread of its argument
PUSH_ITERATIONS = 500  # after which a conjugate counts as failed


@dataclass(frozen=True)
class Coordinates:
    """x = V Λ^(1/6) v + m; see the head of this module. ``values`` is Λ, ascending."""

    mean: Tensor
    axes: Tensor
    values: Tensor

    @classmethod
    def of(cls, mean: Tensor, covariance: Tensor) -> Coordinates:
        values, axes = torch.linalg.eigh(covariance.double())
        if values[0] <= 1e-12 * values[-1]:
            raise InputError(
                "the covariance of the data is singular; shrink it or drop constant directions"
            )
        return cls(mean.float(), axes.float().contiguous(), values.float())

    @property
    def twist(self) -> Tensor:
        """M (dim,), which is also the data's standard deviations in v."""
        return self.values.pow(1 / 3)

    def inward(self, x: Tensor) -> Tensor:
        return (x - self.mean) @ self.axes / self.values.pow(1 / 6)

    def outward(self, v: Tensor) -> Tensor:
        return (v * self.values.pow(1 / 6)) @ self.axes.T + self.mean

    def slope(self, v_z: Tensor) -> Tensor:
        """M v_z + b: the slope of W at the image of the base point z."""
        return self.twist * v_z + self.values.pow(1 / 6) * (self.mean @ self.axes)

    def base_point(self, slope: Tensor) -> Tensor:
        """The inverse of :meth:`slope`."""
        return (slope - self.values.pow(1 / 6) * (self.mean @ self.axes)) / self.twist


@dataclass(frozen=True)
class ConjugateNetwork:
    """A fitted w: samples of the base P_w, and the map ∇w* that pushes them to the data.

    Attributes:
        coordinates: conversion between data x and v.
        potential: W(v).
        chains: (n, dim) states of P_W in v from which sampling starts.
        step: Langevin step length.
        walk: Langevin steps from a stored state to a new sample.
    """

    coordinates: Coordinates
    potential: ConvexPotential
    chains: Tensor
    step: float
    walk: int

    @property
    def dim(self) -> int:
        return len(self.coordinates.mean)

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Sample P_w, (count, dim) float32, by Langevin steps from random stored states."""
        if count < 0:
            raise InputError(f"the number of samples must be 0 or more, got {count}")
        device = generator.device
        rows = torch.randint(len(self.chains), (count,), generator=generator, device=device)
        if count == 0:
            return self.chains[:0].to(device)
        walked = self._walk(rows.to(self.chains.device), generator)
        return self.coordinates.outward(walked.points).to(device)

    def diagnose(self, generator: Generator, steps: int = 200) -> Chains:
        """Run the stored chains for longer, to measure acceptance rate and R̂."""
        return mala(
            self.potential,
            self.potential.gradient,
            self.chains,
            steps=steps,
            step=self.step,
            generator=generator,
        )

    def push(self, z: Tensor) -> Conjugate:
        """∇w*(z) at (n, dim), with a count of failures."""
        slope = self.coordinates.slope(self.coordinates.inward(z.to(self.chains.device)))
        start = slope - self.potential.centre.detach()
        found = conjugate(
            self.potential.gradient,
            slope,
            start,
            tolerance=PUSH_TOLERANCE * float(self.coordinates.twist.norm()),
            max_iterations=PUSH_ITERATIONS,
        )
        points = self.coordinates.outward(found.points)
        return Conjugate(points, found.failed, found.iterations)

    def gradient(self, x: Tensor) -> Tensor:
        """∇w(x) at (n, dim): the base point that the map sends to x."""
        with torch.no_grad():
            slope = self.potential.gradient(self.coordinates.inward(x))
        return self.coordinates.outward(self.coordinates.base_point(slope))

    def _walk(self, rows: Tensor, generator: Generator) -> Chains:
        return mala(
            self.potential,
            self.potential.gradient,
            self.chains[rows],
            steps=self.walk,
            step=self.step,
            generator=generator,
        )
