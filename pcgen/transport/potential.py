"""Convex potentials: the value, the gradient (a transport map) and the conjugate, in one object.

The semi-discrete potential is an upper envelope u(x) = max_i ⟨atom_i, x⟩ + h_i. Its gradient is
the atom of the cell of x; its smooth version replaces max by ε log Σ exp(·/ε).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pcgen import kernels
from pcgen.errors import InputError, TransportError
from pcgen.kernels.dense import score_rows
from pcgen.transport import chunking

# Scores in float32 have an error of about 1e-6 of the spread of the atoms; atoms closer together
# than this fraction of it need float64.
FLOAT32_SPACING = 1e-4

# Spread of atoms beyond which scores would leave the range of float32, or below its inverse.
FLOAT32_RANGE = 1e30


@dataclass(frozen=True, eq=False)
class UpperEnvelope:
    """u(x) = max_i ⟨atom_i, x⟩ + offset_i, evaluated about the atoms' centre to preserve digits.

    Attributes:
        atoms: (N, dim) float32 or float64.
        offset: (N,) float64, finite.
        backend: of :mod:`pcgen.kernels`.
    """

    atoms: Tensor
    offset: Tensor
    backend: str = "auto"

    @cached_property
    def centre(self) -> Tensor:
        """(dim,) float64, the mean of the atoms: ⟨centre, x⟩ is common to all scores."""
        return chunking.mean(self.atoms)

    @cached_property
    def dtype(self) -> torch.dtype:
        """The precision that distinguishes the scores of these atoms."""
        return working_dtype(self.atoms, self.centre)

    @cached_property
    def centred(self) -> Tensor:
        """The atoms (N, dim) about their centre, in :attr:`dtype`."""
        return chunking.centred(self.atoms, self.centre, self.dtype)

    def check_points(self, x: Tensor) -> None:
        """Check the shape (n, dim) and refuse NaN, which would get a cell like any other point."""
        if x.ndim != 2 or x.shape[1] != self.atoms.shape[1]:
            raise InputError(f"points must be (n, {self.atoms.shape[1]}), got {tuple(x.shape)}")
        broken = int((~x.isfinite()).any(1).sum())
        if broken:
            raise InputError(
                f"{broken} of {len(x)} points contain NaN or infinite values; leave them out or "
                "correct the source"
            )

    def cells(self, x: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
        """The k best cells of each point.

        Args:
            x: (n, dim).
        Returns:
            scores (n, k), without the common ⟨centre, x⟩, and cell indices (n, k), best first.
        """
        self.check_points(x)
        x = x.to(self.dtype)
        return kernels.best_cells(x, self.centred, self.offset, k=k, backend=self.backend)

    def value(self, x: Tensor) -> Tensor:
        """u at (n, dim), as (n,) float64."""
        return self.cells(x)[0][:, 0].double() + x.double() @ self.centre

    def gradient(self, x: Tensor) -> Tensor:
        """The atom of the cell of each point, (n, dim) in the dtype of the atoms."""
        return self.atoms[self.cells(x)[1][:, 0]]

    def smooth(self, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """ε log Σ exp(score/ε), (n,) float64, and its gradient, the mean atom, (n, dim).

        The gradient needs the shares of all atoms, so x is processed in small blocks.
        """
        rows = score_rows(x, self.atoms)
        values, means = [], []
        offset = (self.offset / epsilon).to(self.dtype)
        for block in x.to(self.dtype).split(rows):
            scores = torch.addmm(offset, block, self.centred.T, alpha=1 / epsilon)
            values.append(scores.logsumexp(1).double() * epsilon)
            means.append(scores.softmax(1) @ self.centred)
        mean = (torch.cat(means).double() + self.centre).to(self.atoms.dtype)
        return torch.cat(values) + x.double() @ self.centre, mean

    def conjugate(self, y: Tensor) -> Tensor:
        """u*(y) = min Σ λ_i (-offset_i) over convex weights with Σ λ_i atom_i = y.

        Solves a small linear program per point; +inf outside the convex hull of the atoms. At an
        atom whose cell is not empty it is -offset_i.

        Args:
            y: (n, dim).
        """
        from scipy.optimize import linprog

        matrix = torch.cat([self.centred.double(), torch.ones(len(self.atoms), 1)], 1).T.numpy()
        values = torch.full((len(y),), torch.inf, dtype=torch.float64)
        for row, point in enumerate(y.double() - self.centre):
            right = torch.cat([point, torch.ones(1)]).numpy()
            found = linprog(-self.offset.numpy(), A_eq=matrix, b_eq=right, method="highs")
            if found.status == 0:
                values[row] = found.fun
            elif found.status != 2:  # 2: infeasible, outside the hull
                raise TransportError(f"the conjugate at point {row} failed: {found.message}")
        return values


def working_dtype(atoms: Tensor, centre: Tensor | None = None) -> torch.dtype:
    """float32 if it distinguishes the scores of neighbouring atoms, else float64.

    Args:
        atoms: (N, dim); centre: (dim,) float64, their mean; zero by default.
    """
    around = atoms.new_zeros(atoms.shape[1]).double() if centre is None else centre
    sample = atoms[:: max(1, len(atoms) // 512)].double() - around
    if len(sample) < 2:
        return torch.float32
    spread = sample.square().sum(1).mean().sqrt()
    if not 1 / FLOAT32_RANGE < spread < FLOAT32_RANGE:
        return torch.float64
    # The nearest atoms to a few of them, found by the scores that must be resolved.
    few = sample[:: max(1, len(sample) // 64)]
    scores, index = few.new_empty(len(few), 0), torch.empty((len(few), 0), dtype=torch.int64)
    index = index.to(few.device)
    for part, block in chunking.centred_blocks(atoms, around):
        half = -0.5 * block.square().sum(1)
        k = min(2, len(block))
        found, where = kernels.best_cells(few, block, half, k=k, backend="dense")
        scores, index = torch.cat([scores, found], 1), torch.cat([index, where + part.start], 1)
        scores, order = scores.topk(min(2, scores.shape[1]), dim=1)
        index = index.gather(1, order)
    gaps = (atoms[index[:, 0]].double() - atoms[index[:, 1]].double()).square().sum(1).sqrt()
    gaps = gaps[gaps > 0]
    if len(gaps) and gaps.quantile(0.1) < FLOAT32_SPACING * spread:
        return torch.float64
    return torch.float32
