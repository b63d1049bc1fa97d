"""Stratified sampling: small sets that cover the cells of a transport evenly.

Independent samples repeat cells, and cells that have something in common, like two children of one
shape. Such cells form a group. A sample is skipped while one of its groups has had its share,
rounded up, so a small set meets each group at most once and a larger one meets it in proportion to
its mass. The samples of a set are therefore not independent, while in the long run they have the
distribution of the source.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

ROUNDING = 1e-9
"""Masses add up to one up to rounding, so a share may miss a whole sample by as little."""
PATIENCE = 64
"""After this many consecutive skipped samples the next is kept: the source then reaches too few of
the cells to be even."""


class StratifiedSampler:
    """Counts samples per group of cells and decides which samples to keep.

    Args:
        mass: (cells,) non-negative masses, which are normalised.
        groups: (cells, k) int64, the groups of each cell, repeated if it has fewer than k; by
            default each cell is a group.
    """

    def __init__(self, mass: Tensor, groups: Tensor | None = None) -> None:
        self._groups = torch.arange(len(mass))[:, None] if groups is None else groups
        ordered = self._groups.sort(1).values
        first = torch.ones_like(ordered, dtype=torch.bool)
        first[:, 1:] = ordered.diff() > 0
        each = (mass.double() / mass.double().sum())[:, None].expand_as(ordered)
        self._share: list[float] = torch.bincount(ordered[first], each[first]).tolist()
        self._visits = [0] * len(self._share)
        self._kept = self._passed = 0

    def keep(self, cells: Tensor) -> list[int]:
        """Indices of the samples to keep, given the cells (n,) int64 of the next samples."""
        positions = []
        for position, named in enumerate(self._groups[cells].tolist()):
            groups = set(named)
            full = any(self._visits[g] > self._allowed(g) for g in groups)
            if full and self._passed < PATIENCE:
                self._passed += 1
                continue
            for group in groups:
                self._visits[group] += 1
            self._kept += 1
            self._passed = 0
            positions.append(position)
        return positions

    def _allowed(self, group: int) -> int:
        """The group's share of the samples so far, rounded down."""
        return math.floor(self._kept * self._share[group] + ROUNDING)
