"""Whole shapes that a partial or noisy cloud may belong to.

Candidates are children of the training shapes and new samples. Each is registered to the points:
coarsely over sizes and positions, then by iterated closest points with one scale per axis (P. Besl
and N. McKay, A method for registration of 3-D shapes, 1992). Near the points it is deformed towards
them; its other parts complete them. Answers are ordered by the likelihood of the points under the
autoencoder, the misfit, and the distance to the latents of the base. docs/notes/completion.md has
measurements and what was tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pcgen.children.frames import mirrored
from pcgen.editing.between import thinned
from pcgen.errors import InputError
from pcgen.model import ShapeModel
from pcgen.progress import track

KNOWN, DRAWN = 16384, 256  # largest number of candidates
FIRST = (20, 32)  # given points, and parts of a candidate, that all placements are compared by
LIKELY, COARSE = 256, 96  # placements that remain, and the points that these are compared by
PLACED, FINE = 40, 384  # placements that are refined, and the points for it
MOST_ANSWERS = 32
LARGEST = 2.5  # whole over the longest side of the points
STEPS, TRIMMED, STIFF = 6, 0.9, 0.02  # rounds of closest points, share used, weight of the start
NEAR = 0.1  # in the box frame of the points: candidates are deformed towards nearer points only
ROOM = 3.0, 2.0  # no point is added within these distances of a given one: in spacings, in misfits
BEND, WIDTH, GENTLE = 3, 0.15, 0.5  # rounds, width and stiffness of the deformation
CLOUD = 2048  # points that are deformed, encoded and counted
MOST = 2**17  # points of an answer
# The order of answers: docs/notes/completion.md has the measurement.
FIT, PRIOR = 0.3, 0.03  # weights of the logarithm of the misfit, and of the base
STRANGE = 0.02  # mean squared distance to the best candidate from which points fit no shape
TURNED = 0.6  # share of that distance below which another up axis is assumed
ASKED = 192  # candidates for the test of the up axis
ALIKE = 0.15  # largest difference of the boxes of two answers of one size and position
WORSE = 2.0  # largest misfit of another size and position, relative to the smallest


@dataclass(frozen=True)
class Completion:
    """One answer, in the frame of the given points.

    Attributes:
        points: (n, 3). given: (n,) bool, which of them are given points, unchanged.
        normals: (n, 3), or None if the answer has given points.
        log_density: mean log-density of the given points under the shape.
        misfit: mean squared distance of the given points to the registered shape.
        plausible: minus half the squared distance to the nearest latent in the image of the
            base, in units of the median distance between two such neighbours.
    """

    points: Tensor
    given: Tensor
    normals: Tensor | None
    log_density: float
    misfit: float
    plausible: float

    @property
    def score(self) -> float:
        """The answers are in the order of their scores."""
        return self.log_density - FIT * math.log(self.misfit) + PRIOR * self.plausible


@dataclass(frozen=True)
class _Placement:
    """A registered candidate: ``scale * candidate + shift``, after mirroring in x.

    Attributes:
        distance: mean squared, from the points to it. kind: equal for one size and position.
    """

    candidate: int
    flip: bool
    scale: Tensor
    shift: Tensor
    distance: float = 0.0
    kind: int = 0

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
        InputError: no extent, an unknown category, or too many points.
    """
    given = torch.as_tensor(np.array(cloud, np.float32))
    if float((given.amax(0) - given.amin(0)).max()) < 1e-6:
        raise InputError("all points are in one place; a completion needs a part of a shape")
    if count < 1 or count > MOST_ANSWERS:
        raise InputError(f"the number of answers must be from 1 to {MOST_ANSWERS}, got {count}")
    if points is not None and not 1 <= points <= MOST:
        raise InputError(f"the points of an answer must be from 1 to {MOST}, got {points}")
    if len(given) > MOST:
        given = thinned(given, MOST, seed)
    generator = Generator().manual_seed(seed)
    pool = _Candidates.of(model, category, generator, seed)
    found = _placed(given, pool, framed, generator, max(PLACED, 2 * count))
    notes = _notes(given, pool.outlines, found[0].distance, framed, generator)
    chosen = _different(found, pool.outlines, max(8, 2 * count))
    z = pool.latents(torch.tensor([placement.candidate for placement in chosen]))
    wholes = model.decode(z, points=CLOUD, seed=seed).points
    fit = thinned(given, min(len(given), CLOUD // 2), seed)
    bent = [
        _bent(placement.of(whole), fit)
        for placement, whole in zip(track(chosen, "complete", len(chosen)), wholes, strict=True)
    ]
    room = [_room(given, fit, whole) for whole in bent]
    distances = [_nearest_distances(whole, given) for whole in bent]
    glued = torch.stack(
        [
            _even(given, whole, far > near, CLOUD, generator)[0]
            for whole, far, near in zip(bent, distances, room, strict=True)
        ]
    )
    low, high = glued.amin(1, keepdim=True), glued.amax(1, keepdim=True)
    middle, half = (low + high) / 2, (high - low).amax(2, keepdim=True) / 2
    latents = model.encode((glued - middle) / half)
    inside = (thinned(given, CLOUD // 2, seed)[None] - middle) / half
    log_density = model.mixture(latents).log_likelihood(inside.to(model.device)).cpu()
    log_density = log_density - 3 * half[:, 0, 0].log()
    plausible = _plausible(model, latents, generator)
    misfit = torch.stack(
        [_nearest_distances(fit, whole).square().mean() for whole in bent]
    ).clamp_min(1e-12)
    score = log_density - FIT * misfit.log() + PRIOR * plausible
    order = score.argsort(descending=True, stable=True).tolist()
    best = _spread(order, [placement.kind for placement in chosen], count)
    missing = [distances[row] > room[row] for row in best]
    total = points or _total(len(given), missing)
    answers = []
    for row, far in zip(best, missing, strict=True):
        facts = float(log_density[row]), float(misfit[row]), float(plausible[row])
        if keep:
            whole = bent[row]
            if total > CLOUD:
                dense = model.decode(z[row, None], points=total, seed=seed).points[0]
                whole = _bent(chosen[row].of(dense), fit)
                far = _nearest_distances(whole, given) > room[row]
            own = len(given) if points is None and len(given) <= total else None
            made, held = _even(given, whole, far, total, generator, own)
            answers.append(Completion(made, held, None, *facts))
        else:
            decoded = model.decode(latents[row, None], points=total, seed=seed)
            clean = decoded.points[0] * half[row] + middle[row]
            none = torch.zeros(total, dtype=torch.bool)
            answers.append(Completion(clean, none, decoded.normals[0], *facts))
    return answers, notes


@dataclass(frozen=True)
class _Candidates:
    """Candidates: some children of the training shapes, and some new samples.

    Attributes:
        outlines: (N, parts, 3) of all. rows: of the children; drawn: latents of the samples.
    """

    model: ShapeModel
    outlines: Tensor
    rows: Tensor
    drawn: Tensor

    @classmethod
    def of(
        cls, model: ShapeModel, category: str | None, generator: Generator, seed: int
    ) -> _Candidates:
        drawn = model.draw(DRAWN, seed=seed, category=category).z.cpu()
        known = model.known
        rows = torch.arange(len(known.z))
        if category is not None:
            rows = rows[known.label == model.categories.index(category)]
        rows = rows[torch.randperm(len(rows), generator=generator)[:KNOWN]]
        outlines = torch.cat([model.outlines[rows], model.outlined(drawn)])
        return cls(model, outlines, rows, drawn)

    def latents(self, chosen: Tensor) -> Tensor:
        """(n, latent_dim) of candidates (n,)."""
        known = self.model.known.z
        return torch.stack(
            [
                known[self.rows[k]].to(self.drawn)
                if k < len(self.rows)
                else self.drawn[k - len(self.rows)]
                for k in chosen.tolist()
            ]
        )

    def parts(self, chosen: Tensor) -> Tensor:
        """(n, parts, 3) of candidates (n,), half of their parts."""
        return torch.cat(
            [self.model.mixture(z).centre[:, ::2].cpu() for z in self.latents(chosen).split(64)]
        )


def _placed(
    given: Tensor, pool: _Candidates, framed: bool, generator: Generator, most: int
) -> list[_Placement]:
    """The best placements of candidates on the points, the best first, each candidate once.

    Args:
        most: placements that are refined; at least half as many candidates remain.
    """
    some = given[torch.randperm(len(given), generator=generator)]
    coarse = _coarse(some, pool.outlines, framed)[:most]
    parts = pool.parts(torch.tensor([placement.candidate for placement in coarse]))
    fine = [_closest(some[:FINE], part, p) for p, part in zip(coarse, parts, strict=True)]
    best: dict[int, _Placement] = {}
    for placement in sorted(fine, key=lambda placement: placement.distance):
        best.setdefault(placement.candidate, placement)
    return list(best.values())


def _coarse(some: Tensor, outlines: Tensor, framed: bool) -> list[_Placement]:
    """The best rough placements of candidates (N, parts, 3), at most two of each."""
    found = []
    for flip in (False, True):
        clouds = mirrored(outlines) if flip else outlines
        for scale, shift in _initial_placements(some, clouds, framed):
            small = clouds[:, : FIRST[1]] * scale[:, None, None] + shift[:, None]
            distance = _one_sided(some[: FIRST[0]], small)
            found.append((torch.where(scale <= LARGEST, distance, torch.inf), scale, shift, flip))
    table = torch.stack([distance for distance, *_ in found])
    table, starts = table.topk(2, dim=0, largest=False)
    least, where = table.flatten().topk(min(LIKELY, table.numel()), largest=False)
    result = []
    for distance, number in zip(least.tolist(), where.tolist(), strict=True):
        start, row = int(starts.flatten()[number]), number % len(outlines)
        if distance < torch.inf:
            _, scale, shift, flip = found[start]
            placement = _Placement(row, flip, scale[row].expand(3), shift[row])
            squared = torch.cdist(some[:COARSE], placement.of(outlines[row])).amin(1).square()
            result.append(replace(placement, distance=float(squared.mean())))
    return sorted(result, key=lambda placement: placement.distance)


def _different(found: list[_Placement], outlines: Tensor, count: int) -> list[_Placement]:
    """The best placements of each size and position that fits the points, in turn."""
    kinds: list[tuple[Tensor, list[_Placement]]] = []
    for placement in found:
        if placement.distance > WORSE * found[0].distance:
            break
        cloud = placement.of(outlines[placement.candidate])
        box = torch.cat([cloud.amin(0), cloud.amax(0)])
        for known, members in kinds:
            if float((box - known).abs().max()) < ALIKE:
                members.append(placement)
                break
        else:
            kinds.append((box, [placement]))
    chosen = [
        replace(member, kind=kind)
        for turn in zip_longest(*(members for _, members in kinds))
        for kind, member in enumerate(turn)
        if member is not None
    ][:count]
    # The rest are placements that fit less well.
    rest = [replace(p, kind=len(kinds)) for p in found if p.distance > WORSE * found[0].distance]
    return (chosen + rest)[:count]


def _spread(order: list[int], kinds: list[int], count: int) -> list[int]:
    """``count`` of the rows in ``order``, those first of their kind before others, in order."""
    heads = {kinds[row]: row for row in reversed(order)}.values()
    rest = [row for row in order if row not in heads]
    return sorted((sorted(heads, key=order.index) + rest)[:count], key=order.index)


def _initial_placements(
    some: Tensor, clouds: Tensor, framed: bool
) -> Iterator[tuple[Tensor, Tensor]]:
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
            for part in clouds.split(256)
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
            weight = torch.exp(-torch.cdist(part, anchors).square() / (2 * WIDTH**2))
            moved.append(part + (weight @ ways) / (weight.sum(1, keepdim=True) + GENTLE))
        cloud = torch.cat(moved)
    return cloud


def _room(given: Tensor, fit: Tensor, whole: Tensor) -> float:
    """The distance to given points (n, 3) within which no point is added."""
    table = torch.cdist(fit[:256], given)
    spacing = float(table.topk(2, dim=1, largest=False).values[:, 1].median())
    misfit = float(_nearest_distances(fit, whole).quantile(0.9))
    return max(ROOM[0] * spacing, ROOM[1] * misfit)


def _nearest_distances(whole: Tensor, given: Tensor) -> Tensor:
    """Distances (m,) of points (m, 3) to the nearest of others (n, 3)."""
    size = max(1, 2**23 // len(given))
    return torch.cat([torch.cdist(part, given).amin(1) for part in whole.split(size)])


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
        own: number of points that are given or between given ones; None for equal density.
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
    if len(points) < total:  # no part is missing, or all of it
        again = torch.randint(len(points), (total - len(points),), generator=generator)
        points = torch.cat([points, points[again]])
    return points, torch.arange(total) < len(held)


def _plausible(model: ShapeModel, z: Tensor, generator: Generator) -> Tensor:
    """See :class:`Completion`: (n,) for latents (n, latent_dim)."""
    known = model.known.y.cpu()
    some = known[torch.randperm(len(known), generator=generator)[:256]]
    # By differences: by products, the distance of a latent to itself would be far from zero.
    exact = "donot_use_mm_for_euclid_dist"
    table = torch.cdist(some, known, compute_mode=exact)
    unit = table.masked_fill(table < 1e-4, torch.inf).amin(1)
    unit = unit[unit.isfinite()].median() if unit.isfinite().any() else torch.tensor(1.0)
    own = torch.cdist(model.known.coordinates(z).cpu(), known, compute_mode=exact).amin(1)
    return -(own / unit).square() / 2


def _notes(
    given: Tensor, outlines: Tensor, distance: float, framed: bool, generator: Generator
) -> list[str]:
    """Notes on unusual points: no candidate fits, or they fit only when rotated."""
    some = given[torch.randperm(len(given), generator=generator)[:COARSE]]
    asked = outlines[torch.randperm(len(outlines), generator=generator)[:ASKED]]
    x, y, z = some.T
    turns = {
        "as they are": some,
        "upside down": torch.stack([x, -y, -z], 1),
        "with Z up": torch.stack([x, z, -y], 1),
        "with X up": torch.stack([-y, x, z], 1),
    }
    fits = {
        name: min(placement.distance for placement in _coarse(turned, asked, framed))
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
