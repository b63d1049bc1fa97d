"""Masks: the part of a shape that a child takes from its partner, and the width of its boundary.

A mask is a score of every point, thresholded at a quantile of the shape's own scores with a
logistic step of some width. So a cut takes a known share of the shape, wherever its points are.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from pcgen.batch_random import mine, whole
from pcgen.runtime import staged

KINDS = ("step", "ball", "slab", "symmetric")

#: Spread of the direction of a step along x, y and z. It is mostly upwards, since upright objects
#: consist of layers (a foot, a seat, a back).
UPWARDS = (0.4, 1.0, 0.4)


def draw_masks(
    points: Tensor,
    kinds: tuple[str, ...],
    cuts: tuple[float, float],
    width: float,
    generator: Generator,
) -> Tensor:
    """One mask per cloud, of a random kind.

    Args:
        points: (batch, n, 3) in the cube frame.
        kinds: of :data:`KINDS`. ``step`` is a soft cut across a random direction, ``symmetric``
            one that treats left and right alike, ``ball`` takes what is near a point of the
            shape, ``slab`` what is between two cuts.
        cuts: the range of the share of the shape below the cut.
        width: of the logistic step, in units of the cube (whose side is 2).
    Returns:
        (batch, n) in [0, 1].
    """
    batch, total, home = len(points), whole(len(points), generator), points.device
    each = torch.arange(batch, device=home)

    def drawn(*size: int, normal: bool = False) -> Tensor:
        make = torch.randn if normal else torch.rand
        drawn = mine(make(total, *size, generator=generator), generator)
        return staged(drawn.to(points.dtype), points.device)

    kind = (drawn() * len(kinds)).long().clamp_max(len(kinds) - 1)
    direction = drawn(3, normal=True) * staged(points.new_tensor(UPWARDS, device="cpu"), home)
    direction = torch.nn.functional.normalize(direction, dim=1)
    middle = (drawn() * points.shape[1]).long().clamp_max(points.shape[1] - 1)
    centre = points[each, middle][:, None]
    share = cuts[0] + (cuts[1] - cuts[0]) * drawn()

    def score_of(name: str) -> Tensor:
        if name == "ball":
            return -(points - centre).norm(dim=2)
        if name == "slab":
            return -((points - centre) * direction[:, None]).sum(2).abs()
        placed = points
        if name == "symmetric":
            placed = torch.cat([points[..., :1].abs(), points[..., 1:]], 2)
        return (placed * direction[:, None]).sum(2)

    score = torch.stack([score_of(name) for name in kinds])[kind, each]
    order = score.sort(1).values
    place = (share * points.shape[1]).long().clamp(0, points.shape[1] - 1)
    edge = order.gather(1, place[:, None])
    return torch.sigmoid((score - edge) / width)
