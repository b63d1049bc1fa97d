"""The C loops of :func:`pcgen.kernels.mixture_coefficients`, as an operation with a gradient.

It is not part of ``native.py`` because its class needs torch, which not all users of that load.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pcgen.kernels.compiled import call

NUMBERS = 10  # coefficients of a Gaussian in three dimensions


class MixtureCoefficients(torch.autograd.Function):
    """See :func:`pcgen.kernels.mixture_coefficients`.

    In torch, matrices of 3 by 3 take some hundred small operations. Inverses are computed again
    for the gradient, which is faster than storing them.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx, centre: Tensor, factor: Tensor, log_weight: Tensor, thickness: float
    ) -> Tensor:
        given = [value.detach().contiguous() for value in (centre, factor, log_weight)]
        batch, parts = log_weight.shape
        out = centre.new_empty(batch, NUMBERS, parts)
        square = ctypes.c_double(thickness**2)
        arrays = (value.numpy() for value in (*given, out))
        call("mixture_coefficients", *arrays, batch, parts, square)
        ctx.save_for_backward(*given[:2])
        ctx.square = square
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        centre, factor = ctx.saved_tensors
        to_centre, to_factor = torch.empty_like(centre), torch.empty_like(factor)
        arrays = [v.numpy() for v in (centre, factor, upstream.contiguous(), to_centre, to_factor)]
        call("mixture_gradient", *arrays, *centre.shape[:2], ctx.square)
        return to_centre, to_factor, upstream[:, -1], None
