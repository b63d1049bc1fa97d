"""The whole training: the options of ``pcgen train`` and the order of the stages."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pcgen import processes, progress, runtime
from pcgen.config import from_plain, to_plain
from pcgen.cores import usable_cores
from pcgen.errors import InputError
from pcgen.runfile import STAGES, is_run
from pcgen.shapes.store import Dataset
from pcgen.train import autoencoder, children, field, latent_flow, latents, point_flow
from pcgen.train import presets as settings_of
from pcgen.train.budget import check_budget
from pcgen.train.data import TrainingClouds
from pcgen.train.execution import Execution
from pcgen.train.loop import LoopSettings
from pcgen.train.presets import Settings
from pcgen.train.run import Run, RunConfig, check_dataset
from pcgen.train.stage import Context, Watch

TRAINERS = (
    children.train,
    autoencoder.train,
    latents.train,
    latent_flow.train,
    point_flow.train,
    field.train,
)


def check_batches(settings: Settings, execution: Execution) -> None:
    """Refuse more processes and parts than there are rows in some stage's batch."""
    flows = (settings.latent_flow, settings.point_flow)
    loops = [
        settings.autoencoder_loop,
        settings.field.loop,
        *(loop for flow in flows for loop in vars(flow).values()),
    ]
    for loop in loops:
        if isinstance(loop, LoopSettings):
            execution.check_batch(loop.batch, "this preset")


def train(
    dataset: Path,
    out: Path,
    *,
    preset: str = "cpu-small",
    categories: Sequence[str] | None = None,
    conditional: bool = False,
    base: str | None = None,
    encoder: str | None = None,
    budget_minutes: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    device: str = "auto",
    stage: str | None = None,
    resume: bool = False,
    precision: str = "auto",
    accumulate: int = 1,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train all stages, or one, of the run ``out``; skip finished ones.

    Args:
        dataset: a prepared data set; out: the run directory.
        preset: see :data:`pcgen.train.presets.PRESETS`.
        categories: to train on; None for all. conditional: condition the latent flow on them.
        base: family of :func:`pcgen.base.fit`; encoder: one of
            :data:`pcgen.latent.autoencoder.CODECS`; None for the preset's.
        budget_minutes: working time, divided over the stages; None trains for the preset's steps,
            which give equal weights for equal seeds.
        threads: of torch, and processes that share a step on the CPU; None for those of a run
            that is resumed, or else the number of free cores.
        device: ``auto``, ``cpu`` or a CUDA device.
        stage: one of ``STAGES``, or None for all.
        resume: take every setting from the run itself.
        precision, accumulate: see :class:`pcgen.train.execution.Execution`; ``auto`` is the run's
            own precision, and for a new run tf32 on a CUDA device and float32 on a CPU.
        watch: called after each step of a network, to show what it has learned.

    Processes that torchrun starts train together; see :mod:`pcgen.processes`.

    Raises:
        InputError, DataError: an option or the data set is wrong; nothing has been written.
        TrainingError: the run has another config, or a number in a stage is not finite.
    """
    with processes.joined() as group:
        if stage is not None and stage not in STAGES:
            raise InputError(f"stage must be one of {', '.join(STAGES)}, got {stage!r}")
        check_budget(budget_minutes)
        here = processes.place()
        threads = threads or group.value(partial(_threads_of_run, Path(out), group.size))
        used = runtime.configure(threads, here.local_size)
        device = runtime.pick_device(device, here.local_rank, here.local_size)
        kind = device.partition(":")[0]
        group.same(lambda: kind, "the processes compute on different kinds of devices")
        if precision == "auto":
            usual = "tf32" if device.startswith("cuda") else "float32"
            precision = group.value(
                lambda: Run.open(out).config.precision if is_run(out) else usual
            )
        execution = Execution(group, accumulate, precision)
        source = Dataset.open(dataset)

        def begun() -> dict[str, Any]:
            if resume:
                config = Run.open(out).config
                check_batches(config.settings, execution)
                return to_plain(config)  # type: ignore[no-any-return]
            chosen = tuple(sorted(set(categories))) if categories else source.categories
            settings = _with(settings_of.preset(preset), base, encoder)
            config = RunConfig(
                dataset=str(Path(dataset).resolve()),
                dataset_hash=source.content_hash,
                categories=chosen,
                conditional=conditional,
                preset=preset,
                seed=seed,
                threads=used,
                processes=group.size,
                precision=precision,
                budget_minutes=budget_minutes,
                settings=settings,
            )
            # These refuse unknown names and small batches before anything is written.
            source.select(split="train", categories=chosen)
            check_batches(settings, execution)
            return to_plain(Run.create(out, config).config)  # type: ignore[no-any-return]

        run = Run(Path(out), from_plain(RunConfig, group.value(begun), "the run"))
        execution = dataclasses.replace(execution, precision=run.config.precision)
        execution.check_device(device)
        check_dataset(run, source)
        with group.lock(run.path):
            clouds = TrainingClouds.load(
                source, run.config.categories, "train", run.settings.cloud_points, group.size
            )
            group.same(clouds.digest, f"{dataset} has different contents")
            context = Context(run, clouds, device, execution, watch=watch)
            with progress.within(context.budget.left):
                for name, trainer in zip(STAGES, TRAINERS, strict=True):
                    if stage not in (None, name) or group.value(partial(run.finished, name)):
                        continue
                    if group.first:
                        context.budget.begin(name)
                    facts = trainer(context)
                    if group.first:
                        context.budget.save()
                        run.mark_finished(name, facts)
            finished = group.value(lambda: [name for name in STAGES if run.finished(name)])
    return {"run": str(run.path), "finished": finished}


def _threads_of_run(out: Path, processes: int) -> int | None:
    """The threads that a run began with, as its numbers depend on them; None for a new run, or if
    the environment or the machine asks for another number."""
    if os.environ.get("PCGEN_THREADS") or not is_run(out):
        return None
    config = Run.open(out).config
    fits = config.processes == processes and config.threads <= usable_cores()
    return config.threads if fits else None


def _with(settings: Settings, base: str | None, encoder: str | None) -> Settings:
    if base is not None:
        settings = dataclasses.replace(settings, base=dataclasses.replace(settings.base, name=base))
    if encoder is not None:
        sizes = dataclasses.replace(settings.autoencoder, encoder=encoder)
        settings = dataclasses.replace(settings, autoencoder=sizes)
    return settings
