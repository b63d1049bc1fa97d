"""Stage 3: latents of children, the base ω, and the map from ω to the latents."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from pcgen import base, checkpoint, progress
from pcgen.base import BaseMeasure
from pcgen.children import BlendSettings, Choice, Maps, rule
from pcgen.config import from_plain, to_plain
from pcgen.errors import DataError, TrainingError
from pcgen.latent.autoencoder import Autoencoder, refining_factor
from pcgen.model.coupling import LatentCoupling, Latents
from pcgen.processes import ALONE, Group
from pcgen.runtime import staged
from pcgen.train.children import load_maps, load_nature
from pcgen.train.stage import Context
from pcgen.transport import (
    SamplerSource,
    SemidiscreteProblem,
    SemidiscreteSolution,
    SemidualSolver,
)

STAGE = "base"
CHUNK = 64
"""Children encoded at a time."""
FIT_PRODUCTS, MAP_PRODUCTS = 5e9, 2e9
"""Samples × latents × coordinates that one core computes in a second: for N(0, I), and for a base
whose samples cost as much as their scores."""
DEVICE_SPEED = 1000
"""A CUDA device counted in cores: 5e12 products a second of the 2e13 that an H100 can compute. This
is a guess from the bytes that the scores move; it was never measured."""
FEWEST_PRODUCTS = 200_000
"""A sample costs at least as much as this many products, however few the latents are."""
PLAIN_SECONDS = 30.0
"""For both transports, of one core, if steps are counted and not the time."""
FIT_SHARE = 1 / 3
"""The base's share of the time of both transports, as its noise costs nothing to sample."""
FEWEST = 0.3
"""The share of the stage's time that encoding leaves to the transports at least."""
IN_ORDER, FEWEST_OF_MANY = 2048, 0.5
"""Of at most this many shapes, equally many children are encoded each. More are taken in random
order, so that encoding can end anywhere; as fewer latents are no loss then, the transports are left
this share."""


def train(context: Context) -> dict[str, object]:
    """Write latents, base and map under ``base/``; return what ``done.json`` records."""
    run, settings = context.run, context.run.settings.base
    folder = run.stage(STAGE)
    seconds = context.seconds(STAGE)
    begun = _used(context)

    def left() -> float | None:
        """Seconds that the stage still has; None if steps are counted."""
        if seconds is None:
            return None
        return max(FEWEST * seconds, seconds - (_used(context) - begun))

    def spent() -> bool:
        """Whether only the transports' time is left."""
        if seconds is None:
            return False
        used = context.group.value(context.budget.used)
        least = FEWEST if len(context.clouds) <= IN_ORDER else FEWEST_OF_MANY
        return bool(used - begun >= (1 - least) * seconds)

    latents, choice = _latents(context, spent)
    draw = torch.Generator(device=context.device).manual_seed(context.seed(STAGE, 1))
    y = latents.y.to(context.device)
    # Nothing can be fitted to a single latent, which a data set of one shape may have.
    family = settings.name if len(torch.unique(y, dim=0)) > 1 else "standard"
    progress.say(f"base           fitting {family} to {len(y)} latents in {y.shape[1]} coordinates")
    budget = None
    if family == "ae-ot":
        time = left()
        budget = {
            "max_samples": _samples(y, FIT_SHARE, FIT_PRODUCTS) if time is None else None,
            "max_seconds": None if time is None else FIT_SHARE * time,
            "neighbours": settings.mixed,
        }
    # The latents are those of children: a sample near one does not replay a training shape.
    omega = base.fit(family, y, generator=draw, settings=budget, guard="off", group=context.group)
    for note in omega.notes:
        progress.say(f"base           {note}")
    time = left()
    solver = SemidualSolver(
        tolerance=settings.tolerance,
        max_samples=_samples(y, 1 - FIT_SHARE, MAP_PRODUCTS) if time is None else None,
        max_seconds=time,
    )
    solution = couple(omega, y, solver, context.seed(STAGE, 2), context.group)
    if context.group.first:
        LatentCoupling.save(folder, latents, omega, solution)
    evidence = dataclasses.asdict(solution.evidence)
    progress.say(f"base           {_describe(evidence)}")
    if not solution.evidence.converged:
        limit = f"{solver.max_samples} samples" if time is None else f"{time:.0f} s"
        progress.say(
            f"base           the map from the base to the latents was ended by its budget of "
            f"{limit}; categories and shapes may be sampled unevenly. A larger --budget-minutes "
            "gives it more time"
        )
    return {
        "coordinates": y.shape[1],
        "children": choice,
        "explained": latents.explained_variance,
        "base": omega.describe(),
        "map": evidence,
    }


def couple(
    omega: BaseMeasure, y: Tensor, solver: SemidualSolver, seed: int, group: Group = ALONE
) -> SemidiscreteSolution:
    """Solve the semi-discrete transport from any base to coordinates of latents."""
    draw = torch.Generator(device=y.device).manual_seed(seed)
    problem = SemidiscreteProblem(SamplerSource(omega.dim, omega.sample), y)
    return solver.solve(problem, draw, group=group)


def _used(context: Context) -> float:
    """Seconds on the clock of the training, also saved for a resume; 0 if steps are counted."""

    def read() -> float:
        context.budget.save()
        return context.budget.used()

    return 0.0 if context.budget.seconds is None else context.group.value(read)


def _samples(y: Tensor, share: float, speed: float) -> int:
    """Samples for a share of :data:`PLAIN_SECONDS`, with ``speed`` products a second."""
    cores = DEVICE_SPEED if y.is_cuda else 1
    products = max(FEWEST_PRODUCTS * cores, y.numel())
    return max(16_384, int(share * PLAIN_SECONDS * cores * speed / products))


def load_autoencoder(context: Context) -> Autoencoder:
    """The trained autoencoder of the run, frozen."""
    weights = context.run.stage("autoencoder") / "weights.safetensors"
    tensors = context.read(weights, checkpoint.WEIGHTS)
    try:
        return Autoencoder.trained(context.run.settings.autoencoder, tensors)
    except ValueError as error:
        raise DataError(f"{weights}: {error}; train the stage again") from None


def load_coupling(context: Context) -> LatentCoupling:
    """The files of this stage, read by the first process for all.

    Raises:
        DataError: a file is damaged, or the files do not match each other.
    """
    folder = context.run.stage(STAGE)
    try:
        return LatentCoupling.load(folder, None, len(context.clouds.categories), context.group)
    except ValueError as error:
        raise DataError(
            f"the files in {folder} do not match each other ({error}); remove it to train the "
            "base again"
        ) from None


@torch.no_grad()
def _latents(context: Context, spent: Callable[[], bool]) -> tuple[Latents, dict[str, Any]]:
    """Latents of children, equally many per training shape, and the choice of these children.

    Args:
        spent: whether to encode no more; asked after each chunk.
    """
    clouds, settings = context.clouds, context.run.settings
    model = load_autoencoder(context).to(context.device)
    maps = load_maps(context)
    choice = context.group.value(lambda: to_plain(_choose_children(context, maps, model)))
    chosen = from_plain(Choice, choice, "the choice of children")
    draw = torch.Generator().manual_seed(context.seed(STAGE))
    shapes = torch.arange(len(clouds))
    if len(shapes) > min(settings.base.most, IN_ORDER):
        shapes = torch.randperm(len(shapes), generator=draw)[: settings.base.most]
    each = settings.base.each(len(shapes))
    shapes = _with_maps(shapes, clouds.label, maps.with_children(), draw)
    points = min(settings.base.points, clouds.points.shape[1])
    refined = partial(model.refined, factor=refining_factor(points))

    def drawn(rows: Tensor) -> list[Tensor]:
        """Latents of a child of each shape, their parents, mirrorings and symmetries."""
        children = maps.of_shapes(rows, points, draw, chosen.settings)
        points_there = staged(children.with_mirror_images(), context.device)
        # As the file holds them, so that sampling sees what training saw.
        z = context.group.by_rows(refined, points_there).half().cpu()
        return [z, clouds.rows[children.parent], children.mirrored, children.symmetry.cpu()]

    found, encoded = [], []
    with progress.bar("encoding", each * len(shapes)) as bar:
        for chunk in rounds(shapes, each, spent):
            found.append(drawn(chunk))
            encoded.append(chunk)
            bar.advance(len(chunk))
    label = clouds.label[torch.cat(encoded)]
    if len(label) < each * len(shapes):
        progress.say(
            f"base           {len(label)} of {each * len(shapes)} children were encoded in the "
            "time of the stage; a larger --budget-minutes encodes more"
        )
    z, parent, mirrored, symmetry = (torch.cat(parts) for parts in zip(*found, strict=True))
    found.clear()
    z = z.float()
    if not torch.isfinite(z).all():
        raise TrainingError("base: a latent is not finite; train the autoencoder again")
    latents = Latents.of(
        z,
        parent,
        mirrored,
        symmetry,
        label,
        settings.base.coordinates,
        dict(zip(clouds.rows.tolist(), clouds.ids, strict=True)) if clouds.ids else None,
    )
    return latents, choice


def rounds(shapes: Tensor, each: int, spent: Callable[[], bool]) -> Iterator[Tensor]:
    """Chunks of ``each`` rounds of shapes, until the time is spent: then to the end of the round if
    they are at most :data:`IN_ORDER`, else at least to the end of as many."""
    count = len(shapes)
    left, end, ended = shapes.repeat(each), each * count, False
    for start in range(0, each * count, CHUNK):
        if start < end:
            chunk = left[start : min(start + CHUNK, end)]
            yield chunk
            if not ended and spent():
                ended, end = True, start + len(chunk)
                end = max(end, IN_ORDER) if count > IN_ORDER else -(-end // count) * count


def _choose_children(context: Context, maps: Maps, model: Autoencoder) -> Choice:
    """The nearest settings with which decoded children are as novel as held-out shapes."""
    first = maps.choice
    if not first.statistics or not len(maps):
        return first
    # Those of a map are enough here: novelty hardly depends on how many points are encoded.
    count = min(context.run.settings.base.points, maps.to.shape[1])
    seed = context.seed(STAGE, 3)
    nature = load_nature(context, maps)
    order = torch.randperm(len(maps.clouds), generator=torch.Generator().manual_seed(seed))
    rows = order[maps.with_children()[order]]
    rows = rows[torch.arange(rule.SHAPES) % len(rows)]

    @cache
    def decoded(blending: BlendSettings) -> tuple[Tensor, Tensor]:
        """Clouds of children, and the costs of their maps; a copy costs nothing."""
        draw = torch.Generator().manual_seed(seed)
        children = maps.of_shapes(rows, count, draw, blending)
        parts = [
            # Starts of the point flow, which moves them little.
            model.draw_base(model.refined(staged(points, context.device)), nature.points, draw)[1]
            for points in children.with_mirror_images().split(CHUNK)
        ]
        cost = torch.where(children.map < 0, 0.0, maps.cost[children.map])
        return torch.cat([part.points.cpu() for part in parts]), cost

    steps = rule.ladder(maps.farthest, first.settings)
    choice = rule.choose(steps, nature, lambda blending: decoded(blending)[0], rule.DECODED)
    choice = rule.without_costliest(choice, nature, *decoded(choice.settings))
    progress.say(f"base           decoded {choice.describe()}")
    return choice


def _with_maps(shapes: Tensor, label: Tensor, able: Tensor, draw: torch.Generator) -> Tensor:
    """Each of ``shapes``, or another of its category for which a map was computed.

    With a small budget some shapes have no map; their only children would be copies. Categories
    keep their proportions.
    """
    chosen = shapes.clone()
    for category in label[shapes[~able[shapes]]].unique():
        there = shapes[able[shapes] & (label[shapes] == category)]
        missing = ~able[shapes] & (label[shapes] == category)
        if len(there):
            chosen[missing] = there[
                torch.randint(len(there), (int(missing.sum()),), generator=draw)
            ]
    return chosen


def _describe(evidence: dict[str, object]) -> str:
    keys = ("status", "chi2", "dead", "untested", "samples")
    return "map to latents: " + ", ".join(f"{k} {evidence[k]}" for k in keys if k in evidence)
