"""Latents to mixtures of Gaussians: an MLP that starts as the mean of the training clouds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pcgen.latent.mixture import MixtureBatch

# Standard deviation of a component before training: about the spacing of 256 patches in the box.
INITIAL_SIZE = 0.15


class MixtureDecoder(nn.Module):
    """z (batch, latent_dim) to K components of dimension ``dim``.

    Args:
        thickness: floor under the standard deviations, in box units.
        centres: (K, dim) where the components start, e.g. random training points.
    """

    def __init__(self, latent_dim: int, width: int, thickness: float, centres: Tensor) -> None:
        super().__init__()
        self.parts, self.dim = centres.shape
        self.thickness = thickness
        self.body = nn.Sequential(
            nn.Linear(latent_dim, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
        )
        per_part = numbers_per_part(self.dim)
        self.head = nn.Linear(width, self.parts * per_part)
        nn.init.normal_(self.head.weight, std=0.01)
        rows, columns = torch.tril_indices(self.dim, self.dim)
        start = torch.zeros(self.parts, per_part)
        start[:, : self.dim] = centres
        start[:, self.dim : -1] = INITIAL_SIZE * (rows == columns).float()
        with torch.no_grad():
            self.head.bias.copy_(start.flatten())

    def forward(self, z: Tensor) -> MixtureBatch:
        raw = self.head(self.body(z)).view(len(z), self.parts, -1)
        rows, columns = torch.tril_indices(self.dim, self.dim, device=z.device)
        factor = raw.new_zeros(len(z), self.parts, self.dim, self.dim)
        factor[..., rows, columns] = raw[..., self.dim : -1]
        return MixtureBatch(
            centre=raw[..., : self.dim],
            factor=factor,
            log_weight=raw[..., -1].log_softmax(-1),
            thickness=self.thickness,
        )


def numbers_per_part(dim: int) -> int:
    """What describes one component: its centre, its lower triangular factor, its weight."""
    return dim + dim * (dim + 1) // 2 + 1
