"""A code of a few tokens that attend to the points.

Learned queries attend to all points and then to each other, as in Set Transformer (Lee et al.,
ICML 2019) and 3DShape2VecSet (Zhang et al., SIGGRAPH 2023). Each gives a token of a few numbers.
To decode, the tokens attend to each other again, and each yields its share of the Gaussians.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pcgen.latent.decoder import (
    component_numbers,
    components,
    initial_components,
    normal_weights,
    small_head,
)
from pcgen.latent.encoder import HEADS, Perceiver
from pcgen.latent.mixture import MixtureBatch


class TokenCodec(nn.Module):
    """Encodes clouds that fill the box as ``tokens`` · ``code`` numbers; decodes mixtures.

    Args:
        centres: (K, dim) initial centres of the components; K is a multiple of ``tokens``.
    """

    def __init__(
        self, tokens: int, code: int, width: int, thickness: float, centres: Tensor
    ) -> None:
        super().__init__()
        parts, dim = centres.shape
        self.dim, self.tokens, self.code, self.thickness = dim, tokens, code, thickness
        self.read = Perceiver(dim, width, tokens)
        inner = self.read.inner
        self.narrow = nn.Sequential(
            nn.Linear(inner, code), nn.LayerNorm(code, elementwise_affine=False)
        )
        self.widen = nn.Linear(code, inner)
        self.identity = nn.Parameter(normal_weights(tokens, inner, deviation=inner**-0.5))
        self.within = nn.TransformerEncoderLayer(
            inner, HEADS, 2 * inner, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        numbers = parts // tokens * component_numbers(dim)
        self.head = small_head(inner, torch.zeros(numbers), 0.01)
        self.start = nn.Parameter(initial_components(centres, 0.15).view(tokens, -1))

    @property
    def code_dim(self) -> int:
        return self.tokens * self.code

    position_numbers = 0

    def encode(self, points: Tensor) -> Tensor:
        """Encode (batch, n, dim) to (batch, code_dim)."""
        return self.narrow(self.read(points)).flatten(1)

    def decode(self, code: Tensor) -> MixtureBatch:
        """Decode (batch, code_dim) to mixtures."""
        tokens = self.widen(code.view(len(code), self.tokens, self.code)) + self.identity
        raw = self.head(self.within(tokens)) + self.start
        return components(raw.view(len(code), -1, component_numbers(self.dim)), self.thickness)
