"""From a data set to a finished run: the options of ``pcgen train`` and the order of stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pcgen import runtime
from pcgen.errors import InputError
from pcgen.files import lock
from pcgen.runfile import STAGES
from pcgen.shapes.store import Dataset
from pcgen.train import autoencoder, latent_flow, latents, point_flow
from pcgen.train import presets as settings_of
from pcgen.train.budget import check_budget
from pcgen.train.data import TrainingClouds
from pcgen.train.run import Run, RunConfig, check_dataset
from pcgen.train.stage import Context

TRAINERS = (autoencoder.train, latents.train, latent_flow.train, point_flow.train)


def train(
    dataset: Path,
    out: Path,
    *,
    preset: str = "cpu-small",
    categories: Sequence[str] | None = None,
    conditional: bool = False,
    base: str | None = None,
    budget_minutes: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "auto",
    stage: str | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Train all stages, or one, of the run ``out``; finished ones are left alone.

    Args:
        dataset: a prepared data set; out: the run directory.
        preset: see :data:`pcgen.train.presets.PRESETS`.
        categories: to train on; None for all. conditional: tell the latent flow which.
        base: family of :func:`pcgen.base.fit`; None for the preset's.
        budget_minutes: wall-clock time to divide over the stages; None for the preset's steps.
        threads: of torch; None for all cores. device: ``auto``, ``cpu`` or a CUDA device.
        stage: one of ``STAGES``, or None for all.
        resume: take every setting from the run itself.
    Raises:
        InputError, DataError: an option or the data set is wrong, before anything is written.
        TrainingError: the run is another one, or a stage met a number that is not finite.
    """
    if stage is not None and stage not in STAGES:
        raise InputError(f"stage must be one of {', '.join(STAGES)}, got {stage!r}")
    check_budget(budget_minutes)
    used = runtime.configure(threads)
    source = Dataset.open(dataset)
    if resume:
        run = Run.open(out)
    else:
        chosen = tuple(sorted(set(categories))) if categories else source.categories
        settings = settings_of.preset(preset)
        if base is not None:
            settings = dataclasses.replace(
                settings, base=dataclasses.replace(settings.base, name=base)
            )
        config = RunConfig(
            dataset=str(Path(dataset).resolve()),
            dataset_hash=source.content_hash,
            categories=chosen,
            conditional=conditional,
            preset=preset,
            seed=seed,
            threads=used,
            budget_minutes=budget_minutes,
            settings=settings,
        )
        source.select(split="train", categories=chosen)  # refuses unknown names before writing
        run = Run.create(out, config)
    check_dataset(run, source)
    with lock(run.path):
        clouds = TrainingClouds.load(
            source, run.config.categories, "train", run.settings.cloud_points
        )
        context = Context(run, clouds, runtime.pick_device(device))
        for name, trainer in zip(STAGES, TRAINERS, strict=True):
            if stage not in (None, name) or run.finished(name):
                continue
            run.mark_finished(name, trainer(context))
    return {"run": str(run.path), "finished": [name for name in STAGES if run.finished(name)]}
