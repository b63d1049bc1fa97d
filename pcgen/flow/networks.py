"""F(x, t, s, condition) for latents and for the points of a cloud.

Both networks get t and the length d = s − t of the jump. The features of d vanish at d = 0, so a
teacher trained on the diagonal can initialise its student.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from pcgen.kernels import nearest
from pcgen.latent.autoencoder import LocalCodes
from pcgen.latent.mixture import MixtureBatch, MixtureSamples

TIME_FEATURES = 11
ONE_DNN = torch.backends.mkldnn.is_available()


def time_features(t: Tensor, s: Tensor) -> Tensor:
    """Features (batch, 11) of times (batch,): smooth in t; those of d = s − t vanish at d = 0."""
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


class LatentFlowNetwork(nn.Module):
    """A residual MLP, conditioned on ``label``, one-hot (batch, classes) or None."""

    def __init__(self, dim: int, width: int, blocks: int, classes: int = 0) -> None:
        super().__init__()
        self.classes = classes
        self.enter = _WideLinear(dim + TIME_FEATURES + classes, width)
        self.blocks = nn.ModuleList(
            _Block(width, TIME_FEATURES + classes, _WideLinear) for _ in range(blocks)
        )
        self.leave = _zero(_WideLinear(width, dim))

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
    """The conditions of the points of a shape, computed once per cloud.

    Attributes:
        near: (batch, n, k) int64, the nearest other points of each at the start.
        scale: (batch,), mean distance between neighbours; lengths are divided by it.
        centre: (batch, n, dim), of the component in which each point started.
        factor: (batch, n, dim, dim), A in the covariance of that component.
        code: (batch, n, c), of the patch in which each point started.
        mean: (batch, n, dim), of that patch; size: (batch, dim), extents of the shape.
    """

    near: Tensor
    scale: Tensor
    centre: Tensor
    factor: Tensor
    code: Tensor
    mean: Tensor
    size: Tensor

    @classmethod
    def of(
        cls, mixture: MixtureBatch, start: MixtureSamples, local: LocalCodes, neighbours: int
    ) -> PointCondition:
        """Build from clouds sampled by :meth:`MixtureBatch.sample`.

        In a cloud with at most ``neighbours`` points, all others are neighbours; a lone point is
        its own.
        """
        points = start.points
        k = min(neighbours, max(1, points.shape[1] - 1))
        squared, index = nearest(points, points, k=min(k + 1, points.shape[1]))
        first = min(1, points.shape[1] - 1)  # each point is its own nearest
        scale = squared[..., first:].clamp_min(0).sqrt().mean((1, 2)).clamp_min(1e-6)
        rows = torch.arange(len(points), device=points.device)[:, None]
        return cls(
            near=index[..., first:],
            scale=scale,
            centre=mixture.centre[rows, start.part],
            factor=mixture.factor[rows, start.part],
            code=local.code,
            mean=local.mean,
            size=local.size,
        )

    def __getitem__(self, rows: Tensor) -> PointCondition:
        return PointCondition(*(getattr(self, f.name)[rows] for f in fields(self)))

    def to(self, device: str) -> PointCondition:
        """Move to another device."""
        return PointCondition(*(getattr(self, f.name).to(device) for f in fields(self)))


class PointFlowNetwork(nn.Module):
    """Edge convolutions on the graph of each point's nearest points.

    All inputs are local: offsets to neighbours and to the component in which a point started,
    relative to the spacing of the cloud, and the code of its patch. The receptive field is one hop
    more than there are ``blocks``. So the network can repair and sharpen a surface, but cannot
    memorise a shape.
    Output: velocity (batch, n, dim) and, from the same forward pass, an unsigned normal, or zero
    if the data had none. Edge convolution: Wang et al., "Dynamic Graph CNN", ACM TOG 2019.
    """

    def __init__(self, dim: int, code: int, width: int, blocks: int) -> None:
        super().__init__()
        self.dim = dim
        self.own = nn.Sequential(
            nn.Linear(3 * dim + dim * dim + code, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.offsets = nn.Sequential(
            nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.enter = nn.Linear(width, width)
        self.blocks = nn.ModuleList(_EdgeBlock(dim, width) for _ in range(blocks))
        self.mix = nn.ModuleList(_Block(width, TIME_FEATURES) for _ in range(blocks + 1))
        self.leave = _zero(nn.Linear(width, dim))
        self.normal = nn.Linear(width, dim)

    def forget_normals(self) -> None:
        """Output zero normals from now on: untrained ones would look plausible."""
        _zero(self.normal)

    def forward(self, x: Tensor, t: Tensor, s: Tensor, condition: PointCondition) -> Tensor:
        return self.velocity_and_normal(x, t, s, condition)[0]

    def velocity_and_normal(
        self, x: Tensor, t: Tensor, s: Tensor, condition: PointCondition
    ) -> tuple[Tensor, Tensor]:
        """Both (batch, n, dim); the normal is not normalised."""
        unit = condition.scale[:, None, None]
        near, times = condition.near, time_features(t, s)
        offset = (gather_rows(x, near) - x[:, :, None]) / unit[..., None]
        edges = self.offsets(offset)
        size = condition.size[:, None]
        own = torch.cat(
            [
                (x - condition.centre) / unit,
                condition.factor.flatten(-2) / unit,
                (x - condition.mean) / size,
                size.log().expand_as(x),
                condition.code,
            ],
            -1,
        )
        h = self.own(own) + self.enter(edges.mean(2))
        h = self.mix[0](h, times)
        for block, mix in zip(self.blocks, self.mix[1:], strict=True):
            h = mix(h + block(h, offset, near), times)
        h = nn.functional.silu(h)
        return unit * self.leave(h), self.normal(h)


class _EdgeBlock(nn.Module):
    """W mean over neighbours j of silu(A hⱼ + B (xⱼ − xᵢ))."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.other = nn.Linear(width, width)
        self.offset = nn.Linear(dim, width, bias=False)
        self.leave = nn.Linear(width, width)

    def forward(self, h: Tensor, offset: Tensor, near: Tensor) -> Tensor:
        edges = nn.functional.silu(gather_rows(self.other(h), near) + self.offset(offset))
        return self.leave(edges.mean(2))


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows ``index`` (batch, n, k) of ``values`` (batch, m, width): (batch, n, k, width)."""
    batch, n, k = index.shape
    flat = index.reshape(batch, n * k, 1).expand(-1, -1, values.shape[2])
    return values.gather(1, flat).view(batch, n, k, -1)


class BoundPointFlow:
    """A point network as F(x, t, s) of one batch; keeps the normals of its last evaluation."""

    def __init__(self, module: nn.Module, condition: PointCondition) -> None:
        assert isinstance(module, PointFlowNetwork)
        self._module, self._condition = module, condition
        self.normal = torch.zeros(())

    def __call__(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        velocity, self.normal = self._module.velocity_and_normal(x, t, s, self._condition)
        return velocity


class _WideLinear(nn.Linear):
    """A layer that oneDNN multiplies on a CPU, rather than MKL: a training step takes two thirds of
    the time on AMD's processors. For narrow layers the conversions cost more than that."""

    def forward(self, x: Tensor) -> Tensor:
        if not (x.device.type == "cpu" and x.dtype == torch.float32 and ONE_DNN):
            return super().forward(x)
        return nn.functional.linear(x.to_mkldnn(), self.weight, self.bias).to_dense()


class _Block(nn.Module):
    """h + W₂ silu(γ W₁ silu(h) + β), with γ and β from the condition."""

    def __init__(self, width: int, condition: int, linear: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        self.first = linear(width, width)
        self.modulate = _zero(linear(condition, 2 * width))
        self.second = linear(width, width)

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
