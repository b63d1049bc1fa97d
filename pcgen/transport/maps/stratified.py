"""Stratified sampling: small sets that cover the cells of a transport evenly.

Independent samples repeat cells. Here a sample is skipped while its cell has had more than its
share, so each cell receives its mass up to one sample even in a small set. Cells of equal mass are
interchangeable, so every single sample still has the distribution of the source; the samples of a
set are merely no longer independent.
"""

from __future__ import annotations

import math

from torch import Tensor

HEADROOM = 2.0
"""A cell may get this many times its share, plus one sample. Then at most every second sample is
skipped on average; without headroom, a round would wait for its last cell."""

PATIENCE = 64
"""After this many consecutive skipped samples the next is kept: the source then reaches too few of
the cells to be even."""


class StratifiedSampler:
    """Counts samples per group of cells and decides which samples to keep.

    Args:
        mass: (groups,) non-negative masses, which are normalised.
    """

    def __init__(self, mass: Tensor) -> None:
        self._share = (HEADROOM * mass.double() / mass.double().sum()).tolist()
        self._visits = [0] * len(mass)
        self._kept = self._passed = 0

    def keep(self, groups: Tensor) -> list[int]:
        """Indices of the samples to keep, given the groups (n,) int64 of the next samples."""
        positions = []
        for position, group in enumerate(groups.tolist()):
            allowed = 1 + math.floor(self._kept * self._share[group])
            if self._visits[group] >= allowed and self._passed < PATIENCE:
                self._passed += 1
                continue
            self._visits[group] += 1
            self._kept += 1
            self._passed = 0
            positions.append(position)
        return positions
