"""CPU seconds of the units of work that larger sets are made of, by the project's own code.

A run is trained for a few steps on the seats of the starter data: its weights are of no use, but a
step, a sample, a coupling cost what they cost in any run of these sizes.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen.progress import say
from tests.benchmarks import scaling
from tests.benchmarks.rehearsal import CLOUDS, loop_of, rehearse, shortened
from tests.benchmarks.scaling import cpu, fit_power

if TYPE_CHECKING:
    from pcgen.train.loop import Trainer

STEPS = 8  # of each loop; the fastest counts
MESHED = 3


def measure(preset: str, seed: int) -> dict[str, Any]:
    """CPU seconds of the units, and the sizes they belong to."""
    import torch

    from pcgen import base
    from pcgen.distances.pairwise import DISTANCES, pick_backend
    from pcgen.model import ShapeModel
    from pcgen.train import point_flow
    from pcgen.train.latents import load_autoencoder
    from pcgen.train.presets import preset as settings_of
    from pcgen.transport import GaussianSource

    settings = shortened(settings_of(preset), STEPS)
    with tempfile.TemporaryDirectory() as folder:
        trainer, steps = _timed()
        context = rehearse(settings, preset, Path(folder), trainer, seed)
        run, clouds = context.run, context.clouds
        model, generator = load_autoencoder(context), torch.Generator().manual_seed(seed)
        drawn = clouds.points[:CLOUDS, : settings.base.points]
        with torch.no_grad():
            encode = cpu(lambda: model.refined(drawn)) / len(drawn)
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
        z = GaussianSource(settings.base.coordinates).sample(count, generator)
        fits.append(cpu(partial(base.fit, settings.base.name, z, generator=generator), 1))
    flows = {"latent-flow": settings.latent_flow, "point-flow": settings.point_flow}
    batches = {"autoencoder": settings.autoencoder_loop.batch} | {
        f"{name}/{kind}": getattr(flow, kind).batch
        for name, flow in flows.items()
        for kind in ("teacher", "student")
    }
    return {
        "preset": preset,
        "latent_dim": settings.base.coordinates,
        "cloud_points": settings.cloud_points,
        "variants": settings_of(preset).base.children,
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


def _timed() -> tuple[type[Trainer], dict[str, list[float]]]:
    """A trainer, and where it leaves the CPU seconds of each step, by loop."""
    from pcgen.train.loop import Trainer

    steps: dict[str, list[float]] = {}

    class Timed(Trainer):
        def step(self) -> float:
            start = time.process_time()
            loss = super().step()
            steps.setdefault(loop_of(self), []).append(time.process_time() - start)
            return loss

    return Timed, steps


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
