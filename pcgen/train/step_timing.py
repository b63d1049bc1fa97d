"""Times a few training steps of the autoencoder on this machine, on spheres."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from pcgen import runtime
from pcgen.batch_random import mine
from pcgen.latent.augment import augment
from pcgen.latent.autoencoder import Autoencoder
from pcgen.train.loop import Trainer
from pcgen.train.presets import preset

SHAPES = 16


def step_seconds(name: str, threads: int, steps: int = 5) -> float:
    """The median wall-clock time of an autoencoder step of a preset, on the CPU.

    It does not include sampling the children of training shapes.

    Args:
        name: of the preset. threads: of torch, for the whole process.
        steps: number of timed steps, after an untimed first one.
    """
    runtime.configure(threads)
    settings = preset(name)
    draw = torch.Generator().manual_seed(0)
    sizes, batch = settings.autoencoder, settings.autoencoder_loop.batch
    points = sizes.points + sizes.scored
    clouds = nn.functional.normalize(torch.randn(SHAPES, points, 3, generator=draw), dim=-1)

    def loss(module: nn.Module, generator: Generator) -> Tensor:
        assert isinstance(module, Autoencoder)
        chosen = mine(torch.randint(SHAPES, (batch,), generator=generator), generator)
        moved, _ = augment(clouds[chosen], settings.augment, generator)
        return module.loss(moved, generator)

    with tempfile.TemporaryDirectory() as folder:
        network = Autoencoder.untrained(sizes, clouds, 0)
        trainer = Trainer(Path(folder), network, loss, settings.autoencoder_loop, seed=0)
        seconds = [step.seconds for step in itertools.islice(trainer.steps(), steps + 1)]
    times = sorted(after - before for before, after in itertools.pairwise(seconds))
    return times[len(times) // 2]
