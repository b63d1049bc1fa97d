"""The C loops of :func:`pcgen.kernels.pooled_features`, as an operation with a gradient.

It is not part of ``native.py`` because its class needs torch, which not all users of that load.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from pcgen.kernels.compiled import call, over_threads

# Rows of weights are padded to a multiple of this, see native.c.
PADDED = 16


class PooledFeatures(torch.autograd.Function):
    """See :func:`pcgen.kernels.pooled_features`; for points (patches, k, dim).

    Hidden features are computed again for the gradient, which is faster than storing them.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx, points: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor
    ) -> Tensor:
        (patches, k, dim), (features, hidden) = points.shape, w2.shape
        value = points.new_empty(patches, features)
        winner = torch.empty_like(value, dtype=torch.int32)
        tables = _padded(w1.T, b1[None]).numpy(), _padded(w2.T, b2[None]).numpy()
        x, *out = points.numpy(), value.numpy(), winner.numpy()

        def run(rows: slice) -> None:
            part, best, first = x[rows], *(array[rows] for array in out)
            call("pool_table", part, *tables, len(part), k, dim, hidden, features, best, first)

        over_threads(run, patches, k * features)
        ctx.save_for_backward(points, w1, b1, w2, winner)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        points, w1, b1, w2, winner = ctx.saved_tensors
        (patches, k, dim), (features, hidden) = points.shape, w2.shape
        first, second = _padded(w1.T, b1[None]), _padded(w2)
        to_first, to_second = torch.zeros_like(first), torch.zeros_like(second)
        upstream = upstream.contiguous()
        given = (t.numpy() for t in (points, first, second, winner, upstream))
        out = to_first.numpy(), to_second.numpy()
        call("pool_gradient", *given, patches, k, dim, hidden, features, *out)
        # The fused optimiser assumes that gradients lie as their weights do.
        slopes = to_first[:dim, :hidden].T, to_first[dim, :hidden], to_second[:, :hidden]
        return None, *(slope.contiguous() for slope in slopes), upstream.sum(0)


def _padded(*rows: Tensor) -> Tensor:
    """Rows one after the other, padded with zeros."""
    table = torch.cat(rows)
    return pad(table, (0, -table.shape[1] % PADDED)).contiguous()
