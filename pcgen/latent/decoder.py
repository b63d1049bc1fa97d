"""Mixtures of Gaussians from unconstrained numbers, and the decoder of a global code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pcgen.latent.mixture import MixtureBatch

# Standard deviation of a component before training: about the spacing of 256 patches in the box.
INITIAL_SIZE = 0.15


def component_numbers(dim: int) -> int:
    """The number of parameters of a component: centre, lower triangular factor and weight."""
    return dim + dim * (dim + 1) // 2 + 1


def components(raw: Tensor, thickness: float) -> MixtureBatch:
    """(..., K, component_numbers) to mixtures of K weighted components."""
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
    """Parameters (K, component_numbers) of equal, isotropic components at ``centres``."""
    parts, dim = centres.shape
    rows, columns = torch.tril_indices(dim, dim)
    start = torch.zeros(parts, component_numbers(dim))
    start[:, :dim] = centres
    start[:, dim:-1] = size * (rows == columns).float()
    return start


class MixtureDecoder(nn.Module):
    """An MLP that decodes a code (batch, code_dim) to K components of dimension ``dim``.

    Args:
        thickness: lower bound on the standard deviations, in box units.
        centres: (K, dim) initial centres of the components, e.g. random training points.
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
