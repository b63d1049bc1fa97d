"""KeOps without its compiler: the reductions that pcgen asks for, computed densely.

It checks what KeOps checks of its arguments on CUDA and counts as KeOps costs: one kernel and one
wait for the device in each reduction. Where ``toolkit`` is False, it does what KeOps does without
CUDA's libraries: its CPU code reads device addresses, which is a fault. That the formulas of KeOps
itself give the right numbers is tested on the CPU, in ``tests/kernels``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.device import simulation

toolkit = True


class StandIn:
    """A lazy tensor, already evaluated; ``home`` is the device it is on, None for the CPU."""

    def __init__(self, value: Any, home: int | None = None) -> None:
        if isinstance(value, simulation.Dev):
            device = simulation.active
            if not value.is_contiguous():
                device.fault("keops", "an argument that is not contiguous is copied")
            if not toolkit:
                device.fault(
                    "keops", "KeOps found no CUDA, and its CPU code reads device addresses"
                )
            value, home = value.inner, value.device.index
        self.value, self.home = value, home

    def _with(self, other: StandIn, function: Callable[..., Any]) -> StandIn:
        if self.home != other.home:
            simulation.active.fault("keops", "arguments have different memory locations")
        return StandIn(function(self.value, other.value), self.home)

    def __sub__(self, other: StandIn) -> StandIn:
        return self._with(other, lambda a, b: a - b)

    def __add__(self, other: StandIn) -> StandIn:
        return self._with(other, lambda a, b: a + b)

    def __or__(self, other: StandIn) -> StandIn:
        return self._with(other, lambda a, b: (a * b).sum(-1, keepdim=True))

    def __pow__(self, power: int) -> StandIn:
        return StandIn(self.value**power, self.home)

    def __neg__(self) -> StandIn:
        return StandIn(-self.value, self.home)

    def exp(self) -> StandIn:
        return StandIn(self.value.exp(), self.home)

    def sum(self, dim: int) -> Any:
        if dim == -1:
            return StandIn(self.value.sum(-1, keepdim=True), self.home)
        return self._reduced(self.value.sum(dim))

    def logsumexp(self, dim: int) -> Any:
        return self._reduced(self.value.logsumexp(dim))

    def argKmin(self, k: int, dim: int) -> Any:
        index = self.value[..., 0].topk(k, dim=dim, largest=False).indices
        return self._reduced(index.movedim(dim, -1))

    def _reduced(self, found: Any) -> Any:
        if self.home is None:
            return found
        device = simulation.active
        device.kernels += 1
        device.by_operator["keops"] += 1
        device.sync("keops")
        return simulation.Dev(found, self.home)
