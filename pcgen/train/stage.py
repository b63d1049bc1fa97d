"""What the stages share: their context, and one way to run a training loop under it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Generator, Tensor, nn

from pcgen import progress
from pcgen.runfile import STAGES
from pcgen.train.budget import SHARES, plan_steps
from pcgen.train.data import TrainingClouds
from pcgen.train.loop import LoopSettings, Trainer
from pcgen.train.run import Run


@dataclass(frozen=True)
class Context:
    """What a stage gets: the run, the training clouds, and the device that networks train on.

    Clouds, latents and random draws stay on the CPU, so that they are the same on every device;
    a batch moves when it is drawn.
    """

    run: Run
    clouds: TrainingClouds
    device: str = "cpu"

    def seed(self, stage: str, part: int = 0) -> int:
        """A seed of its own for each stage and part, all from the run's."""
        return self.run.config.seed * 1000 + 10 * STAGES.index(stage) + part

    def seconds(self, loop: str) -> float | None:
        """The share of the time budget that belongs to one training loop."""
        minutes = self.run.config.budget_minutes
        return None if minutes is None else 60 * minutes * SHARES[loop]


def fit(
    context: Context,
    name: str,
    module: Callable[[], nn.Module],
    loss: Callable[[Trainer], Callable[[nn.Module, Generator], Tensor]],
    loop: LoopSettings,
    *,
    seed: int,
) -> None:
    """Train under ``<run>/<name>`` until its weights are there; resumes, and returns if done.

    Args:
        module: makes it, the same every time.
        loss: makes the loss, given the trainer (a student's loss looks at the average).
    """
    folder: Path = context.run.path / name
    if (folder / "weights.safetensors").exists():
        return

    def build(where: Path, settings: LoopSettings) -> Trainer:
        made: list[Trainer] = []
        module_here = module().to(context.device)
        trainer = Trainer(where, module_here, lambda m, g: loss(made[0])(m, g), settings, seed=seed)
        made.append(trainer)
        return trainer

    loop = plan_steps(folder, loop, context.seconds(name), build)
    trainer = build(folder, loop)
    with progress.bar(name.replace("/", " "), loop.steps, trainer.done) as bar:
        for step in trainer.steps():
            bar.advance(note=f"loss {step.loss:.4f}")
