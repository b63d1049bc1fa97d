"""Dual ascent for a base that is being trained: a potential over the latents that follows it.

A few steps of stochastic ascent per base step, with the same relative mass error as in
:class:`pcgen.transport.SemidualSolver`. The gain does not vanish, because the base keeps moving,
and the map uses a running mean of the potential. A Gaussian base that was fitted in this way
shrank: docs/notes/base.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from pcgen import kernels

if TYPE_CHECKING:
    from torch import Tensor

SOFTEST, HARDEST = 0.3, 0.02
"""The initial and the final smoothing ε of the cells, in standard deviations of a score."""
MEMORY = 0.98
"""Decay of the running mean of the potential, per dual step."""


class DualAscent:
    """A potential h; the cell of atom i is where ⟨atom_i − centre, x⟩ + h_i is largest.

    Args:
        atoms: (N, dim) float32, of equal weight; copies share the mass of their cell arbitrarily.
    """

    def __init__(self, atoms: Tensor) -> None:
        self.centre = atoms.mean(0)
        self.atoms = atoms - self.centre
        self.potential = torch.zeros(len(atoms), dtype=torch.float64, device=atoms.device)
        self.mean = self.potential.clone()
        self.steps = 0

    def step(self, x: Tensor) -> None:
        """Take one step with a batch (n, dim) of the base."""
        self.steps += 1
        score = x[:256] @ self.atoms.T
        unit = float((score - score.mean(1, keepdim=True)).std().clamp(min=1e-12))
        epsilon = unit * max(HARDEST, SOFTEST / math.sqrt(self.steps))
        _, mass = kernels.soft_cells(x, self.atoms, self.potential, epsilon)
        count = len(self.atoms)
        gain = epsilon * min(1.0, math.sqrt(len(x) / count))
        self.potential = self.potential + gain * (1 - mass * (count / len(x)))
        self.potential -= self.potential.mean()
        keep = min(MEMORY, 1 - 2 / (self.steps + 1))
        self.mean = keep * self.mean + (1 - keep) * self.potential

    def map(self, x: Tensor) -> Tensor:
        """T(x): the latents (n, dim) whose cells contain x."""
        _, index = kernels.best_cells(x, self.atoms, self.mean)
        return self.atoms[index[:, 0]] + self.centre
