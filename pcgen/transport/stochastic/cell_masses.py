"""The mass of each cell in a batch of samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pcgen import kernels
from pcgen.transport.stochastic.lattice_sampling import LeadingCoordinates


@dataclass(frozen=True, eq=False)
class SampleBatch:
    """A batch of source samples in working coordinates.

    Attributes:
        x: (count, r), or without the leading coordinates if these are redrawn.
        moves: (count, 2, 4, r), the redrawn coordinates; None for plain samples.
    """

    x: Tensor
    moves: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, part: slice) -> SampleBatch:
        return SampleBatch(self.x[part], None if self.moves is None else self.moves[part])


@dataclass(frozen=True, eq=False)
class CellMasses:
    """Cell masses, summed over independent rows.

    Attributes:
        mass: (n,) float64, Σ c_i over rows, c_i the share of cell i in a row; sums to ``rows``.
        square: Σ over rows of Σ_i c_i² / ν_i; NaN if it was not measured.
        rows: number of rows.
    """

    mass: Tensor
    square: float
    rows: int

    def __add__(self, other: CellMasses) -> CellMasses:
        square, rows = self.square + other.square, self.rows + other.rows
        return CellMasses(self.mass + other.mass, square, rows)

    def variance(self, weights: Tensor) -> float:
        """Σ_i Var(c_i) / ν_i for one row: M times the χ² of the mean of M rows due to noise.

        For plain samples and the right masses it is n - 1.
        """
        mean = self.mass / self.rows
        return self.square / self.rows - (mean.square() / weights).sum().item()


def cell_masses(
    rows: SampleBatch,
    atoms: Tensor,
    leading: LeadingCoordinates | None,
    potential: Tensor,
    weights: Tensor,
    epsilon: float,
    backend: str = "auto",
) -> CellMasses:
    """Compute the masses of the cells in a batch.

    Args:
        atoms: (n, r) in working coordinates; leading: of these, if the rows have moves.
        potential: (n,) float64; weights: (n,) float64, positive.
        epsilon: smoothing of the cells in units of a score, 0 for hard cells.
    """
    if rows.moves is not None and leading is not None:
        mass, square = kernels.redrawn_cells(
            rows.x,
            leading.rest,
            potential,
            epsilon,
            slopes=leading.slopes,
            moves=rows.moves,
            importance=(1 / weights).to(rows.x.dtype),
        )
        return CellMasses(mass, square, len(rows))
    if epsilon:
        _, mass = kernels.soft_cells(rows.x, atoms, potential, epsilon, backend=backend)
        return CellMasses(mass, float("nan"), len(rows))
    _, cell = kernels.best_cells(rows.x, atoms, potential, backend=backend)
    mass = torch.bincount(cell[:, 0], minlength=len(atoms)).double()
    return CellMasses(mass, (mass / weights).sum().item(), len(rows))
