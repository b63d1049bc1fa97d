"""A run of a few steps, with the times and memory of a full run of the same sizes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen.progress import say

if TYPE_CHECKING:
    from pcgen.train.loop import LoopSettings, Trainer
    from pcgen.train.presets import Settings
    from pcgen.train.stage import Context


CLOUDS = 16  # that are coupled; a benchmark encodes, samples and compares as many


def shortened(settings: Settings, steps: int) -> Settings:
    """The settings with few steps at full batch size, and little preparation."""

    def short(loop: LoopSettings) -> LoopSettings:
        return dataclasses.replace(loop, steps=steps)

    def flow(old: Any, **few: int) -> Any:
        loops = {"teacher": short(old.teacher), "student": short(old.student)}
        return dataclasses.replace(old, **loops, **few)

    return dataclasses.replace(
        settings,
        autoencoder_loop=short(settings.autoencoder_loop),
        field=dataclasses.replace(settings.field, loop=short(settings.field.loop)),
        base=dataclasses.replace(settings.base, children=2, tolerance=0.2),
        latent_flow=flow(settings.latent_flow, pool=1024),
        point_flow=flow(settings.point_flow, pairs=CLOUDS),
    )


def rehearse(
    settings: Settings,
    preset: str,
    folder: Path,
    trainer: type[Trainer],
    seed: int,
    device: str = "cpu",
    solids: int = 0,
) -> Context:
    """Train every stage under ``folder`` on the seats of the starter data; gives the context.

    Args:
        settings: those of ``preset``, with few steps; the weights are of no use.
        trainer: takes the steps, and looks at them.
        solids: signed distances per shape, for the field; 0 leaves it out.
    """
    from pcgen.shapes.prepare import prepare
    from pcgen.shapes.store import Dataset
    from pcgen.train import training
    from pcgen.train.data import TrainingClouds
    from pcgen.train.run import Run, RunConfig
    from pcgen.train.stage import Context

    data = folder / "data"
    points = max(6144, settings.cloud_points)
    prepare("starter", data, points=points, categories=["seat"], workers=1, seed=seed,
            solids=solids)  # fmt: skip
    source = Dataset.open(data)
    config = RunConfig(
        dataset=str(data), dataset_hash=source.content_hash, categories=source.categories,
        conditional=False, preset=preset, seed=seed, threads=1, budget_minutes=None,
        settings=settings,
    )  # fmt: skip
    run = Run.create(folder / "run", config)
    clouds = TrainingClouds.load(source, source.categories, "train", settings.cloud_points)
    context = Context(run, clouds, device, trainer=trainer)
    for stage, train in zip(training.STAGES, training.TRAINERS, strict=True):
        say(f"a few steps of {stage}")
        run.mark_finished(stage, train(context))
    return context


def loop_of(trainer: Trainer) -> str:
    """``autoencoder``, ``latent-flow/teacher`` and so on: where the trainer keeps its files."""
    last = trainer.folder.name
    return f"{trainer.folder.parent.name}/{last}" if last in ("teacher", "student") else last
