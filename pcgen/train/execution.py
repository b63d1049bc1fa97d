"""How a training step is computed: its processes, parts and precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from pcgen.errors import InputError
from pcgen.processes import ALONE, Group

PRECISIONS = ("float32", "tf32", "bfloat16")
MOST_THREADS = 8
"""Processes that share a batch on the CPU, one for each of torch's threads. Each makes a gradient
of all weights, and they are added in turn."""


@dataclass(frozen=True)
class Execution:
    """Options that change the time and memory of a step, but its result only by rounding.

    Attributes:
        group: the processes that share each batch.
        accumulate: number of parts into which a process cuts its rows of a batch. The parts are
            computed one after the other and their gradients added, so a step needs the memory
            of one part.
        precision: of the products in linear layers. ``bfloat16`` rounds their operands to 8 bits,
            ``tf32`` to 11 on a CUDA device that supports it, and not on a CPU. Everything else
            (weights, sums, losses, geometry, optimiser) stays float32. This is not autocast,
            which would also round the covariances of mixtures.
    """

    group: Group = ALONE
    accumulate: int = 1
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.accumulate < 1:
            raise InputError(f"accumulate must be at least 1, got {self.accumulate}")
        if self.precision not in PRECISIONS:
            raise InputError(
                f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}"
            )

    def check_batch(self, batch: int, name: str) -> None:
        """Refuse a batch with fewer rows than there are parts."""
        parts = self.group.size * self.accumulate
        if batch < parts:
            raise InputError(
                f"{name} has batches of {batch}, too few for {self.group.size} processes with "
                f"--accumulate {self.accumulate}: at most {batch} parts; start fewer processes"
            )

    def check_device(self, device: str) -> None:
        """Refuse a precision that the device does not support."""
        if self.precision == "bfloat16" and device.startswith("cuda"):
            with torch.cuda.device(device):
                if not torch.cuda.is_bf16_supported():
                    raise InputError(f"{device} does not support bfloat16; use --precision float32")

    def parts(self, batch: int, threads: int = 1) -> Iterator[slice]:
        """The rows of a batch that are computed here, part by part: ``accumulate`` for each of
        ``threads``, or of as many as there are rows for, at most :data:`MOST_THREADS`."""
        threads = max(1, min(threads, MOST_THREADS, batch // (self.group.size * self.accumulate)))
        here = threads * self.accumulate
        count, first = self.group.size * here, self.group.rank * here
        for part in range(first, first + here):
            yield slice(batch * part // count, batch * (part + 1) // count)

    def rounding(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which a loss is computed and differentiated."""
        modes = {"bfloat16": _Bfloat16Products, "tf32": _Tf32Products}
        return modes.get(self.precision, contextlib.nullcontext)()


class _Bfloat16Products(TorchFunctionMode):
    """``linear`` multiplies in bfloat16, accumulates in float32 and returns float32."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is functional.linear:
            x, weight, bias = (*args, None)[:3]
            x = x.to_dense() if x.is_mkldnn else x  # oneDNN's layout has no bfloat16 here
            product = func(x.to(torch.bfloat16), weight.to(torch.bfloat16)).to(x.dtype)
            return product if bias is None else product + bias
        return func(*args, **(kwargs or {}))


class _Tf32Products(TorchFunctionMode):
    """``linear`` and the backward pass multiply in TF32, if the device supports it.

    No other product does: the scores of mixtures are small differences of large numbers.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func not in (functional.linear, Tensor.backward):
            return func(*args, **(kwargs or {}))
        products = torch.backends.cuda.matmul
        before = products.allow_tf32
        products.allow_tf32 = True
        try:
            return func(*args, **(kwargs or {}))
        finally:
            products.allow_tf32 = before
