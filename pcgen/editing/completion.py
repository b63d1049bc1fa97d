"""Whole shapes that a partial or noisy cloud may belong to.

Candidates are known or sampled shapes of the run. Each is registered to the points: coarsely over
sizes and sides, then by iterated closest points with a separate scale along each axis (P. Besl and
N. McKay, A method for registration of 3-D shapes, 1992). Near the points it is deformed to fit
them; what the points lack is taken from it. The answers are ordered by the likelihood of the points
under the autoencoder, and by the distance to what the transport of the base reaches. Measurements
and what was tried: docs/notes/completion.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pcgen.children.frames import mirrored
from pcgen.editing.between import thinned
from pcgen.errors import InputError
from pcgen.model import ShapeModel

FEWEST = 16  # minimum number of points
KNOWN, DRAWN = 512, 256  # maximum number of candidates
COARSE, FINE, PARTS = 96, 384, 128  # given points, and parts of a candidate, that are compared
PLACED = 32  # candidates for the fine registration
LARGEST = 2.5  # whole over the longest side of the points
STEPS, TRIMMED, STIFF = 6, 0.9, 0.02  # closest points: iterations, share kept, pull to the start
NEAR = 0.1  # distance to a given point, in box units, within which the candidate adds nothing
BEND, REACH, GENTLE = 3, 0.15, 0.5  # iterations, kernel width and damping of the deformation
CLOUD = 2048  # points that are deformed, encoded and counted
MOST = 2**17  # maximum points of an answer
PRIOR = 0.1  # weight of the base, as if ten points had been given: the points are dependent
STRANGE = 0.02  # mean squared distance to the best candidate above which the points fit no shape
TURNED = 0.6  # factor of that distance below which another up axis is suggested


@dataclass(frozen=True)
class Completion:
    """One answer, in the frame of the given points.

    Attributes:
        points: (n, 3). given: (n,) bool, whether each is an unchanged given point.
        normals: (n, 3), or None if the answer contains given points.
        explained: mean log-density of the given points under the shape.
        plausible: minus half the squared distance to the nearest latent that the transport of the
            base reaches, in units of the median distance between two such neighbours.
    """

    points: Tensor
    given: Tensor
    normals: Tensor | None
    explained: float
    plausible: float

    @property
    def score(self) -> float:
        """The score by which answers are ordered."""
        return self.explained + PRIOR * self.plausible


@dataclass(frozen=True)
class _Placement:
    """The placement of a candidate: ``scale * candidate + shift``, optionally reflected in x."""

    candidate: int
    flip: bool
    scale: Tensor
    shift: Tensor
    distance: float = 0.0

    def of(self, cloud: Tensor) -> Tensor:
        return (mirrored(cloud) if self.flip else cloud) * self.scale + self.shift


def completed(
    model: ShapeModel,
    cloud: NDArray[np.float32] | Tensor,
    count: int,
    *,
    points: int | None = None,
    framed: bool = False,
    keep: bool = True,
    category: str | None = None,
    seed: int = 0,
) -> tuple[list[Completion], list[str]]:
    """Complete a cloud: the answers, best first, and notes on the points.

    Args:
        cloud: (n, 3), the points in their own box, or with ``framed`` in that of the whole shape.
        points: of each answer; None for as many as keep the density of the given points.
        keep: keep the given points unchanged; else the answer is decoded, without their noise.
        category: of the known or sampled candidates; None for all.
    Raises:
        InputError: fewer than 16 points, no extent, an unknown category, or too many points.
    """
    given = torch.as_tensor(np.array(cloud, np.float32))
    if len(given) < FEWEST:
        raise InputError(f"a completion needs at least {FEWEST} points, got {len(given)}")
    if float((given.amax(0) - given.amin(0)).max()) < 1e-6:
        raise InputError("all points are in one place; a completion needs a part of a shape")
    if count < 1 or count > PLACED:
        raise InputError(f"the number of answers must be from 1 to {PLACED}, got {count}")
    if points is not None and not 1 <= points <= MOST:
        raise InputError(f"the points of an answer must be from 1 to {MOST}, got {points}")
    generator = Generator().manual_seed(seed)
    z = _candidates(model, category, generator, seed)
    centre = torch.cat([model.mixture(part).centre.cpu() for part in z.split(64)])
    few = centre[:, torch.randperm(centre.shape[1], generator=generator)[:PARTS]]
    found = _placed(given, centre, few, framed, generator)
    notes = _notes(given, few, found[0].distance, framed, generator)
    chosen = found[: max(8, 2 * count)]
    rows = torch.tensor([placement.candidate for placement in chosen])
    wholes = model.decode(z[rows], points=CLOUD, seed=seed).points
    fit = thinned(given, min(len(given), CLOUD // 2), seed)
    bent = [_bent(p.of(whole), fit) for p, whole in zip(chosen, wholes, strict=True)]
    apart = [torch.cdist(whole, given).amin(1) for whole in bent]
    glued = torch.stack(
        [
            _even(given, whole, far > NEAR, CLOUD, generator)[0]
            for whole, far in zip(bent, apart, strict=True)
        ]
    )
    low, high = glued.amin(1, keepdim=True), glued.amax(1, keepdim=True)
    middle, half = (low + high) / 2, (high - low).amax(2, keepdim=True) / 2
    latents = model.encode((glued - middle) / half)
    inside = (thinned(given, CLOUD // 2, seed)[None] - middle) / half
    explained = model.mixture(latents).log_likelihood(inside.to(model.device)).cpu()
    explained = explained - 3 * half[:, 0, 0].log()
    plausible = _plausible(model, latents, generator)
    best = (explained + PRIOR * plausible).argsort(descending=True, stable=True)[:count].tolist()
    missing = [apart[row] > NEAR for row in best]
    total = points or _total(len(given), missing)
    answers = []
    for row, far in zip(best, missing, strict=True):
        facts = float(explained[row]), float(plausible[row])
        if keep:
            whole = bent[row]
            if total > CLOUD:
                dense = model.decode(z[rows[row], None], points=total, seed=seed).points[0]
                whole = _bent(chosen[row].of(dense), fit)
                far = torch.cat(
                    [torch.cdist(part, given).amin(1) for part in whole.split(CLOUD)]
                ) > NEAR  # fmt: skip
            own = len(given) if points is None and len(given) <= total else None
            made, held = _even(given, whole, far, total, generator, own)
            answers.append(Completion(made, held, None, *facts))
        else:
            decoded = model.decode(latents[row, None], points=total, seed=seed)
            clean = decoded.points[0] * half[row] + middle[row]
            none = torch.zeros(total, dtype=torch.bool)
            answers.append(Completion(clean, none, decoded.normals[0], *facts))
    return answers, notes


def _candidates(model: ShapeModel, category: str | None, generator: Generator, seed: int) -> Tensor:
    """Latents (N, latent_dim) of candidates: some that the run knows, and some that it samples."""
    drawn = model.draw(DRAWN, seed=seed, category=category).z.cpu()
    known = model.known
    rows = torch.arange(len(known.z))
    if category is not None:
        rows = rows[known.label == model.categories.index(category)]
    rows = rows[torch.randperm(len(rows), generator=generator)[:KNOWN]]
    return torch.cat([known.z[rows].to(drawn), drawn])


def _placed(
    given: Tensor, centre: Tensor, few: Tensor, framed: bool, generator: Generator
) -> list[_Placement]:
    """The candidates that fit the points best, each once, best first."""
    some = given[torch.randperm(len(given), generator=generator)]
    coarse = _coarse(some[:COARSE], few, framed)
    order = sorted(coarse, key=lambda placement: placement.distance)[:PLACED]
    fine = [_closest(some[:FINE], centre[p.candidate], p) for p in order]
    return sorted(fine, key=lambda placement: placement.distance)


def _coarse(some: Tensor, few: Tensor, framed: bool) -> list[_Placement]:
    """The best coarse placement of each candidate (N, parts, 3)."""
    count = len(few)
    least = torch.full((count,), torch.inf)
    best: list[_Placement | None] = [None] * count
    for flip in (False, True):
        clouds = mirrored(few) if flip else few
        for scale, shift in _starts(some, clouds, framed):
            distance = _one_sided(some, clouds * scale[:, None, None] + shift[:, None])
            distance = torch.where(scale <= LARGEST, distance, torch.inf)
            for row in (distance < least).nonzero()[:, 0].tolist():
                least[row] = distance[row]
                best[row] = _Placement(
                    row, flip, scale[row].expand(3), shift[row], float(distance[row])
                )
    return [placement for placement in best if placement is not None]


def _starts(some: Tensor, clouds: Tensor, framed: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Scales (N,) and shifts (N, 3) to start from.

    In the frame of the whole shape there is one. Otherwise the points span the whole shape along at
    least one axis, and along each other axis they are aligned with either end, or centred.
    """
    count = len(clouds)
    if framed:
        yield torch.ones(count), torch.zeros(count, 3)
        return
    low, high = some.amin(0), some.amax(0)
    theirs = clouds.amin(1), clouds.amax(1)
    for axis in range(3):
        scale = (high - low)[axis] / (theirs[1] - theirs[0])[:, axis].clamp_min(1e-6)
        ends = (
            low - scale[:, None] * theirs[0],
            high - scale[:, None] * theirs[1],
            (low + high) / 2 - scale[:, None] * (theirs[0] + theirs[1]) / 2,
        )
        others = [k for k in range(3) if k != axis]
        for first in ends:
            for second in ends:
                shift = ends[0].clone()
                shift[:, others[0]], shift[:, others[1]] = first[:, others[0]], second[:, others[1]]
                yield scale, shift


def _one_sided(some: Tensor, clouds: Tensor) -> Tensor:
    """Mean squared distance (N,) of points (n, 3) to each of clouds (N, parts, 3)."""
    return torch.cat(
        [
            torch.cdist(some.expand(len(part), -1, -1), part).amin(2).square().mean(1)
            for part in clouds.split(128)
        ]
    )


def _closest(some: Tensor, cloud: Tensor, start: _Placement) -> _Placement:
    """Refine a placement by iterated closest points."""
    begun = start.of(cloud)
    scale, shift = torch.ones(3), torch.zeros(3)
    for _ in range(STEPS):
        distance, index = torch.cdist(some, begun * scale + shift).min(1)
        kept = distance <= distance.quantile(TRIMMED)
        x, y = begun[index[kept]], some[kept]
        mean_x, mean_y = x.mean(0), y.mean(0)
        covariance = ((x - mean_x) * (y - mean_y)).mean(0)
        variance = (x - mean_x).square().mean(0)
        scale = ((covariance + STIFF) / (variance + STIFF)).clamp(0.7, 1.4)
        shift = (mean_y - scale * mean_x).clamp(-0.3, 0.3)
    distance = torch.cdist(some, begun * scale + shift).amin(1).square().mean()
    return _Placement(
        start.candidate, start.flip, start.scale * scale, start.shift * scale + shift,
        float(distance),
    )  # fmt: skip


def _bent(cloud: Tensor, given: Tensor) -> Tensor:
    """Deform a cloud (m, 3) towards nearby points (n, 3), by a smooth field.

    The field is a Gaussian kernel mean of the offsets between mutually nearest points; far from all
    of them it is zero.
    """
    for _ in range(BEND):
        sampled = thinned(cloud, CLOUD) if len(cloud) > CLOUD else cloud
        table = torch.cdist(given, sampled)
        distance, to = table.min(1)
        mutual = (table.argmin(0)[to] == torch.arange(len(to))) & (distance < 2 * NEAR)
        if int(mutual.sum()) < 8:
            break
        anchors = sampled[to[mutual]]
        ways = given[mutual] - anchors
        moved = []
        for part in cloud.split(CLOUD):
            weight = torch.exp(-torch.cdist(part, anchors).square() / (2 * REACH**2))
            moved.append(part + (weight @ ways) / (weight.sum(1, keepdim=True) + GENTLE))
        cloud = torch.cat(moved)
    return cloud


def _total(given: int, missing: list[Tensor]) -> int:
    """The number of points of an answer with all given points and an even density."""
    share = min(float((~far).float().mean()) for far in missing)
    return int(min(max(given / max(share, 0.05), CLOUD, given), MOST))


def _even(
    given: Tensor,
    whole: Tensor,
    far: Tensor,
    total: int,
    generator: Generator,
    own: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Combine the given points with those of a whole shape that are far from them.

    Args:
        own: how many are given points or lie between them; None for equal density.
    Returns:
        points (total, 3), and whether each is a given point (total,) bool.
    """
    if own is None:
        own = min(max(1, round(float((~far).float().mean()) * total)), total)
    held = given[torch.randperm(len(given), generator=generator)[:own]]
    # If few points were given, the whole shape fills the space between them.
    parts = [held]
    for pool, size in ((whole[~far], own - len(held)), (whole[far], total - own)):
        if size and len(pool):
            order = torch.randperm(len(pool), generator=generator)
            parts.append(pool[order.repeat(-(-size // len(pool)))[:size]])
    points = torch.cat(parts)
    if len(points) < total:  # nothing is missing, or everything is
        again = torch.randint(len(points), (total - len(points),), generator=generator)
        points = torch.cat([points, points[again]])
    return points, torch.arange(total) < len(held)


def _plausible(model: ShapeModel, z: Tensor, generator: Generator) -> Tensor:
    """See :class:`Completion`: (n,) for latents (n, latent_dim)."""
    known = model.known.y.cpu()
    some = known[torch.randperm(len(known), generator=generator)[:256]]
    table = torch.cdist(some, known)
    unit = table.masked_fill(table < 1e-4, torch.inf).amin(1)
    unit = unit[unit.isfinite()].median() if unit.isfinite().any() else torch.tensor(1.0)
    own = torch.cdist(model.known.coordinates(z).cpu(), known).amin(1)
    return -(own / unit).square() / 2


def _notes(
    given: Tensor, few: Tensor, distance: float, framed: bool, generator: Generator
) -> list[str]:
    """Notes on unusual points: no candidate fits, or they fit only when rotated."""
    some = given[torch.randperm(len(given), generator=generator)[:COARSE]]
    half = few[::4]
    x, y, z = some.T
    turns = {
        "as they are": some,
        "upside down": torch.stack([x, -y, -z], 1),
        "with Z up": torch.stack([x, z, -y], 1),
        "with X up": torch.stack([-y, x, z], 1),
    }
    fits = {
        name: min(placement.distance for placement in _coarse(turned, half, framed))
        for name, turned in turns.items()
    }
    best = min(fits, key=lambda name: fits[name])
    if best != "as they are" and fits[best] < TURNED * fits["as they are"]:
        return [
            f"the points fit shapes of this run much better {best}; turn them so that +Y points up"
        ]
    if distance > STRANGE:
        return [
            "no shape of this run is near the points: they may be of another category, or not "
            "upright with +Y up"
        ]
    return []
