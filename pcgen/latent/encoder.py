"""Clouds to latents: basis points (the default) and PointNet.

Both are invariant to the order of the points and take any number of them. A layer norm without
parameters ends both, so that latents have one scale whatever was learned.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pcgen.errors import InputError
from pcgen.kernels import nearest


class BasisPointEncoder(nn.Module):
    """From each of a fixed set of points in the box, the vector to the nearest cloud point; an MLP.

    The features need no gradient, which makes a training step several times cheaper than
    PointNet's. Idea: Prokudin, Lassner, Romero, "Efficient Learning on Point Clouds with Basis
    Point Sets", ICCV 2019.
    """

    def __init__(self, dim: int, latent_dim: int, width: int, basis: int = 512) -> None:
        super().__init__()
        sobol = torch.quasirandom.SobolEngine(dim, scramble=True, seed=0)
        self.basis: Tensor
        # The box is [-1, 1]^dim; a margin lets points outside see its faces from beyond.
        self.register_buffer("basis", 1.05 * (2 * sobol.draw(basis) - 1))
        self.body = nn.Sequential(
            nn.Linear(basis * (dim + 1), width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, latent_dim),
            nn.LayerNorm(latent_dim, elementwise_affine=False),
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
    """A shared MLP per point, maximum and mean over the points, an MLP (Qi et al., CVPR 2017)."""

    def __init__(self, dim: int, latent_dim: int, width: int) -> None:
        super().__init__()
        self.each = nn.Sequential(
            nn.Linear(dim, 64), nn.SiLU(), nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, width)
        )
        self.body = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.SiLU(),
            nn.Linear(width, latent_dim),
            nn.LayerNorm(latent_dim, elementwise_affine=False),
        )

    def forward(self, points: Tensor) -> Tensor:
        each = self.each(points)
        return self.body(torch.cat([each.max(1).values, each.mean(1)], -1))


def build_encoder(kind: str, dim: int, latent_dim: int, width: int) -> nn.Module:
    """``basis-points`` or ``pointnet``; both map (batch, n, dim) to (batch, latent_dim)."""
    kinds = {"basis-points": BasisPointEncoder, "pointnet": PointNetEncoder}
    if kind not in kinds:
        raise InputError(f"encoder must be one of {', '.join(kinds)}, got {kind!r}")
    return kinds[kind](dim, latent_dim, width)
