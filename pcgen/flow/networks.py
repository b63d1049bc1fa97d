"""F(x, t, s, condition) for latents and for the points of a cloud.

Both see t and the length d = s − t of the jump; the features of d vanish at d = 0, so a teacher
trained on the diagonal is a valid start for its student.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from pcgen.kernels import nearest
from pcgen.latent.mixture import Drawn, MixtureBatch

TIME_FEATURES = 11


def time_features(t: Tensor, s: Tensor) -> Tensor:
    """(batch,) times to (batch, 11): smooth in t, zero in d = s − t at d = 0."""
    d = s - t
    turns = [t * math.pi * 2**k for k in range(3)]
    return torch.stack(
        [
            t,
            *[torch.sin(turn) for turn in turns],
            *[torch.cos(turn) for turn in turns],
            d,
            d * t,
            d.square(),
            torch.sin(math.pi * d),
        ],
        -1,
    )


class LatentSlope(nn.Module):
    """A residual MLP; ``label`` (batch, classes) one-hot or None conditions it."""

    def __init__(self, dim: int, width: int, blocks: int, classes: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.enter = nn.Linear(dim + TIME_FEATURES + classes, width)
        self.blocks = nn.ModuleList(_Block(width, TIME_FEATURES + classes) for _ in range(blocks))
        self.leave = _zero(nn.Linear(width, dim))

    def forward(self, x: Tensor, t: Tensor, s: Tensor, label: Tensor | None = None) -> Tensor:
        condition = time_features(t, s)
        if self.classes:
            assert label is not None
            condition = torch.cat([condition, label], -1)
        h = self.enter(torch.cat([x, condition], -1))
        for block in self.blocks:
            h = block(h, condition)
        return self.leave(nn.functional.silu(h))


@dataclass(frozen=True)
class PointCondition:
    """What the points of a shape know of their surroundings, computed once per cloud.

    Attributes:
        near: (batch, n, k) int64, the nearest other points of each at the start.
        scale: (batch,), the mean distance between neighbours; lengths are divided by it.
        centre: (batch, n, dim), of the component that each point started in.
        factor: (batch, n, dim, dim), A in the covariance of that component.
    """

    near: Tensor
    scale: Tensor
    centre: Tensor
    factor: Tensor

    @classmethod
    def of(cls, mixture: MixtureBatch, start: Drawn, neighbours: int) -> PointCondition:
        """Of clouds as :meth:`MixtureBatch.sample` drew them.

        A cloud of fewer points than ``neighbours`` + 1 has all others as neighbours, or itself.
        """
        points = start.points
        k = min(neighbours, max(1, points.shape[1] - 1))
        squared, index = nearest(points, points, k=min(k + 1, points.shape[1]))
        first = min(1, points.shape[1] - 1)  # a point is the nearest to itself
        scale = squared[..., first:].clamp_min(0).sqrt().mean((1, 2)).clamp_min(1e-6)
        rows = torch.arange(len(points), device=points.device)[:, None]
        return cls(
            index[..., first:], scale, mixture.centre[rows, start.part],
            mixture.factor[rows, start.part],
        )  # fmt: skip

    def __getitem__(self, rows: Tensor) -> PointCondition:
        return PointCondition(
            self.near[rows], self.scale[rows], self.centre[rows], self.factor[rows]
        )

    def to(self, device: str) -> PointCondition:
        """On another device."""
        return PointCondition(*(getattr(self, f.name).to(device) for f in fields(self)))


class PointSlope(nn.Module):
    """Points look at their neighbours: edge convolutions on the graph of nearest points.

    All that enters is relative: offsets to neighbours and to the component that a point started
    in, over the spacing of the cloud. The field of view is as many hops as there are ``blocks``
    and one more. So the network can mend and sharpen a surface, and cannot remember a shape.
    Output: velocity (batch, n, dim) and, as the same forward pass, an unsigned normal, or
    zero where the data had none. Edge convolution: Wang et al., "Dynamic Graph CNN", ACM TOG 2019.
    """

    def __init__(self, dim: int, width: int, blocks: int) -> None:
        super().__init__()
        self.dim = dim
        self.own = nn.Linear(dim + dim * dim, width)
        self.offsets = nn.Sequential(
            nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.enter = nn.Linear(width, width)
        self.blocks = nn.ModuleList(_EdgeBlock(dim, width) for _ in range(blocks))
        self.mix = nn.ModuleList(_Block(width, TIME_FEATURES) for _ in range(blocks + 1))
        self.leave = _zero(nn.Linear(width, dim))
        self.normal = nn.Linear(width, dim)

    def forget_normals(self) -> None:
        """Give zero normals for good: nothing will teach them, and untaught ones look true."""
        _zero(self.normal)

    def forward(self, x: Tensor, t: Tensor, s: Tensor, condition: PointCondition) -> Tensor:
        return self.velocity_and_normal(x, t, s, condition)[0]

    def velocity_and_normal(
        self, x: Tensor, t: Tensor, s: Tensor, condition: PointCondition
    ) -> tuple[Tensor, Tensor]:
        """(batch, n, dim) each; the normal is not normalised."""
        unit = condition.scale[:, None, None]
        near, told = condition.near, time_features(t, s)
        offset = (gathered(x, near) - x[:, :, None]) / unit[..., None]
        edges = self.offsets(offset)
        own = torch.cat([x - condition.centre, condition.factor.flatten(-2)], -1) / unit
        h = self.own(own) + self.enter(edges.mean(2))
        h = self.mix[0](h, told)
        for block, mix in zip(self.blocks, self.mix[1:], strict=True):
            h = mix(h + block(h, offset, near), told)
        h = nn.functional.silu(h)
        return unit * self.leave(h), self.normal(h)


class _EdgeBlock(nn.Module):
    """W mean over neighbours j of silu(A hⱼ + B (xⱼ − xᵢ)): what the neighbours see."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.other = nn.Linear(width, width)
        self.offset = nn.Linear(dim, width, bias=False)
        self.leave = nn.Linear(width, width)

    def forward(self, h: Tensor, offset: Tensor, near: Tensor) -> Tensor:
        edges = nn.functional.silu(gathered(self.other(h), near) + self.offset(offset))
        return self.leave(edges.mean(2))


def gathered(values: Tensor, index: Tensor) -> Tensor:
    """Rows ``index`` (batch, n, k) of ``values`` (batch, m, width): (batch, n, k, width)."""
    batch, n, k = index.shape
    flat = index.reshape(batch, n * k, 1).expand(-1, -1, values.shape[2])
    return values.gather(1, flat).view(batch, n, k, -1)


class BoundPointSlope:
    """A point network as F(x, t, s) of one batch, keeping the normals of its last evaluation."""

    def __init__(self, module: nn.Module, condition: PointCondition) -> None:
        assert isinstance(module, PointSlope)
        self._module, self._condition = module, condition
        self.normal = torch.zeros(())

    def __call__(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        velocity, self.normal = self._module.velocity_and_normal(x, t, s, self._condition)
        return velocity


class _Block(nn.Module):
    """h + W₂ silu(γ W₁ silu(h) + β), with γ and β from the condition."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.modulate = _zero(nn.Linear(condition, 2 * width))
        self.second = nn.Linear(width, width)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        gain, shift = self.modulate(condition).chunk(2, -1)
        if h.ndim == 3:
            gain, shift = gain[:, None], shift[:, None]
        inner = self.first(nn.functional.silu(h))
        return h + self.second(nn.functional.silu(inner * (1 + gain) + shift))


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
