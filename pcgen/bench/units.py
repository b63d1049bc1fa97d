"""CPU seconds of the units of work that larger sets are made of, by the project's own code.

A run is trained for a few steps on the seats of the starter data: its weights are of no use, but a
step, a sample, a coupling cost what they cost in any run of these sizes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pcgen.bench import scaling
from pcgen.bench.scaling import cpu, fit_power
from pcgen.progress import say

STEPS = 8  # of each loop; the fastest counts
CLOUDS = 16  # that are encoded, coupled, sampled and compared
MESHED = 3


def measure(preset: str, seed: int) -> dict[str, Any]:
    """CPU seconds of the units, and the sizes they belong to."""
    import torch

    from pcgen import base
    from pcgen.evaluate.distances import DISTANCES, pick_backend
    from pcgen.model import ShapeModel
    from pcgen.shapes.prepare import prepare
    from pcgen.shapes.store import Dataset
    from pcgen.train import point_flow, training
    from pcgen.train.data import TrainingClouds
    from pcgen.train.latents import load_autoencoder
    from pcgen.train.presets import preset as settings_of
    from pcgen.train.run import Run, RunConfig
    from pcgen.train.stage import Context
    from pcgen.transport import GaussianSource

    settings = _short(settings_of(preset))
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        prepare("starter", data, points=6144, categories=["seat"], workers=1, seed=seed)
        source = Dataset.open(data)
        config = RunConfig(
            dataset=str(data), dataset_hash=source.content_hash, categories=source.categories,
            conditional=False, preset=preset, seed=seed, threads=1, budget_minutes=None,
            settings=settings,
        )  # fmt: skip
        run = Run.create(Path(folder) / "run", config)
        clouds = TrainingClouds.load(source, source.categories, "train", settings.cloud_points)
        context = Context(run, clouds)
        steps: dict[str, list[float]] = {}
        with _timed(steps):
            for stage, trainer in zip(training.STAGES, training.TRAINERS, strict=True):
                say(f"a few steps of {stage}")
                run.mark_finished(stage, trainer(context))
        model, generator = load_autoencoder(context), torch.Generator().manual_seed(seed)
        drawn = clouds.points[:CLOUDS, : settings.base.points]
        with torch.no_grad():
            encode = cpu(lambda: model.encode(drawn)) / len(drawn)
        # Coupling draws from all shapes; the first pair pays for opening, the rest are alike.
        couple = cpu(lambda: point_flow.couple(context, model), 1) / settings.point_flow.pairs
        shapes = ShapeModel.load(run.path)
        sample = cpu(lambda: shapes.sample(CLOUDS, seed=seed, points=2048), 2) / CLOUDS
        pair = clouds.points[:CLOUDS, :2048].numpy()
        backend = pick_backend("cd", 2048)
        compare = cpu(lambda: DISTANCES["cd"].table(pair, pair, backend)) / CLOUDS**2
        meshed = clouds.points[:MESHED, :2048].numpy()
        mesh = _meshing(meshed, Path(folder)) / MESHED
        weights = {loop: _numbers(run.path / loop) for loop in steps}
    sizes = (500, 1000, 2000)
    fits = []
    for count in sizes:
        say(f"a base of {count} atoms")
        z = GaussianSource(settings.autoencoder.latent_dim).sample(count, generator)
        fits.append(cpu(partial(base.fit, settings.base.name, z, generator=generator), 1))
    flows = {"latent-flow": settings.latent_flow, "point-flow": settings.point_flow}
    batches = {"autoencoder": settings.autoencoder_loop.batch} | {
        f"{name}/{kind}": getattr(flow, kind).batch
        for name, flow in flows.items()
        for kind in ("teacher", "student")
    }
    return {
        "preset": preset,
        "latent_dim": settings.autoencoder.latent_dim,
        "cloud_points": settings.cloud_points,
        "variants": settings_of(preset).base.variants,
        "pair_points": min(settings.point_flow.points, settings.cloud_points),
        "pool": settings_of(preset).latent_flow.pool,
        "loops": {
            name: {
                "seconds": min(spent) / batches[name],
                "batch": batches[name],
                "weights": weights[name],
            }
            for name, spent in steps.items()
        },
        "encode": encode,
        "couple": couple,
        "fit": vars(fit_power(sizes, fits)),
        "sample": sample,
        "mesh": mesh,
        "compare": compare,
    }


def _short(settings: Any) -> Any:
    """The settings with loops of a few steps, and few pairs to prepare for them."""

    def short(loop: Any) -> Any:
        return dataclasses.replace(loop, steps=STEPS)

    def flow(old: Any, **few: int) -> Any:
        loops = {"teacher": short(old.teacher), "student": short(old.student)}
        return dataclasses.replace(old, **loops, **few)

    return dataclasses.replace(
        settings,
        autoencoder_loop=short(settings.autoencoder_loop),
        base=dataclasses.replace(settings.base, variants=2, tolerance=0.2),
        latent_flow=flow(settings.latent_flow, pool=1024),
        point_flow=flow(settings.point_flow, pairs=CLOUDS),
    )


@contextlib.contextmanager
def _timed(steps: dict[str, list[float]]) -> Iterator[None]:
    """Have every training step of the block add its CPU seconds to those of its loop."""
    from pcgen.train import stage
    from pcgen.train.loop import Trainer

    class Timed(Trainer):
        def step(self) -> float:
            start = time.process_time()
            loss = super().step()
            last, name = self.folder.name, self.folder.parent.name
            loop = last if last == "autoencoder" else f"{name}/{last}"
            steps.setdefault(loop, []).append(time.process_time() - start)
            return loss

    stage.Trainer = Timed  # type: ignore[misc]
    try:
        yield
    finally:
        stage.Trainer = Trainer  # type: ignore[misc]


def _meshing(clouds: Any, folder: Path) -> float:
    """Core-seconds to mesh real clouds; the worker processes count."""
    import numpy as np

    from pcgen.reconstruct.batch import mesh_all
    from pcgen.reconstruct.inputs import named_clouds

    np.save(folder / "clouds.npy", clouds)
    start = scaling.core_seconds()
    mesh_all(named_clouds(folder / "clouds.npy", None), folder / "meshes")
    return scaling.core_seconds() - start


def _numbers(folder: Path) -> int:
    from pcgen import checkpoint

    tensors, _ = checkpoint.load(folder / "weights.safetensors", checkpoint.WEIGHTS)
    return sum(tensor.numel() for tensor in tensors.values())
