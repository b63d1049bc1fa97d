"""The "EMD" of published tables: an annealed soft assignment, in two variants.

Neither is an optimal assignment. They differ in the last level of the schedule and in the power of
the distance, so their values are not comparable:

=================  =======================  =============  ==============================
variant            levels λ = −4^j          cost           used by
=================  =======================  =============  ==============================
emd_pointflow      j = 7 … −1               Σ M·d / N      PointFlow, ShapeGF
emd_pytorchemd     j = 7 … −1, then λ = 0   Σ M·d² / N     PVD, LION, PSF, TIGER, DiT-3D
=================  =======================  =============  ==============================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError

STABILISER = 1e-9


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One annealing schedule: its levels, from sharp to soft, and the power of d in the cost."""

    levels: tuple[float, ...]
    squared_cost: bool


_FALLING = tuple(-(4.0**j) for j in range(7, -2, -1))
VARIANTS = {
    "emd_pointflow": Variant(levels=_FALLING, squared_cost=False),
    "emd_pytorchemd": Variant(levels=(*_FALLING, 0.0), squared_cost=True),
}


def annealed_table(
    x: NDArray[np.float32], y: NDArray[np.float32], variant: str, backend: str
) -> NDArray[np.float64]:
    """The costs (a, b) between all clouds of x (a, n, 3) and y (b, n, 3).

    All points of both clouds have mass L = R = 1; for each level λ of a decreasing schedule::

        E = exp(λ d²)      rL = L / (E·R + 1e-9)      s = (rL·E) ∘ R
        rR = R ∘ min(1, R / (s + 1e-9))               R ← max(0, R − s)
        W = E ∘ rL ∘ rR    M ← M + W                  L ← max(0, L − rowsum W)

    The cost is the transported mass M times the distance, over the number of points. It is not
    symmetric. As in PointFlow's public code, an evaluation passes the reference shape first.

    Args:
        backend: ``native`` (compiled, 36-40 ms per pair of 2048 points on one core) or ``dense``
            (torch, the readable reference, 0.7 s).
    """
    if x.shape[1] != y.shape[1]:
        raise InputError(
            f"{variant} needs clouds of one size, got {x.shape[1]} and {y.shape[1]} points"
        )
    schedule = VARIANTS[variant]
    if backend == "native":
        from pcgen.kernels import native

        levels = np.array(schedule.levels, np.float32)
        first, second = native.prepare(x), native.prepare(y)
        return native.annealed_table(first, second, levels, squared_cost=schedule.squared_cost)
    return np.array([[annealed_dense(a, b, schedule) for b in y] for a in x])


def annealed_dense(x: NDArray[np.float32], y: NDArray[np.float32], variant: Variant) -> float:
    """The recursion above for one pair (n, 3), line by line."""
    import torch

    squared = (torch.from_numpy(x)[:, None] - torch.from_numpy(y)[None]).square().sum(-1)
    paid = squared if variant.squared_cost else squared.sqrt()
    left, right = torch.ones(len(x)), torch.ones(len(y))
    cost = 0.0
    for level in variant.levels:
        kernel = torch.exp(level * squared)
        ratio_left = left / (kernel @ right + STABILISER)
        wanted = (ratio_left @ kernel) * right
        ratio_right = right * (right / (wanted + STABILISER)).clamp(max=1)
        right = (right - wanted).clamp(min=0)
        moved = kernel * ratio_left[:, None] * ratio_right
        cost += float((moved * paid).sum(dtype=torch.float64))
        left = (left - moved.sum(1)).clamp(min=0)
    return cost / len(x)
