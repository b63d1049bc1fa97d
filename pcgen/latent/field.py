"""The signed distance field of a shape, from its local code.

Inside and outside cannot be distinguished locally: a wall looks the same from both sides. So the
patches first attend to each other. A small network then predicts the distance at a position from
each of the nearest patches, given the position relative to it. The predictions are blended with
weights that vanish where a patch leaves the nearest ones, so the distance is continuous. As the
patches are part of the latent, unseen shapes are represented about as well as training shapes.
Positions and distances are in the frame of :mod:`pcgen.shapes.signed_distances`, like the codes;
distances are learned up to :data:`FAR` from the surface.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pcgen.latent.patches import SCALE
from pcgen.runtime import staged

FAR = 0.1
"""Distances are truncated here, in a frame of side 2."""
WAVES = 3  # octaves of the position encoding of a patch
HEADS = 4  # of each attention layer
CERTAIN = 6.0  # bound on the logarithm of a patch's own weight


class Field(nn.Module):
    """The signed distance field of latents of :class:`pcgen.latent.patches.PatchCodec`.

    Args:
        patches: number of patches in a code; code: size of each patch's code; position_scale:
            factor of positions.
        width: of all layers, a multiple of ``HEADS``; layers: number of attention layers.
        nearest: number of patches that contribute at a position.
    """

    def __init__(
        self,
        patches: int,
        code: int,
        *,
        position_scale: float,
        width: int,
        layers: int,
        nearest: int,
    ) -> None:
        super().__init__()
        self.patches, self.code, self.position_scale = patches, code, position_scale
        self.nearest = min(nearest, patches - 1)
        self.scale = SCALE * patches**-0.5
        self.embed = nn.Linear(code + 3 + 6 * WAVES, width)
        self.blocks = nn.ModuleList([_Attention(width) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.token = nn.Linear(width + code, width)
        self.place = nn.Linear(3, width, bias=False)
        self.body = nn.Sequential(
            nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.head = nn.Linear(width, 2)

    def forward(self, z: Tensor, places: Tensor) -> Tensor:
        """Signed distances (batch, n) at positions (batch, n, 3) of latents (batch, latent_dim)."""
        return self.at(*self.patch_features(z), places)

    def patch_features(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Means (batch, patches, 3) of the patches, and their features (batch, patches, width)."""
        numbers = 3 * self.patches
        mean = z[:, :numbers].view(len(z), self.patches, 3) / self.position_scale
        looks = z[:, numbers : numbers + self.patches * self.code]
        looks = looks.view(len(z), self.patches, self.code)
        octaves = staged(math.pi / 2 * 2.0 ** torch.arange(WAVES), z.device)
        waves = (mean[..., None] * octaves).flatten(2)
        x = self.embed(torch.cat([looks, mean, waves.sin(), waves.cos()], -1))
        for block in self.blocks:
            x = block(x)
        return mean, self.token(torch.cat([self.norm(x), looks], -1))

    def at(self, mean: Tensor, features: Tensor, places: Tensor) -> Tensor:
        """Signed distances (batch, n) at positions, given :meth:`patch_features`."""
        with torch.no_grad():
            away, patch = torch.cdist(places, mean).topk(self.nearest + 1, largest=False)
            beside = (1 - away[..., :-1] / away[..., -1:].clamp_min(1e-9)).clamp_min(1e-6).square()
            patch = patch[..., :-1]
        rows = torch.arange(len(places), device=places.device)[:, None, None]
        local = (places[:, :, None] - mean[rows, patch]) / self.scale
        output = self.head(self.body(self.place(local) + features[rows, patch]))
        weight = beside * output[..., 1].clamp(-CERTAIN, CERTAIN).exp()
        return FAR * (weight * output[..., 0]).sum(-1) / weight.sum(-1)

    def loss(self, z: Tensor, places: Tensor, distance: Tensor) -> Tensor:
        """Mean error of distances (batch, n) in units of ``FAR``."""
        found = self(z, places)
        error = (found.clamp(-FAR, FAR) - distance.clamp(-FAR, FAR)).abs()
        # Beyond FAR the error has no gradient; this term pulls the distance back.
        excess = (found.abs() - FAR).clamp_min(0)
        return (error.mean() + 0.01 * excess.mean()) / FAR


class _Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.asked = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.between = nn.LayerNorm(width)
        self.mixed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        parts = self.asked(self.before(x)).view(batch, count, 3, HEADS, width // HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.joined(seen.transpose(1, 2).reshape(batch, count, width))
        return x + self.mixed(self.between(x))
