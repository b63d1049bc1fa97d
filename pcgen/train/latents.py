"""Stage 2: latents of the training shapes, the base ω, and the map from ω to the latents."""

from __future__ import annotations

import dataclasses

import torch
from torch import Generator, Tensor

from pcgen import base, checkpoint, progress
from pcgen.base import BaseMeasure
from pcgen.errors import DataError, TrainingError
from pcgen.latent.augment import mirrored
from pcgen.latent.autoencoder import Autoencoder
from pcgen.processes import ALONE, Group
from pcgen.train.atoms import Atoms, recombined
from pcgen.train.novelty import describe, least_change
from pcgen.train.stage import Context
from pcgen.transport import (
    SamplerSource,
    SemidiscreteProblem,
    SemidiscreteSolution,
    SemidualSolver,
)

STAGE = "base"
POOL = 65_536
"""Points of the base that stand for it in the coupling."""
MOST_PRODUCTS = 1e12
"""Multiply-adds that the coupling may spend on scores: about a minute of one core."""


def train(context: Context) -> dict[str, object]:
    """Write ``atoms``, ``base`` and ``map`` under ``base/``; returns the evidence."""
    run, settings = context.run, context.run.settings.base
    folder = run.stage(STAGE)
    atoms, newness = _atoms(context)
    draw = torch.Generator().manual_seed(context.seed(STAGE, 1))
    progress.say(f"base           fitting {settings.name} to {len(atoms.z)} latents")
    omega = base.fit(settings.name, atoms.z, generator=draw)
    for note in omega.notes:
        progress.say(f"base           {note}")
    solution = couple(omega, atoms.z, settings.tolerance, context.seed(STAGE, 2), context.group)
    if context.group.first:
        atoms.save(folder / "atoms.safetensors")
        checkpoint.save(folder / "base.safetensors", *omega.to_checkpoint())
        solution.save(folder / "map.npz")
    evidence = dataclasses.asdict(solution.evidence)
    progress.say(f"base           {_describe(evidence)}")
    return {"atoms": newness, "base": omega.describe(), "map": evidence}


def couple(
    omega: BaseMeasure, atoms: Tensor, tolerance: float, seed: int, group: Group = ALONE
) -> SemidiscreteSolution:
    """The semi-discrete transport from a base to latents: one code path for every base.

    The solver draws from a pool of the base's points, since a draw of a rich base costs as much
    as all of its scores, and within a budget of products, so that no base holds up a training.
    """
    draw = torch.Generator().manual_seed(seed)
    pool = omega.sample(POOL, draw)

    def redraw(count: int, generator: Generator) -> Tensor:
        return pool[torch.randint(POOL, (count,), generator=generator)]

    problem = SemidiscreteProblem(SamplerSource(omega.dim, redraw), atoms)
    wanted, affordable = 40 * len(atoms) / tolerance, MOST_PRODUCTS / atoms.numel()
    budget = max(4096, int(min(wanted, affordable)))
    solver = SemidualSolver(tolerance=tolerance, max_samples=budget)
    return solver.solve(problem, draw, group=group)


def load_autoencoder(context: Context) -> Autoencoder:
    """The trained autoencoder of the run, frozen."""
    weights = context.run.stage("autoencoder") / "weights.safetensors"
    tensors = context.read(weights, checkpoint.WEIGHTS)
    try:
        return Autoencoder.trained(context.run.settings.autoencoder, tensors)
    except ValueError as error:
        raise DataError(f"{weights}: {error}; train the stage again") from None


@torch.no_grad()
def _atoms(context: Context) -> tuple[Atoms, dict[str, float]]:
    """Variants of the training shapes, and how new they are."""
    clouds, settings = context.clouds, context.run.settings
    model = load_autoencoder(context)
    draw = torch.Generator().manual_seed(context.seed(STAGE))
    shapes = torch.arange(len(clouds))
    if len(shapes) > settings.base.most:
        shapes = torch.randperm(len(shapes), generator=draw)[: settings.base.most]
    points = min(settings.base.points, clouds.points.shape[1])
    codes, images = [], []
    with progress.bar("encoding", len(shapes)) as bar:
        for chunk in shapes.split(64):
            drawn, _ = clouds.draw(chunk, points, draw)
            code = context.group.by_rows(model.encode, drawn)
            codes.append(code)
            # The autoencoder knows mirror images from its augmentation, or not at all.
            if settings.augment > 0:
                code = context.group.by_rows(model.encode, mirrored(drawn))
            images.append(code)
            bar.advance(len(chunk))
    z, image = torch.cat(codes), torch.cat(images)
    if not (torch.isfinite(z).all() and torch.isfinite(image).all()):
        raise TrainingError("base: a latent is not a finite number; train the autoencoder again")
    atoms = Atoms(z=z, row=clouds.rows[shapes], label=clouds.label[shapes])
    each, near = settings.base.each(len(shapes)), settings.base.neighbours

    def measured() -> dict[str, float]:
        with progress.hushed():
            return least_change(atoms, image, model, clouds, settings.base, context.seed(STAGE, 3))

    # The first process decides: another machine might round the other way.
    progress.say("base           comparing variants with the training shapes")
    newness = context.group.value(measured)
    progress.say(f"base           {describe(newness)}")
    least = newness["least_change"]
    return recombined(atoms, image, each, near, model.dim, draw, least), newness


def _describe(evidence: dict[str, object]) -> str:
    keys = ("status", "chi2", "dead", "samples")
    return "map to latents: " + ", ".join(f"{k} {evidence[k]}" for k in keys if k in evidence)
