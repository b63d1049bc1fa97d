"""Shapes between two: along the optimal-transport map of their points, then encoded and decoded.

Both clouds are matched point to point at small mean squared distance, each stretched to the cube
(:mod:`pcgen.children`). A share in [0, 1] says how far each point has gone from the first to the
second: the same for all points gives displacement interpolation (R. McCann, A convexity principle
for interacting gases, 1997); 1 on a part of the shape and 0 elsewhere exchanges that part. What is
blended has seams and no normals; the autoencoder of a run gives both back as a surface.
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
from pcgen.shapes.samples import Samples

POINTS = 2048  # of a cloud that is matched
SWEEPS = 24  # of the matching: within 3 % of the least cost
WIDTH = 0.05  # of the seam between two parts, in units of the cube, whose side is 2
VARY_WIDTH = 0.12
POOL = 64  # draws that the partners of a variation are chosen from
FEWEST_PARTNERS = 4


def matched(first: Tensor, second: Tensor, seed: int = 0) -> MatchedClouds:
    """The transport map between two clouds of equally many points.

    Args:
        first, second: (n, 3) in the box frame.
        seed: of the map's directions.
    Raises:
        InputError: clouds of different sizes.
    """
    stretch = Stretch.of(first[None]), Stretch.of(second[None])
    cubes = stretch[0].cube(first[None])[0], stretch[1].cube(second[None])[0]
    to = match(cubes[0].numpy(), cubes[1].numpy(), "slabs", SWEEPS, seed)
    there = second[torch.from_numpy(to.astype(np.int64))]
    return MatchedClouds(
        (first[None], there[None]), None, stretch, torch.zeros(1, dtype=torch.bool)
    )


def along(pairs: MatchedClouds, share: Tensor, between: Tensor) -> Tensor:
    """Clouds on the way of one matched pair.

    Args:
        share: (k, n), how far each point has gone. between: (k,), whose proportions.
    Returns:
        (k, n, 3) in the box frame.
    """
    count = len(share)
    many = MatchedClouds(
        (pairs.points[0].expand(count, -1, -1), pairs.points[1].expand(count, -1, -1)),
        None,
        (_repeated(pairs.stretch[0], count), _repeated(pairs.stretch[1], count)),
        pairs.flipped.expand(count),
    )
    return blend(many, share, torch.zeros(count, dtype=torch.bool), between)[0]


def paired(first: NDArray[np.float32], second: NDArray[np.float32], seed: int = 0) -> MatchedClouds:
    """:func:`matched` for clouds (n, 3) of any n, of which :data:`POINTS` are drawn."""
    return matched(thinned(first, POINTS, seed), thinned(second, POINTS, seed), seed)


def at_times(model: ShapeModel, pairs: MatchedClouds, times: Tensor) -> Tensor:
    """Latents (k, latent_dim) of a matched pair at times (k,) from 0, the first, to 1."""
    share = times[:, None].expand(-1, pairs.points[0].shape[1])
    return model.encode(along(pairs, share, times))


def interpolated(
    model: ShapeModel, first: NDArray[np.float32], second: NDArray[np.float32], frames: int,
    seed: int = 0,
) -> Tensor:  # fmt: skip
    """Latents (frames, latent_dim) of the way from one cloud to another, both ends included.

    Args:
        first, second: (n, 3) in the box frame, any n.
    Raises:
        InputError: fewer than 2 frames.
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
    """The way from one cloud to another as shapes, both ends included.

    All share one draw of the base noise, so that points keep their identity. Arguments and errors
    are those of :func:`interpolated`.
    """
    return model.decode_samples(
        interpolated(model, first, second, frames, seed),
        points=points,
        seed=seed,
        same_noise=True,
        category=["interpolation"] * frames,
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
    """The latent (1, latent_dim) of a cloud with a part of another one.

    Args:
        first, second: (n, 3) in the box frame, any n; proportions are the first one's.
        part: which part the second gives: a name of :data:`.parts.PARTS`, or the direction
            (x, y, z) it lies in.
        share: of the points that it gives, in (0, 1).
    Raises:
        InputError: an unknown part, a direction without length, or a share outside (0, 1).
    """
    direction = _direction(part)
    if not 0 < share < 1:
        raise InputError(f"share must lie between 0 and 1, got {share}")
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

    Each takes a part of the given shape from a shape that the run draws; the nearer of the
    draws are taken first.

    Args:
        cloud: (n, 3) in the box frame, any n.
        amount: the share that is replaced, from 0 (the shape itself) to 1 (a new shape).
        category: of the shapes that parts are taken from; None for all.
    Raises:
        InputError: a share outside [0, 1], a count below 1, or an unknown category.
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
    for number, latent in enumerate(chosen):
        partner = model.decode(latent[None], points=POINTS, seed=seed + number).points[0]
        pairs = matched(given, partner, seed + number)
        cut = (1 - amount, 1 - amount)
        mask = draw_masks(pairs.in_cube()[0], KINDS, cut, VARY_WIDTH, generator)
        if amount == 0:
            mask = torch.zeros_like(mask)
        proportions = amount * torch.rand(1, generator=generator)
        made.append(along(pairs, mask, proportions))
    return model.encode(torch.cat(made))


def thinned(cloud: NDArray[np.float32] | Tensor, count: int, seed: int = 0) -> Tensor:
    """``count`` of the points of a cloud (n, 3), drawn at random; with repeats where it has
    fewer."""
    points = torch.as_tensor(np.array(cloud, np.float32))
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
