"""Input-convex networks (Amos, Xu and Kolter, 2017), strongly convex and with an explicit gradient.

    W(v) = ½ Σ κ_i v_i² + c·v + s · icnn(v / unit),   κ_i ≥ floor > 0

A hidden layer is softplus(P h + A u + b) with P ≥ 0 entrywise; the output weights are also
positive. The gradient with respect to v is explicit: Langevin steps and conjugates need it
thousands of times without a graph, and a gradient that is part of a loss is then an ordinary
expression.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Generator, Tensor

FLOOR = 0.02
"""The minimum curvature relative to the Gaussian's. It bounds the slope of near-jumps of ∇W*."""


OUTPUT_START = -2.5
"""Output weights start at softplus of this: small, yet large enough for training."""


class ConvexPotential(nn.Module):
    """W as above, starting near the quadratic ½|v|² + centre·v.

    Args:
        unit: (dim,) standard deviations of the data, the unit of the network's input.
        centre: (dim,) the initial linear term.
        hidden: widths of the hidden layers.
    """

    unit: Tensor

    def __init__(
        self, unit: Tensor, centre: Tensor, hidden: tuple[int, ...], generator: Generator
    ) -> None:
        super().__init__()
        dim = len(unit)
        self.register_buffer("unit", unit.float())
        self.scale = float(unit.double().square().mean())
        # softplus(free) is 1 − FLOOR at the start, so that κ starts at 1.
        self.free = nn.Parameter(self.unit.new_full((dim,), math.log(math.expm1(1 - FLOOR))))

        def draw(*shape: int, gain: float) -> nn.Parameter:
            drawn = torch.randn(*shape, generator=generator, device=generator.device)
            return nn.Parameter(gain * drawn.to(self.unit))

        # W varies by unit² along each direction; without this, narrow ones start too stiff.
        share = unit.float() / unit.float().square().mean().sqrt()
        gain = 2 / math.sqrt(dim)
        self.inputs = nn.ParameterList(
            [nn.Parameter(draw(width, dim, gain=gain).detach() * share) for width in hidden]
        )
        self.biases = nn.ParameterList([draw(width, gain=1.0) for width in hidden])
        self.passes = nn.ParameterList(
            [draw(after, before, gain=0.5) for before, after in itertools.pairwise(hidden)]
        )
        self.output = nn.Parameter(self.unit.new_full((hidden[-1],), OUTPUT_START))
        # The linear term compensates the initial slope of the hidden layers.
        self.centre = nn.Parameter(self.unit.new_zeros(dim))
        own = self.gradient(self.unit.new_zeros(1, dim))[0].detach()
        self.centre = nn.Parameter(centre.float() - own)

    def forward(self, v: Tensor) -> Tensor:
        """W(v) at (n, dim), as (n,)."""
        h, _ = self._hidden(v)
        quadratic = (v * (0.5 * self._curvature() * v + self.centre)).sum(1)
        return quadratic + self.scale * (h @ self._positive_output())

    def gradient(self, v: Tensor) -> Tensor:
        """∇W(v) at (n, dim), as (n, dim); differentiable in the parameters."""
        _, slopes = self._hidden(v)
        delta = slopes[-1] * self._positive_output()
        total = delta @ self.inputs[-1]
        for layer in range(len(slopes) - 2, -1, -1):
            delta = (delta @ self._positive_pass(layer)) * slopes[layer]
            total = total + delta @ self.inputs[layer]
        result: Tensor = self._curvature() * v + self.centre + self.scale / self.unit * total
        return result

    def _hidden(self, v: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The last hidden layer (n, width), and the derivative of every layer's softplus."""
        u = v / self.unit
        before = u @ self.inputs[0].T + self.biases[0]
        slopes = [before.sigmoid()]
        h = functional.softplus(before)
        for layer in range(len(self.passes)):
            before = (
                h @ self._positive_pass(layer).T
                + u @ self.inputs[layer + 1].T
                + self.biases[layer + 1]
            )
            slopes.append(before.sigmoid())
            h = functional.softplus(before)
        return h, slopes

    def _curvature(self) -> Tensor:
        return FLOOR + functional.softplus(self.free)

    def _positive_pass(self, layer: int) -> Tensor:
        weight = self.passes[layer]
        result: Tensor = functional.softplus(weight) / weight.shape[1]
        return result

    def _positive_output(self) -> Tensor:
        return functional.softplus(self.output) / math.sqrt(len(self.output))
