"""Sources whose cell masses are computed exactly: uniform on convex bodies, densities on a grid."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pcgen.errors import InputError
from pcgen.transport.exact.facets import Facets, Index

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ConvexDomain:
    """The uniform measure on the convex hull of some points, in 2D or 3D.

    Attributes:
        corners: (V, dim) float64, points whose hull is the domain; interior ones do not matter.
    Raises:
        InputError: the dimension is not 2 or 3, NaN, or a hull without area or volume.
    """

    corners: Any
    name = "convex"

    def __post_init__(self) -> None:
        corners = np.asarray(self.corners, dtype=np.float64)
        if corners.ndim != 2 or corners.shape[1] not in (2, 3):
            raise InputError(f"corners must be (V, 2) or (V, 3), got {corners.shape}")
        if not np.isfinite(corners).all():
            raise InputError("corners contain NaN or infinite coordinates")
        object.__setattr__(self, "corners", corners)
        extent = np.linalg.svd(corners - corners.mean(0), compute_uv=False)
        if len(corners) <= corners.shape[1] or extent[-1] <= 1e-9 * extent[0]:
            raise InputError("the corners span no area or volume; a domain must not be flat")

    @classmethod
    def box(cls, low: Any, high: Any) -> ConvexDomain:
        """The axis-parallel box between two corners."""
        return cls(np.array(list(itertools.product(*zip(low, high, strict=True)))))

    @property
    def dim(self) -> int:
        """2 or 3."""
        return int(self.corners.shape[1])

    @cached_property
    def _hull(self) -> Any:
        from scipy.spatial import ConvexHull

        return ConvexHull(self.corners)

    @cached_property
    def sides(self) -> tuple[Array, Array]:
        """Outward unit normals (F, dim) and offsets (F,): the domain is {normal·x <= offset}."""
        # Qhull lists a triangulated face once per triangle; rounding identifies the copies. The
        # unrounded values are used, since masses are compared with the volume of the hull.
        every = self._hull.equations
        equations = every[np.unique(every.round(12), axis=0, return_index=True)[1]]
        return equations[:, :-1], -equations[:, -1]

    @property
    def volume(self) -> float:
        """Area in 2D."""
        return float(self._hull.volume)

    @cached_property
    def _simplices(self) -> tuple[Array, Array]:
        """A triangulation: simplices (S, dim + 1, dim) and their volumes up to a factor."""
        from scipy.spatial import Delaunay

        simplices = self.corners[Delaunay(self.corners, qhull_options="QJ").simplices]
        return simplices, np.abs(np.linalg.det(simplices[:, 1:] - simplices[:, :1]))

    @cached_property
    def moments(self) -> tuple[Array, Array]:
        """Mean (dim,) and covariance (dim, dim) of the uniform measure."""
        simplices, volumes = self._simplices
        share, k = volumes / volumes.sum(), self.dim + 1
        centres = simplices.mean(1)
        mean = share @ centres
        spread = simplices - mean
        total = spread.sum(1)
        # E xxᵀ over a simplex with vertices v: (Σ v vᵀ + (Σ v)(Σ v)ᵀ) / (k (k + 1)).
        second = np.einsum("svi,svj->sij", spread, spread) + np.einsum("si,sj->sij", total, total)
        return mean, np.einsum("s,sij->ij", share, second) / (k * (k + 1))

    def sample(self, count: int, generator: Generator) -> Tensor:
        """(count, dim) float32, uniform."""
        simplices, volumes = self._simplices
        chosen = torch.multinomial(
            torch.from_numpy(volumes), count, replacement=True, generator=generator
        )
        uniform = torch.rand(count, self.dim + 1, generator=generator, dtype=torch.float64)
        shares = -torch.log1p(-uniform)
        shares /= shares.sum(1, keepdim=True)
        return torch.einsum("sv,svd->sd", shares, torch.from_numpy(simplices)[chosen]).float()


class Density(Protocol):
    """A density on a convex domain, given by its integrals over facets."""

    def flux_through(self, facets: Facets) -> tuple[Array, Array]:
        """The integral of the density over each facet (W,), and the outflow through it (W,).

        The outflow is that of a field whose divergence is the density, in the direction of the
        facets' normals: summed over the facets of a cell, it is the cell's mass.
        """


@dataclass(frozen=True, eq=False)
class GridDensity:
    """A density on a rectangle, constant on each cell of a grid.

    Attributes:
        values: (rows, columns), non-negative, not all zero; row 0 is lowest in y, column 0 in x.
            Any unit: they are normalised to a total mass of one.
        low, high: corners (x, y) of the rectangle.
    """

    values: Any
    low: tuple[float, float] = (-0.5, -0.5)
    high: tuple[float, float] = (0.5, 0.5)
    name = "grid"
    dim = 2

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 2 or values.size == 0:
            raise InputError(f"grid values must be (rows, columns), got {values.shape}")
        if not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
            raise InputError("grid values must be finite, not negative and not all zero")
        if not (self.low[0] < self.high[0] and self.low[1] < self.high[1]):
            raise InputError(f"low must be below high, got {self.low} and {self.high}")
        area = (self.high[0] - self.low[0]) * (self.high[1] - self.low[1]) / values.size
        object.__setattr__(self, "values", values / (values.sum() * area))

    @cached_property
    def domain(self) -> ConvexDomain:
        """The rectangle."""
        return ConvexDomain.box(self.low, self.high)

    @cached_property
    def edges(self) -> tuple[Array, Array]:
        """Grid lines in x (columns + 1,) and in y (rows + 1,)."""
        rows, columns = self.values.shape
        return (
            np.linspace(self.low[0], self.high[0], columns + 1),
            np.linspace(self.low[1], self.high[1], rows + 1),
        )

    def at(self, points: Array) -> tuple[Array, Array]:
        """The density ρ at points (n, 2), and ∫ ρ dx from the left edge to the point, both (n,)."""
        x, y = self.edges
        rows, columns = self.values.shape
        width = x[1] - x[0]
        column = np.clip(((points[:, 0] - x[0]) / width).astype(int), 0, columns - 1)
        row = np.clip(((points[:, 1] - y[0]) / (y[1] - y[0])).astype(int), 0, rows - 1)
        before = np.concatenate([np.zeros((rows, 1)), self.values.cumsum(1) * width], 1)
        density = self.values[row, column]
        return density, before[row, column] + density * (points[:, 0] - x[column])

    def flux_through(self, facets: Facets) -> tuple[Array, Array]:
        """See :class:`Density`; the field is (∫ ρ dx, 0).

        Facets are cut at grid lines; on each piece the field is linear, so the midpoint is exact.
        """
        owner, middle, length = _cut(facets.ends, self)
        rho, integral = self.at(middle)
        count = len(facets.size)
        flux: Array = np.bincount(owner, rho * length, count).astype(float)
        return flux, np.bincount(owner, integral * length, count) * facets.normal[:, 0]

    def sample(self, count: int, generator: Generator) -> Tensor:
        """(count, 2) float32."""
        rows, columns = self.values.shape
        weights = torch.from_numpy(self.values.reshape(-1))
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
        corner = torch.stack([chosen % columns, chosen // columns], 1)
        inside = torch.rand(count, 2, generator=generator, dtype=torch.float64)
        low, high = torch.tensor(self.low), torch.tensor(self.high)
        return (low + (high - low) * (corner + inside) / torch.tensor([columns, rows])).float()


def _cut(ends: Array, density: GridDensity) -> tuple[Index, Array, Array]:
    """Cut segments (W, 2, 2) at grid lines: segment, midpoint and length of each piece."""
    count = len(ends)
    owners, places = [np.arange(count), np.arange(count)], [np.zeros(count), np.ones(count)]
    for axis, lines in enumerate(density.edges):
        one, other = ends[:, 0, axis], ends[:, 1, axis]
        low = np.searchsorted(lines, np.minimum(one, other), side="right")
        high = np.searchsorted(lines, np.maximum(one, other), side="left")
        crossings = np.maximum(high - low, 0)
        owner = np.repeat(np.arange(count), crossings)
        rank = np.arange(len(owner)) - np.repeat(np.cumsum(crossings) - crossings, crossings)
        owners.append(owner)
        places.append((lines[low[owner] + rank] - one[owner]) / (other - one)[owner])
    owner, place = np.concatenate(owners), np.clip(np.concatenate(places), 0, 1)
    order = np.lexsort((place, owner))
    owner, place = owner[order], place[order]
    same = owner[1:] == owner[:-1]
    segment = owner[:-1][same]
    before, after = place[:-1][same], place[1:][same]
    step = ends[segment, 1] - ends[segment, 0]
    middle = ends[segment, 0] + step * (0.5 * (before + after))[:, None]
    return segment, middle, np.linalg.norm(step, axis=1) * (after - before)
