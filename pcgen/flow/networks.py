"""F(x, t, s, condition) for latents and for the points of a cloud.

Both see t and the length d = s − t of the jump; the features of d vanish at d = 0, so a teacher
trained on the diagonal is a valid start for its student.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pcgen.latent.mixture import MixtureBatch

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
    """What the points of a shape are told, computed once per shape.

    Attributes:
        z: (batch, latent_dim).
        mixture: the base measure of each shape.
        part: (batch, n) int64, the component each point started in.
    """

    z: Tensor
    mixture: MixtureBatch
    part: Tensor


class PointSlope(nn.Module):
    """Points move on their own, told their latent and the component they started in.

    The component's geometry and a learned code, both from the latent, enter as one vector per
    component, gathered to its points: cheap, and local enough for edges to be sharp.
    Output: velocity (batch, n, dim) and, as the same forward pass, an unsigned normal, or
    zero where the data had none.
    """

    def __init__(
        self, dim: int, latent_dim: int, parts: int, width: int, blocks: int, code: int = 16
    ) -> None:
        super().__init__()
        self.parts, self.dim, self.code = parts, dim, code
        self.local_codes = nn.Sequential(
            nn.Linear(latent_dim, 256), nn.SiLU(), nn.Linear(256, parts * code)
        )
        self.identity = nn.Parameter(0.1 * torch.randn(parts, code))
        self.part = nn.Linear(code + dim + dim * dim + 1, width)
        self.enter = nn.Linear(2 * dim, width)
        self.global_code = nn.Sequential(nn.Linear(latent_dim, 128), nn.SiLU())
        self.blocks = nn.ModuleList(_Block(width, TIME_FEATURES + 128) for _ in range(blocks))
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
        mixture, part = condition.mixture, condition.part
        codes = self.local_codes(condition.z).view(-1, self.parts, self.code) + self.identity
        geometry = torch.cat(
            [
                codes,
                mixture.centre,
                4 * mixture.factor.flatten(-2),
                # A pruned component has no weight; its row is never gathered, but must be finite.
                mixture.log_weight[..., None].clamp_min(-12) + math.log(self.parts),
            ],
            -1,
        )
        rows = torch.arange(len(x), device=x.device)[:, None]
        offset = 4 * (x - mixture.centre[rows, part])
        h = self.enter(torch.cat([x, offset], -1)) + self.part(geometry)[rows, part]
        told = torch.cat([time_features(t, s), self.global_code(condition.z)], -1)
        for block in self.blocks:
            h = block(h, told)
        h = nn.functional.silu(h)
        return self.leave(h), self.normal(h)


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
