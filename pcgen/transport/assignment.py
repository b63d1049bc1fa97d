"""Exact W₂² between two sets of points by assignment, and its debiased form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def assignment_cost(x: Tensor, y: Tensor) -> float:
    """Exact W₂² between two sets of the same number of points (n, dim)."""
    from scipy.optimize import linear_sum_assignment

    table = torch.cdist(x.double(), y.double()).square().cpu().numpy()
    rows, columns = linear_sum_assignment(table)
    return float(table[rows, columns].mean())


def centred_cost(x: Tensor, x2: Tensor, y: Tensor, y2: Tensor) -> float:
    """W₂² between two distributions from two independent samples (n, dim) of each, debiased.

    ½ [W(x, y) + W(x', y')] − ½ [W(x, x') + W(y, y')], where W is the exact squared distance: the
    bias n^(−2/dim) of the plain estimate mostly cancels, and equal distributions score 0 on average
    (Chizat et al., "Faster Wasserstein distance estimation with the Sinkhorn divergence", 2020). In
    many dimensions a positive distance is underestimated, by a third to a half at dim 64 to 256;
    the order of distances is right. The result may be negative.
    """
    across = assignment_cost(x, y) + assignment_cost(x2, y2)
    within = assignment_cost(x, x2) + assignment_cost(y, y2)
    return 0.5 * (across - within)
