"""A local code: the positions of a shape's patches, and a code for each.

The cloud is divided into K cells of equal mass by repeated splits at the median, along fixed axes
in a fixed order. Cell k of one shape therefore corresponds to cell k of another, as under the
Knothe-Rosenblatt rearrangement that transports one measure to the other. The code holds the mean
of each cell, and a few numbers that a small network computes from the points around the mean.
Another network decodes these into a few Gaussians near the mean.

As the positions are part of the code, the structure of a shape is stored in it and not memorised
by the networks, which see only local surroundings. Unseen shapes are therefore represented about
as well as training shapes. docs/notes/local-codes.md compares local with global codes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pcgen.kernels import median_cells, nearest, pooled_features
from pcgen.latent.decoder import components, initial_components, normal_weights, small_head
from pcgen.latent.mixture import MixtureBatch
from pcgen.runtime import staged

TILT = (0.12, 0.08)
"""Tilt of the splitting axes. Points of a plane parallel to the box would otherwise all have the
same coordinate, and the split among them would be arbitrary."""
SCALE = 2.8
"""Side of a patch over K^(-1/2), such that K patches cover a surface in the box."""


def split_axes(dim: int) -> Tensor:
    """(dim, dim): directions of the splits at levels 0, 1, ..., dim − 1, then repeated.

    The vertical axis, the second one, comes first.
    """
    order = [1, 0, *range(2, dim)] if dim > 1 else [0]
    eye = torch.eye(dim)
    return torch.stack(
        [
            eye[a] + sum(t * eye[(a + i) % dim] for i, t in enumerate(TILT[: dim - 1], 1))
            for a in order
        ]
    )


@torch.no_grad()
def equal_mass_cells(points: Tensor, levels: int) -> Tensor:
    """Divide clouds into 2^levels cells with equally many points.

    Args:
        points: (batch, n, dim), in any order. If n is not a multiple of the number of cells, some
            points are left out or used twice, evenly along the first axis.
    Returns:
        (batch, 2^levels, m) int64, the points of each cell. Cells are in the order of the splits:
        the first half of the cells lies below the second along the first axis.
    """
    count, dim = points.shape[1:]
    cells = 2**levels
    each = max(1, count // cells)
    along = points @ staged(split_axes(dim).to(points.dtype), points.device).T
    ranks = torch.linspace(0, count - 1, each * cells).round().long()
    return median_cells(along, staged(ranks, points.device), levels)


class PatchCodec(nn.Module):
    """Encodes clouds that fill the box, and decodes codes to mixtures.

    Args:
        dim: of the points.
        levels: of the splits; there are 2^levels patches.
        code: size of a patch's code.
        neighbours: points from which it is computed, for a cloud of ``cloud_points``.
        parts: Gaussians per patch.
        width: of the hidden layers.
        thickness: lower bound on the standard deviations, in box units.
        position_scale: factor of positions in the code: they weigh more than details in distances
            of codes.
    """

    def __init__(
        self,
        dim: int,
        *,
        levels: int,
        code: int,
        neighbours: int,
        cloud_points: int,
        parts: int,
        width: int,
        thickness: float,
        position_scale: float,
    ) -> None:
        super().__init__()
        self.position_scale = position_scale
        self.dim, self.levels, self.code = dim, levels, code
        self.neighbours, self.cloud_points = neighbours, cloud_points
        self.parts, self.thickness = parts, thickness
        self.patches = 2**levels
        self.scale = SCALE * self.patches**-0.5
        self.point = nn.Sequential(
            nn.Linear(dim, width // 4), nn.SiLU(), nn.Linear(width // 4, width // 2)
        )
        self.patch = nn.Sequential(
            nn.Linear(width // 2, width),
            nn.SiLU(),
            nn.Linear(width, code),
            nn.LayerNorm(code, elementwise_affine=False),
        )
        self.body = nn.Sequential(
            nn.Linear(code, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        start = initial_components(normal_weights(parts, dim, deviation=0.4), 0.4)
        self.head = small_head(width, start, 0.02)

    @property
    def code_dim(self) -> int:
        """Size of a code: first the positions of all patches, then their codes."""
        return self.patches * (self.dim + self.code)

    @property
    def position_numbers(self) -> int:
        """The number of positions at the start of a code."""
        return self.patches * self.dim

    def encode(self, points: Tensor) -> Tensor:
        """Encode (batch, n, dim) to (batch, code_dim)."""
        rows = torch.arange(len(points), device=points.device)[:, None, None]
        with torch.no_grad():
            mean = points[rows, equal_mass_cells(points, self.levels)].mean(2)
            # More points of a denser cloud, so that they cover as much of the surface.
            k = round(self.neighbours * points.shape[1] / self.cloud_points)
            _, index = nearest(mean, points, k=min(max(k, 1), points.shape[1]))
            around = (points[rows, index] - mean[:, :, None]) / self.scale
        # The parameters are weight and bias of the first layer, then of the second.
        looks = self.patch(pooled_features(around, *self.point.parameters()))
        return torch.cat([self.position_scale * mean.flatten(1), looks.flatten(1)], 1)

    def local(self, code: Tensor, part: Tensor) -> tuple[Tensor, Tensor]:
        """What a code contains around points of components ``part`` (batch, n).

        Returns:
            the codes of their patches (batch, n, code) and the patches' means (batch, n, dim).
        """
        positions, looks = self._parted(code)
        rows = torch.arange(len(code), device=code.device)[:, None]
        patch = part // self.parts
        return looks[rows, patch], positions[rows, patch]

    def _parted(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Split codes into means (batch, patches, dim) and local codes (batch, patches, code)."""
        positions, looks = code.split([self.position_numbers, self.patches * self.code], dim=1)
        return (
            positions.view(len(code), self.patches, self.dim) / self.position_scale,
            looks.view(len(code), self.patches, self.code),
        )

    def decode(self, code: Tensor) -> MixtureBatch:
        """Decode (batch, code_dim) to mixtures of patches · parts components."""
        mean, looks = self._parted(code)
        raw = self.head(self.body(looks))
        local = components(raw.view(len(code), self.patches, self.parts, -1), self.thickness)
        return MixtureBatch(
            centre=(mean[:, :, None] + self.scale * local.centre).flatten(1, 2),
            factor=(self.scale * local.factor).flatten(1, 2),
            log_weight=local.log_weight.flatten(1).log_softmax(-1),
            thickness=self.thickness,
        )
