"""Shapes between two: along the optimal-transport map of their points, then encoded and decoded.

The two clouds are matched point to point at a small mean squared distance, each stretched to the
cube (:mod:`pcgen.children`). A share in [0, 1] is how far each point moves from the first to the
second. The same share for all points is displacement interpolation (R. McCann, A convexity
principle for interacting gases, 1997); 1 on a part of the shape and 0 elsewhere exchanges that
part. Blended clouds have seams and no normals; the autoencoder of a run turns them into a surface
again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pcgen.children.drawing import MatchedClouds, blend
from pcgen.children.frames import Stretch
from pcgen.children.masks import KINDS, draw_masks
from pcgen.children.matching import match
from pcgen.editing.parts import PARTS
from pcgen.errors import InputError
from pcgen.model import ShapeModel
from pcgen.progress import track
from pcgen.shapes.samples import Samples

POINTS = 2048  # per matched cloud
SWEEPS = 24  # of the matching: within 3 % of the minimum cost
WIDTH = 0.05  # of the seam between two parts, in units of the cube, whose side is 2
VARY_WIDTH = 0.12
POOL = 64  # samples from which the partners of a variation are chosen
FEWEST_PARTNERS = 4


def matched(first: Tensor, second: Tensor, seed: int = 0) -> MatchedClouds:
    """The transport map between two clouds with the same number of points.

    Args:
        first, second: (n, 3) in the box frame.
        seed: of the matching's random directions.
    Raises:
        InputError: the clouds have different sizes.
    """
    stretch = Stretch.of(first[None]), Stretch.of(second[None])
    cubes = stretch[0].cube(first[None])[0], stretch[1].cube(second[None])[0]
    to = match(cubes[0].numpy(), cubes[1].numpy(), "slabs", SWEEPS, seed)
    there = second[torch.from_numpy(to.astype(np.int64))]
    nothing = torch.zeros(1, 3, dtype=torch.bool)
    return MatchedClouds((first[None], there[None]), None, stretch, nothing[:, 0], nothing)


def along(pairs: MatchedClouds, share: Tensor, between: Tensor) -> Tensor:
    """Clouds between a matched pair.

    Args:
        share: (k, n), how far each point has moved. between: (k,), likewise for the proportions.
    Returns:
        (k, n, 3) in the box frame.
    """
    count = len(share)
    many = MatchedClouds(
        (pairs.points[0].expand(count, -1, -1), pairs.points[1].expand(count, -1, -1)),
        None,
        (_repeated(pairs.stretch[0], count), _repeated(pairs.stretch[1], count)),
        pairs.flipped.expand(count),
        pairs.folded.expand(count, -1),
    )
    return blend(many, share, torch.zeros(count, dtype=torch.bool), between)[0]


def paired(first: NDArray[np.float32], second: NDArray[np.float32], seed: int = 0) -> MatchedClouds:
    """:func:`matched` for clouds (n, 3) of any n, subsampled to :data:`POINTS`."""
    return matched(thinned(first, POINTS, seed), thinned(second, POINTS, seed), seed)


def at_times(model: ShapeModel, pairs: MatchedClouds, times: Tensor) -> Tensor:
    """Latents (k, latent_dim) of a matched pair at times (k,) from 0, the first, to 1."""
    share = times[:, None].expand(-1, pairs.points[0].shape[1])
    return model.encode(along(pairs, share, times))


def interpolated(
    model: ShapeModel, first: NDArray[np.float32], second: NDArray[np.float32], frames: int,
    seed: int = 0,
) -> Tensor:  # fmt: skip
    """Latents (frames, latent_dim) between two clouds, including both ends.

    Args:
        first, second: (n, 3) in the box frame, any n.
    Raises:
        InputError: there are fewer than 2 frames.
    """
    if frames < 2:
        raise InputError(f"an interpolation needs at least 2 frames, got {frames}")
    return at_times(model, paired(first, second, seed), torch.linspace(0, 1, frames))


def interpolate(
    model: ShapeModel,
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    frames: int,
    *,
    points: int = POINTS,
    seed: int = 0,
) -> Samples:
    """Shapes between two clouds, including both ends.

    All share the same base noise, so that points correspond between frames. Arguments and errors
    are those of :func:`interpolated`.
    """
    return model.decode_samples(
        interpolated(model, first, second, frames, seed),
        points=points,
        seed=seed,
        same_noise=True,
        category=["interpolation"] * frames,
        bar="interpolate",
    )


def mixed(
    model: ShapeModel,
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    *,
    part: str | Sequence[float] = "top",
    share: float = 0.5,
    seed: int = 0,
) -> Tensor:
    """The latent (1, latent_dim) of a cloud with a part from another one.

    Args:
        first, second: (n, 3) in the box frame, any n; the proportions are those of the first.
        part: which part to take from the second: a name of :data:`.parts.PARTS`, or its direction
            (x, y, z).
        share: share of the points to take, in (0, 1).
    Raises:
        InputError: the part is unknown, the direction is zero, or the share is outside (0, 1).
    """
    direction = _direction(part)
    if not 0 < share < 1:
        raise InputError(f"share must be between 0 and 1, got {share}")
    pairs = paired(first, second, seed)
    score = pairs.in_cube()[0] @ direction
    edge = score.quantile(1 - share, dim=1, keepdim=True)
    mask = torch.sigmoid((score - edge) / WIDTH)
    return model.encode(along(pairs, mask, torch.zeros(1)))


def varied(
    model: ShapeModel,
    cloud: NDArray[np.float32],
    count: int,
    *,
    amount: float = 0.3,
    category: str | None = None,
    seed: int = 0,
) -> Tensor:
    """Latents (count, latent_dim) of shapes near a given one.

    Each replaces a part of the given shape by that of a shape that the run samples; the nearest of
    the samples are used first.

    Args:
        cloud: (n, 3) in the box frame, any n.
        amount: the share that is replaced, from 0 (the shape itself) to 1 (a new shape).
        category: category of the sampled shapes; None for all.
    Raises:
        InputError: the share is outside [0, 1], the count is below 1, or the category is unknown.
    """
    if not 0 <= amount <= 1:
        raise InputError(f"amount must be in [0, 1], got {amount}")
    if count < 1:
        raise InputError(f"the number of shapes must be at least 1, got {count}")
    generator = torch.Generator().manual_seed(seed)
    given = thinned(cloud, POINTS, seed)
    own = model.known.coordinates(model.encode(given[None]))
    pool = model.draw(POOL, seed=seed, category=category).z
    order = torch.cdist(own, model.known.coordinates(pool))[0].argsort(stable=True)
    near = order[: max(FEWEST_PARTNERS, round(amount * POOL))]
    chosen = pool[near[torch.randint(len(near), (count,), generator=generator)]]
    made = []
    for number, latent in enumerate(track(chosen, "vary", count)):
        partner = model.decode(latent[None], points=POINTS, seed=seed + number).points[0]
        pairs = matched(given, partner, seed + number)
        cut = (1 - amount, 1 - amount)
        mask = draw_masks(pairs.in_cube()[0], KINDS, cut, VARY_WIDTH, generator)
        if amount in (0, 1):  # no seam: all of one of them
            mask = torch.full_like(mask, amount)
        proportions = amount * torch.rand(1, generator=generator) ** (1 - amount)
        made.append(along(pairs, mask, proportions))
    return model.encode(torch.cat(made))


def thinned(cloud: NDArray[np.float32] | Tensor, count: int, seed: int = 0) -> Tensor:
    """Draw ``count`` points of a cloud (n, 3) at random; with repeats if it has fewer."""
    if not isinstance(cloud, Tensor):
        cloud = torch.from_numpy(np.array(cloud, np.float32))
    points = cloud.float()
    generator = torch.Generator().manual_seed(seed)
    if len(points) >= count:
        return points[torch.randperm(len(points), generator=generator)[:count]]
    more = torch.randint(len(points), (count - len(points),), generator=generator)
    return torch.cat([points, points[more]])


def _repeated(stretch: Stretch, count: int) -> Stretch:
    return Stretch(stretch.centre.expand(count, -1), stretch.half.expand(count, -1))


def _direction(part: str | Sequence[float]) -> Tensor:
    if isinstance(part, str):
        if part not in PARTS:
            raise InputError(f"part must be one of {', '.join(PARTS)}, got {part!r}")
        return torch.tensor(PARTS[part])
    try:
        direction = torch.tensor([float(value) for value in part])
    except (TypeError, ValueError):
        raise InputError(f"a direction is three numbers, got {part!r}") from None
    length = float(direction.norm()) if len(direction) == 3 else 0.0
    if not 0 < length < float("inf"):
        raise InputError(f"a direction is three numbers that are not all zero, got {part!r}")
    return direction / length
