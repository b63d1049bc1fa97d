"""The conjugate of a smooth, strongly convex W: x*(z) = argmax_x ⟨x, z⟩ − W(x) = ∇W*(z).

Solves ∇W(x) = z for a whole batch by gradient steps of Barzilai and Borwein's short length (1988).
Each sample has its own step length, halved if the residual would exceed its recent maximum
(Grippo, Lampariello and Lucidi, 1986). Samples that do not converge are returned as they are and
counted: leaving them out would bias every average over the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

MEMORY = 5


@dataclass(frozen=True)
class Conjugate:
    """The result for a batch.

    Attributes:
        points: (n, dim) x*(z).
        failed: (n,) bool, whether the residual exceeds the tolerance after the last iteration.
        iterations: the number for the slowest sample.
    """

    points: Tensor
    failed: Tensor
    iterations: int


def conjugate(
    gradient: Callable[[Tensor], Tensor],
    z: Tensor,
    start: Tensor,
    *,
    tolerance: float,
    max_iterations: int = 200,
) -> Conjugate:
    """Solve gradient(x) = z for each row.

    Args:
        gradient: ∇W at (n, dim), strongly monotone.
        z, start: (n, dim).
        tolerance: limit on the Euclidean norm of gradient(x) − z.
    """
    with torch.no_grad():
        points = start.clone()
        rows = torch.arange(len(z), device=z.device)
        x, aim = start, z
        g = gradient(x) - aim
        size = g.norm(dim=1)
        recent = size[:, None].repeat(1, MEMORY)
        length = torch.ones_like(size)
        failed = torch.zeros(len(z), dtype=torch.bool, device=z.device)
        taken = 0
        for _ in range(max_iterations):
            open_ = ~(size <= tolerance)  # NaN stays open, and counts as failed
            if not open_.all():
                points[rows] = x
                rows, x, aim, g = rows[open_], x[open_], aim[open_], g[open_]
                size, recent, length = size[open_], recent[open_], length[open_]
                if len(rows) == 0:
                    break
            taken += 1
            x_new = x - length[:, None] * g
            g_new = gradient(x_new) - aim
            size_new = g_new.norm(dim=1)
            good = size_new <= recent.max(1).values
            change = g_new - g
            # short step: <s, y> / <y, y> with s = −length g
            short = -length * (g * change).sum(1) / change.square().sum(1).clamp(min=1e-30)
            keep = good[:, None]
            x, g = torch.where(keep, x_new, x), torch.where(keep, g_new, g)
            size = torch.where(good, size_new, size)
            length = torch.where(good, short.clamp(1e-6, 1e3), 0.3 * length)
            recent = torch.cat([recent[:, 1:], size[:, None]], 1)
        if len(rows):
            points[rows] = x
            failed[rows] = ~(size <= tolerance)
    return Conjugate(points, failed, taken)
