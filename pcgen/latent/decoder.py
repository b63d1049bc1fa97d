"""Numbers to mixtures of Gaussians, and the network that decodes a global code into them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pcgen.latent.mixture import MixtureBatch

# Standard deviation of a component before training: about the spacing of 256 patches in the box.
INITIAL_SIZE = 0.15


def component_numbers(dim: int) -> int:
    """How many numbers describe a component: centre, lower triangular factor and weight."""
    return dim + dim * (dim + 1) // 2 + 1


def components(raw: Tensor, thickness: float) -> MixtureBatch:
    """(..., K, component_numbers) to mixtures of K components, each with weights of its own."""
    numbers = raw.shape[-1]
    dim = next(d for d in range(1, numbers) if component_numbers(d) == numbers)
    rows, columns = torch.tril_indices(dim, dim, device=raw.device)
    factor = raw.new_zeros(*raw.shape[:-1], dim, dim)
    factor[..., rows, columns] = raw[..., dim:-1]
    return MixtureBatch(
        centre=raw[..., :dim],
        factor=factor,
        log_weight=raw[..., -1].log_softmax(-1),
        thickness=thickness,
    )


def initial_components(centres: Tensor, size: float) -> Tensor:
    """(K, component_numbers): round components of one size at ``centres`` (K, dim)."""
    parts, dim = centres.shape
    rows, columns = torch.tril_indices(dim, dim)
    start = torch.zeros(parts, component_numbers(dim))
    start[:, :dim] = centres
    start[:, dim:-1] = size * (rows == columns).float()
    return start


class MixtureDecoder(nn.Module):
    """A code (batch, code_dim) to K components of dimension ``dim``, by an MLP.

    Args:
        thickness: floor under the standard deviations, in box units.
        centres: (K, dim) where the components start, e.g. random training points.
    """

    def __init__(self, code_dim: int, width: int, thickness: float, centres: Tensor) -> None:
        super().__init__()
        self.parts, self.dim = centres.shape
        self.thickness = thickness
        self.body = nn.Sequential(
            nn.Linear(code_dim, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
        )
        self.head = nn.Linear(width, self.parts * component_numbers(self.dim))
        nn.init.normal_(self.head.weight, std=0.01)
        with torch.no_grad():
            self.head.bias.copy_(initial_components(centres, INITIAL_SIZE).flatten())

    def forward(self, code: Tensor) -> MixtureBatch:
        raw = self.head(self.body(code)).view(len(code), self.parts, -1)
        return components(raw, self.thickness)
