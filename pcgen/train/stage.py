"""The context that all stages share, and one way to run a training loop in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from pcgen import checkpoint, progress
from pcgen.errors import DataError
from pcgen.processes import Group
from pcgen.runfile import STAGES
from pcgen.train.budget import SHARES, Budget, plan_loop
from pcgen.train.data import TrainingClouds
from pcgen.train.execution import Execution
from pcgen.train.loop import LoopSettings, Trainer
from pcgen.train.run import Run

# Sees a training: (context, part, moving average of its module). It must leave the random numbers
# of the process and the module alone; its time is the training's.
Watch = Callable[["Context", str, nn.Module], None]


@dataclass(frozen=True)
class Context:
    """The context of a stage: the run, the training clouds and the device for networks.

    Clouds, latents and random numbers stay on the CPU, so they are the same on every device; each
    batch is moved after it is drawn. ``trainer`` takes the steps; benchmarks pass one that also
    times them. ``shares`` divide the time budget over the parts of the training. ``watch`` is
    called by the first process after each step.
    """

    run: Run
    clouds: TrainingClouds
    device: str = "cpu"
    execution: Execution = field(default_factory=Execution)
    trainer: type[Trainer] = Trainer
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)
    watch: Watch | None = None

    @cached_property
    def budget(self) -> Budget:
        """The time budget of the run, which the first process keeps."""
        shares = dict(self.shares)
        if self.clouds.solids is None:
            shares["field"] = 0.0  # it has no training data
        return Budget(self.run.path, self.run.config.budget_minutes, shares)

    @property
    def group(self) -> Group:
        """The processes that train together."""
        return self.execution.group

    def read(self, path: Path, schema: checkpoint.Schema) -> dict[str, Tensor]:
        """The tensors of a file of the run; only the first process needs access to it."""
        return self.group.tensors(lambda: checkpoint.load(path, schema))[0]

    def seed(self, stage: str, part: int = 0) -> int:
        """A separate seed for each stage and part, derived from the run's seed."""
        return self.run.config.seed * 1000 + 10 * STAGES.index(stage) + part

    def seconds(self, part: str) -> float | None:
        """The share of the time budget, in seconds, for a part that begins now; a key of
        :data:`pcgen.train.budget.SHARES`. None if steps are counted. All processes call it."""
        return self.group.value(lambda: self.budget.share(part))


def fit(
    context: Context,
    name: str,
    module: Callable[[], nn.Module],
    loss: Callable[[Trainer], Callable[[nn.Module, Generator], Tensor]],
    loop: LoopSettings,
    *,
    seed: int,
) -> None:
    """Train under ``<run>/<name>`` until the weights are written; resume, or return if finished.

    Args:
        module: builds the network, identically each time.
        loss: builds the loss, given the trainer (a student's loss uses the average).
    """
    folder: Path = context.run.path / name
    execution = context.execution
    if execution.group.value((folder / "weights.safetensors").exists):
        return

    loop = plan_loop(folder, loop, lambda: context.budget.share(name), execution.group)
    made: list[Trainer] = []
    trainer = context.trainer(
        folder,
        module().to(context.device),
        lambda m, g: loss(made[0])(m, g),
        loop,
        seed=seed,
        execution=execution,
    )
    made.append(trainer)
    reached, whole = trainer.reached
    unit = "" if loop.seconds is None else " s"
    with progress.bar(name.replace("/", " "), whole, reached, unit) as bar:
        for step in trainer.steps():
            bar.advance_to(trainer.reached[0], f"step {step.number}, loss {step.loss:.4f}")
            if execution.group.first:
                context.budget.keep()
                if context.watch is not None:
                    context.watch(context, name, trainer.average)


# A teacher's loss of (module, generator), and a student's, which also gets its moving average
# and the frozen teacher: (module, average, teacher, generator).
TeacherLoss = Callable[[nn.Module, Generator], Tensor]
StudentLoss = Callable[[nn.Module, nn.Module, nn.Module, Generator], Tensor]


def fit_teacher_and_student(
    context: Context,
    stage: str,
    build: Callable[[], nn.Module],
    teacher_loss: TeacherLoss,
    student_loss: StudentLoss,
    *,
    loops: tuple[LoopSettings, LoopSettings],
) -> None:
    """Train ``<stage>/teacher``, then ``<stage>/student``, which starts from the teacher's weights.

    Args:
        build: returns the network with random weights, drawn from the stage's seed.
        loops: settings for the teacher and for the student.
    """

    def fresh() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed(stage))
            return build()

    seeds = context.seed(stage, 1), context.seed(stage, 2)
    fit(context, f"{stage}/teacher", fresh, lambda _: teacher_loss, loops[0], seed=seeds[0])
    weights = context.run.stage(stage) / "teacher" / "weights.safetensors"
    tensors = context.read(weights, checkpoint.WEIGHTS)

    def trained() -> nn.Module:
        try:
            return checkpoint.filled(fresh, tensors)
        except ValueError as error:
            raise DataError(f"{weights}: {error}; train the stage again") from None

    teacher = trained().requires_grad_(False).to(context.device)

    def with_average(trainer: Trainer) -> TeacherLoss:
        return lambda module, draw: student_loss(module, trainer.average, teacher, draw)

    fit(context, f"{stage}/student", trained, with_average, loops[1], seed=seeds[1])
