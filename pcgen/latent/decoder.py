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
    start = torch.empty(parts, component_numbers(dim))
    if start.is_meta:  # see normal_weights
        return start
    rows, columns = torch.tril_indices(dim, dim)
    start.zero_()
    start[:, :dim] = centres
    start[:, dim:-1] = size * (rows == columns).float()
    return start


def normal_weights(*shape: int, deviation: float) -> Tensor:
    """Normal weights of a standard deviation, drawn only where they are kept.

    On the meta device, on which a model is built before weights are loaded into it, arithmetic
    would import torch's compiler, which takes two seconds.
    """
    weights = torch.empty(*shape)
    return weights if weights.is_meta else deviation * weights.normal_()


def small_head(width: int, start: Tensor, deviation: float) -> nn.Linear:
    """A linear layer from ``width`` whose output is ``start`` plus a little of its input.

    Args:
        deviation: standard deviation of the weights.
    """
    head = nn.Linear(width, start.numel())
    with torch.no_grad():
        head.weight.copy_(normal_weights(*head.weight.shape, deviation=deviation))
        head.bias.copy_(start.flatten())
    return head


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
        self.head = small_head(width, initial_components(centres, INITIAL_SIZE), 0.01)

    def forward(self, code: Tensor) -> MixtureBatch:
        raw = self.head(self.body(code)).view(len(code), self.parts, -1)
        return components(raw, self.thickness)
