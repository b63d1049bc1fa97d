"""Stratified draws: small sets that cover the cells of a transport evenly.

Independent draws repeat cells. Here a draw is skipped while its cell has had more than its share,
so each cell receives its mass in a small set too, up to one draw. Cells of equal mass are
interchangeable, so every single draw still has the law of the source; only the draws of a set are
no longer independent, as in stratified sampling.
"""

from __future__ import annotations

import math

from torch import Tensor

HEADROOM = 2.0
"""A cell may have this many times its share, plus one draw: then at most every second draw is
skipped on average. Without headroom, a round would wait for its last cell."""

PATIENCE = 64
"""After this many skipped draws in a row the next is kept: the source then visits too few of the
cells to be even."""


class StratifiedSampler:
    """Counts draws per group of cells and decides which draws to keep.

    Args:
        mass: (groups,) non-negative masses; their sum is taken for one.
    """

    def __init__(self, mass: Tensor) -> None:
        self._share = (HEADROOM * mass.double() / mass.double().sum()).tolist()
        self._visits = [0] * len(mass)
        self._kept = self._passed = 0

    def keep(self, groups: Tensor) -> list[int]:
        """Positions in ``groups`` (n,) int64, the groups of the next draws, that are kept."""
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
