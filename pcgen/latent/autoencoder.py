"""Encoder and decoder together, and the loss that trains them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from pcgen.errors import InputError
from pcgen.latent.decoder import MixtureDecoder
from pcgen.latent.encoder import build_encoder
from pcgen.latent.mixture import Drawn, MixtureBatch


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings:
    """Sizes of the autoencoder.

    Attributes:
        encoder: ``basis-points`` or ``pointnet``.
        latent_dim: numbers per shape.
        width: of the hidden layers.
        parts: Gaussians per shape.
        thickness: floor under their standard deviations, in box units (the box has side 2).
        latent_noise: standard deviation added to z in training, where z has variance one;
            makes neighbouring latents decode alike.
        points: per shape and step, to encode and, disjointly, to score.
        prune: weight of the sparsest components that the base of the point flow does without.
        reach: how many standard deviations from a component's centre its points may start.
    """

    encoder: str = "basis-points"
    latent_dim: int = 128
    width: int = 512
    parts: int = 256
    thickness: float = 0.012
    latent_noise: float = 0.1
    points: int = 768
    prune: float = 0.03
    reach: float = 2.0

    def __post_init__(self) -> None:
        for name in ("latent_dim", "width", "parts", "points"):
            if getattr(self, name) < 1:
                raise InputError(f"autoencoder {name} must be at least 1")
        if self.thickness <= 0:
            raise InputError(f"thickness must be positive, got {self.thickness}")


class Autoencoder(nn.Module):
    """``encode`` clouds, ``decode`` latents, ``loss`` of both on two draws of one surface."""

    def __init__(self, settings: AutoencoderSettings, centres: Tensor) -> None:
        super().__init__()
        self.settings = settings
        self.encoder = build_encoder(
            settings.encoder, centres.shape[1], settings.latent_dim, settings.width
        )
        self.decoder = MixtureDecoder(
            settings.latent_dim, settings.width, settings.thickness, centres
        )

    @classmethod
    def empty(cls, settings: AutoencoderSettings, dim: int) -> Autoencoder:
        """One whose weights are about to be loaded."""
        return cls(settings, torch.zeros(settings.parts, dim))

    def encode(self, points: Tensor) -> Tensor:
        """(batch, n, dim) in the box frame, any n, to (batch, latent_dim)."""
        return self.encoder(points)

    def decode(self, z: Tensor) -> MixtureBatch:
        """(batch, latent_dim) to a mixture each, whose likelihood the training raises."""
        return self.decoder(z)

    def draw_base(self, z: Tensor, count: int, generator: Generator) -> tuple[MixtureBatch, Drawn]:
        """The base of each shape in point space, and ``count`` points of it: where a point
        flow starts."""
        mixture = self.decode(z).pruned(self.settings.prune)
        return mixture, mixture.sample(count, generator, reach=self.settings.reach)

    def loss(self, points: Tensor, generator: Generator) -> Tensor:
        """Negative log-likelihood of one half of the points, given the other half's latent.

        Two disjoint draws keep the code about the surface and not about the sample.
        """
        seen, scored = points.chunk(2, dim=1)
        z = self.encode(seen)
        noise = torch.randn(z.shape, generator=generator).to(z)
        mixture = self.decode(z + self.settings.latent_noise * noise)
        return -mixture.log_likelihood(scored).mean()
