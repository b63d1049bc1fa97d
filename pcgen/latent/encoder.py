"""Clouds to global codes: four architectures with one signature.

All are invariant to the order of the points and take any number of them. Each ends in a layer norm
without parameters, so that latents always have the same scale. docs/notes/local-codes.md compares
them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pcgen.errors import InputError
from pcgen.kernels import nearest

HEADS, QUERIES = 4, 16  # of the attention


class BasisPointEncoder(nn.Module):
    """Vectors from fixed points in the box to their nearest cloud points, then an MLP.

    The features need no gradient, which makes a training step several times cheaper than
    PointNet's. Idea: Prokudin, Lassner, Romero, "Efficient Learning on Point Clouds with Basis
    Point Sets", ICCV 2019.
    """

    def __init__(self, dim: int, latent_dim: int, width: int, basis: int = 512) -> None:
        super().__init__()
        sobol = torch.quasirandom.SobolEngine(dim, scramble=True, seed=0)
        self.basis: Tensor
        # The box is [-1, 1]^dim; the margin adds basis points beyond its faces.
        self.register_buffer("basis", 1.05 * (2 * sobol.draw(basis) - 1))
        self.body = nn.Sequential(
            nn.Linear(basis * (dim + 1), width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            *_last(width, latent_dim),
        )

    def forward(self, points: Tensor) -> Tensor:
        return self.body(self._features(points))

    @torch.no_grad()
    def _features(self, points: Tensor) -> Tensor:
        basis = self.basis.expand(len(points), -1, -1)
        _, index = nearest(basis, points)
        vectors = points.gather(1, index.expand(-1, -1, points.shape[2])) - basis
        lengths = vectors.norm(dim=-1, keepdim=True)
        return 2 * torch.cat([lengths, vectors], -1).flatten(1)


class PointNetEncoder(nn.Module):
    """A shared MLP per point, max and mean pooling, then an MLP (Qi et al., CVPR 2017)."""

    def __init__(self, dim: int, latent_dim: int, width: int) -> None:
        super().__init__()
        self.each = nn.Sequential(
            nn.Linear(dim, 64), nn.SiLU(), nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, width)
        )
        self.body = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), *_last(width, latent_dim))

    def forward(self, points: Tensor) -> Tensor:
        return self.body(_pooled(self.each(points)))


class Perceiver(nn.Module):
    """Learned queries attend to all points, then to each other: one vector per query.

    The layout of Set Transformer (Lee et al., ICML 2019) and Perceiver, with cost linear in the
    number of points. Positions are encoded by sines and cosines at three octaves.
    """

    def __init__(self, dim: int, width: int, queries: int) -> None:
        super().__init__()
        self.inner = inner = max(1, width // 4 // HEADS) * HEADS
        self.each = nn.Sequential(
            nn.Linear(7 * dim, inner), nn.SiLU(), nn.Linear(inner, inner), nn.LayerNorm(inner)
        )
        self.queries = nn.Parameter(torch.randn(queries, inner) * inner**-0.5)
        self.across = nn.MultiheadAttention(inner, HEADS, batch_first=True)
        self.within = nn.TransformerEncoderLayer(
            inner, HEADS, 2 * inner, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip

    def forward(self, points: Tensor) -> Tensor:
        """(batch, n, dim) to (batch, queries, inner)."""
        turns = [points * torch.pi * 2**octave for octave in range(3)]
        waves = [wave(turn) for turn in turns for wave in (torch.sin, torch.cos)]
        each = self.each(torch.cat([points, *waves], -1))
        queries = self.queries.expand(len(points), -1, -1)
        return self.within(queries + self.across(queries, each, each, need_weights=False)[0])


class AttentionEncoder(nn.Module):
    """A few learned queries attend to all points, see :class:`Perceiver`; then an MLP."""

    def __init__(self, dim: int, latent_dim: int, width: int) -> None:
        super().__init__()
        self.read = Perceiver(dim, width, QUERIES)
        self.body = nn.Sequential(
            nn.Linear(QUERIES * self.read.inner, width), nn.SiLU(), *_last(width, latent_dim)
        )

    def forward(self, points: Tensor) -> Tensor:
        return self.body(self.read(points).flatten(1))


class NeighbourhoodEncoder(nn.Module):
    """Two edge convolutions over nearest neighbours, pooling, then an MLP.

    Edge convolution: Wang et al., "Dynamic Graph CNN", ACM TOG 2019, here on one fixed graph in
    space from :func:`pcgen.kernels.nearest`.
    """

    def __init__(self, dim: int, latent_dim: int, width: int, neighbours: int = 8) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.first = _EdgeConvolution(dim, 64)
        self.second = _EdgeConvolution(64, 128)
        self.each = nn.Linear(64 + 128, width)
        self.body = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), *_last(width, latent_dim))

    def forward(self, points: Tensor) -> Tensor:
        _, index = nearest(points, points, k=min(self.neighbours, points.shape[1]))
        near = self.first(points, index)
        wide = self.second(near, index)
        return self.body(_pooled(self.each(torch.cat([near, wide], -1))))


class _EdgeConvolution(nn.Module):
    """max over neighbours j of silu(A xᵢ + B (xⱼ − xᵢ)), each product computed once per point."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.own = nn.Linear(inner, outer)
        self.other = nn.Linear(inner, outer, bias=False)

    def forward(self, x: Tensor, index: Tensor) -> Tensor:
        own, other = self.own(x), self.other(x)
        rows = torch.arange(len(x), device=x.device)[:, None, None]
        # silu is not monotone, but taking the maximum first costs only one activation.
        return nn.functional.silu(own - other + other[rows, index].amax(2))


def _pooled(each: Tensor) -> Tensor:
    """Max and mean pooling, (batch, n, width) to (batch, 2 width)."""
    return torch.cat([each.max(1).values, each.mean(1)], -1)


def _last(width: int, latent_dim: int) -> tuple[nn.Module, nn.Module]:
    return nn.Linear(width, latent_dim), nn.LayerNorm(latent_dim, elementwise_affine=False)


ENCODERS: dict[str, type[nn.Module]] = {
    "basis-points": BasisPointEncoder,
    "pointnet": PointNetEncoder,
    "attention": AttentionEncoder,
    "neighbourhood": NeighbourhoodEncoder,
}


def build_encoder(kind: str, dim: int, latent_dim: int, width: int) -> nn.Module:
    """Build one of :data:`ENCODERS`; it maps (batch, n, dim) to (batch, latent_dim)."""
    if kind not in ENCODERS:
        raise InputError(f"encoder must be one of {', '.join(ENCODERS)}, got {kind!r}")
    return ENCODERS[kind](dim, latent_dim, width)
