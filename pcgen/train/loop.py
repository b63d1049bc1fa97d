"""The one training loop: any module, any loss, exact resuming, any number of processes.

``Trainer`` is an iterator; the caller owns progress bars and stopping. The whole state goes to
``state.safetensors`` (weights, moving average, optimiser, generator, step) every few seconds and
at the end. The moving average alone then goes to ``weights.safetensors``, whose presence means
that the loop is finished. All processes take the same steps on the same weights; the first one
writes. A loop with a time limit resumes from its last state with the time used until then.

On the CPU a process for each of torch's threads computes some rows of a batch from start to end
(:mod:`pcgen.train.step_workers`). Most operations of a step are too small to be divided among
threads: two threads made a step no faster.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from pcgen import checkpoint, progress, runtime
from pcgen.batch_random import BatchGenerator
from pcgen.errors import DataError, InputError, TrainingError
from pcgen.files import atomic_file, parse_json, read_text
from pcgen.train.execution import Execution
from pcgen.train.step_workers import PartialGradient, StepWorkers, can_fork

SAVE_EVERY_S = 20.0
STATE = checkpoint.Schema(
    meta={"step": int, "seconds": float, "optimiser": dict}, tensors={"generator": ("i", 1)}
)


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How a module is trained.

    Attributes:
        steps: total optimiser steps.
        seconds: working time after which the loop ends, instead of ``steps``; None to count steps.
        batch: shapes per step.
        rate: peak learning rate of AdamW, reached after ``warmup`` steps or a fifth of the loop,
            whichever is sooner; then it falls to 2 % along a cosine, over the steps or the time.
        decay: weight decay.
        average: decay of the exponential moving average that becomes the weights.
        clip: bound on the norm of the gradient.
        log_every: steps between lines of ``metrics.jsonl``.
    """

    steps: int
    seconds: float | None = None
    batch: int = 32
    rate: float = 1e-3
    warmup: int = 100
    decay: float = 1e-4
    average: float = 0.999
    clip: float = 1.0
    log_every: int = 20

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.log_every < 1:
            raise InputError("steps, batch and log_every must be at least 1")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise InputError(f"seconds must be positive, got {self.seconds}")
        if not 0 <= self.average < 1 or self.rate <= 0:
            raise InputError("average must be in [0, 1) and rate positive")

    def rate_at(self, step: int, progress: float) -> float:
        """The learning rate at step 0, 1, ... and ``progress``, the completed share in [0, 1)."""
        rise = min(1.0, max((step + 1) / max(1, self.warmup), 5 * progress))
        fall = 0.5 * (1 + math.cos(math.pi * progress))
        return self.rate * rise * (0.02 + 0.98 * fall)


@dataclass(frozen=True)
class Step:
    """The result of an optimiser step; on a GPU, ``loss`` is the mean of a log interval."""

    number: int
    loss: float
    seconds: float


class Trainer:
    """Train ``module`` with a loss that draws its own batch from ``generator``.

    Args:
        folder: of state, weights and metrics; an existing state is resumed.
        module: its parameters are trained in place.
        loss: ``loss(module, generator) -> scalar``; every random choice must come from the
            generator, or resuming is not exact. It is a mean over the rows of a batch; random
            numbers for rows come from :mod:`pcgen.batch_random`, as a process may need only some.
            Copies of this process, made at the first step, call it too. They see later changes
            of the module and the average, of nothing else; what the loss changes is lost.
        average: the module that receives the moving average; by default a private copy. A
            loss that needs the average (a student's target) passes its own.
        execution: the processes, parts and precision in which a step is computed.

    Attributes:
        clock: returns seconds; suspending the machine or setting its clock does not change them.
    """

    clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(
        self,
        folder: Path,
        module: nn.Module,
        loss: Callable[[nn.Module, Generator], Tensor],
        settings: LoopSettings,
        *,
        seed: int,
        average: nn.Module | None = None,
        execution: Execution | None = None,
    ) -> None:
        self.folder, self.module, self.loss, self.settings = folder, module, loss, settings
        self.execution = execution or Execution()
        self.group = self.execution.group
        self.execution.check_batch(settings.batch, folder.name)
        self.average = average if average is not None else copy.deepcopy(module)
        self.average.requires_grad_(False)
        self.average.load_state_dict(module.state_dict())
        self.generator = BatchGenerator()
        self.generator.manual_seed(seed)
        parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            parameters, lr=settings.rate, weight_decay=settings.decay, fused=True
        )
        self._parameters = parameters
        self._threads = torch.get_num_threads()
        self.done = 0
        self._seconds = 0.0
        self._history: list[dict[str, float]] = []
        # Reading a number from a device waits for all its work. Losses and gradient norms are
        # therefore kept there, and read when they are logged.
        self._at_once = all(p.device.type == "cpu" for p in parameters)
        self._unseen: list[Tensor] = []
        if self.group.value((folder / "state.safetensors").exists):
            self._restore()

    def steps(self) -> Iterator[Step]:
        """Take the remaining steps and yield after each; save regularly and at the end.

        Raises:
            TrainingError: the loss or the gradient is not finite; the last good state is kept.
        """
        torch.set_num_threads(1)
        try:
            yield from self._steps()
        finally:
            torch.set_num_threads(self._threads)
            if "_workers" in vars(self):
                self._workers.close()
                del self._workers

    def _steps(self) -> Iterator[Step]:
        saved, begun = time.monotonic(), self.clock()
        before = self._seconds
        recent: list[float] = []
        shown = math.nan
        while self.progress < 1:
            loss = self.step()
            if self._at_once:
                shown = float(loss)
                recent.append(shown)
            self._seconds = self._agreed(before + self.clock() - begun)
            if self.done % self.settings.log_every == 0 or self.progress >= 1:
                recent = recent or self._looked_at()
                mean = sum(recent) / len(recent)
                shown = shown if self._at_once else mean
                self._history.append(
                    {"step": self.done, "loss": mean, "seconds": round(self._seconds, 2)}
                )
                recent.clear()
                self.group.same(self._drawn, f"{self.folder.name}: different random numbers")
                # The state is saved only here, so that a resumed training logs the same means.
                if time.monotonic() - saved >= SAVE_EVERY_S:
                    self.save()
                    saved = time.monotonic()
            yield Step(self.done, shown, self._seconds)
        self.save()
        if self.group.first:
            checkpoint.save(
                self.folder / "weights.safetensors",
                self.average.state_dict(),
                {"step": self.done, "settings": self.settings.__dict__},
            )

    @property
    def reached(self) -> tuple[float, float]:
        """The current position of the loop and its end, in seconds or in steps."""
        if self.settings.seconds is None:
            return self.done, self.settings.steps
        return self._seconds, self.settings.seconds

    @property
    def progress(self) -> float:
        """The completed share of the loop; at least one step is always taken."""
        reached, whole = self.reached
        return reached / whole if self.done else 0.0

    def _agreed(self, seconds: float) -> float:
        """The first process's clock, when all processes must decide alike."""
        return seconds if self.settings.seconds is None else self.group.value(lambda: seconds)

    def step(self) -> float | Tensor:
        """One optimiser step; returns its loss, on a GPU as a tensor that may not be computed yet.

        Public so that a test can examine one. Torch should use one thread, as in :meth:`steps`.
        """
        with runtime.flushed_denormals():
            return self._step()

    def _step(self) -> float | Tensor:
        rate = self.settings.rate_at(self.done, self.progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss = self._differentiate()
        if self._at_once:
            self._guard(bool(torch.isfinite(loss)), "the loss")
        norm = nn.utils.clip_grad_norm_(self._parameters, self.settings.clip)
        if self._at_once:
            self._guard(bool(torch.isfinite(norm)), self._name_of_bad_gradient)
        else:
            self._unseen.append(torch.stack([loss, norm.to(loss)]))
        self.optimiser.step()
        self._move_average()
        self.done += 1
        return float(loss) if self._at_once else loss

    def _looked_at(self) -> list[float]:
        """Losses of the steps on a device since the last call, copied at once.

        Raises:
            TrainingError: a loss or a gradient was not finite; no state has been saved since then.
        """
        seen = torch.stack(self._unseen).tolist()
        self._unseen.clear()
        for number, (loss, norm) in enumerate(seen, self.done - len(seen)):
            self._guard(math.isfinite(loss), "the loss", number)
            self._guard(math.isfinite(norm), "the norm of the gradient", number)
        return [loss for loss, _ in seen]

    def _differentiate(self) -> Tensor:
        """The mean loss of the batch; leaves its gradient in the parameters. Parts are weighted by
        their rows, and the processes' gradients are summed."""
        threads = self._threads if self._at_once and can_fork() else 1
        begun, total = self.generator.get_state(), None
        while total is None:
            parts = list(self.execution.parts(self.settings.batch, threads))
            try:
                if len(parts) > self.execution.accumulate:
                    total = self._differentiate_together(parts, begun)
                else:
                    total = self._differentiate_in_turn(parts, begun)
            except torch.OutOfMemoryError as error:
                fault = str(error)
            if total is None:  # outside of the handler, which keeps the tensors of what failed
                self._cut_finer(fault)
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        self.group.sum_([*gradients, total])
        return total

    def _cut_finer(self, fault: str) -> None:
        """Double the number of parts per batch, as the device has no memory for one of them."""
        parts, rows = 2 * self.execution.accumulate, self.settings.batch // self.group.size
        if parts > rows:
            raise TrainingError(
                f"{self.folder.name}: the device is out of memory with one row of a batch at a "
                f"time ({fault[:160]}); use a smaller --preset, or a device with more free memory"
            )
        progress.say(
            f"{self.folder.name}: the device is out of memory; batches are cut into {parts} parts "
            f"from here on, as --accumulate {parts} does"
        )
        self.execution = replace(self.execution, accumulate=parts)
        self.optimiser.zero_grad()
        torch.cuda.empty_cache()

    def _differentiate_in_turn(self, parts: list[slice], begun: Tensor) -> Tensor:
        total = None
        for rows in parts:
            self.generator.set_state(begun)
            with self.execution.rounding():
                loss = self._loss_of(rows, self.generator)
                loss.backward()
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total

    def _differentiate_together(self, parts: list[slice], begun: Tensor) -> Tensor:
        """Compute the parts in processes, at a time only those that ``accumulate`` leaves room for.
        Gradients are summed in order, so the results equal those of the parts one by one."""
        at_once = len(parts) // self.execution.accumulate
        total = None
        for first in range(0, len(parts), at_once):
            found = self._workers.of_parts(parts[first : first + at_once], begun)
            for part in found:
                self.generator.set_state(part.state)
                total = part.loss if total is None else total + part.loss
            for number, parameter in enumerate(self._parameters):
                each = [parameter.grad, *(part.gradients[number] for part in found)]
                some = [gradient for gradient in each if gradient is not None]
                if some:  # a single one may share its memory with others
                    parameter.grad = reduce(add, some) if some[1:] else some[0].clone()
        assert total is not None
        return total

    def _gradients(self, rows: slice, begun: Tensor) -> PartialGradient:
        """The loss and gradients of a part, and the state of the generator afterwards."""
        generator = BatchGenerator()
        generator.set_state(begun)
        with self.execution.rounding():
            loss = self._loss_of(rows, generator)
            gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        return PartialGradient(loss.detach(), gradients, generator.get_state())

    def _loss_of(self, rows: slice, generator: BatchGenerator) -> Tensor:
        """The share of some rows in the mean loss of the batch."""
        batch = self.settings.batch
        generator.batch, generator.rows = batch, rows
        return self.loss(self.module, generator) * ((rows.stop - rows.start) / batch)

    @cached_property
    def _workers(self) -> StepWorkers:
        parts = list(self.execution.parts(self.settings.batch, self._threads))
        count = len(parts) // self.execution.accumulate
        return StepWorkers(count, self._gradients, self._parameters, self.average.parameters())

    def _drawn(self) -> str:
        return hashlib.sha256(self.generator.get_state().numpy().tobytes()).hexdigest()[:12]

    def save(self) -> None:
        """Write the whole state, then the metrics up to it, in the first process."""
        if not self.group.first:
            return
        packed, rest = checkpoint.pack_optimiser(self.optimiser)
        tensors = {
            **checkpoint.prefixed(self.module.state_dict(), "module"),
            **checkpoint.prefixed(self.average.state_dict(), "average"),
            **checkpoint.prefixed(packed, "optimiser"),
            "generator": self.generator.get_state(),
        }
        meta = {"step": self.done, "seconds": self._seconds, "optimiser": rest}
        with atomic_file(self.folder / "metrics.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in self._history))
        checkpoint.save(self.folder / "state.safetensors", tensors, meta)

    def _restore(self) -> None:
        path = self.folder / "state.safetensors"
        tensors, meta = self.group.tensors(lambda: checkpoint.load(path, STATE))
        try:
            self.module.load_state_dict(checkpoint.strip(tensors, "module"))
            self.average.load_state_dict(checkpoint.strip(tensors, "average"))
            checkpoint.unpack_optimiser(
                self.optimiser, checkpoint.strip(tensors, "optimiser"), meta["optimiser"]
            )
            self.generator.set_state(tensors["generator"])
            self.done, self._seconds = int(meta["step"]), float(meta["seconds"])
        except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"{self.folder}/state.safetensors does not fit this stage ({error}); "
                "remove the folder to train the stage again"
            ) from None
        curve = self.group.value(lambda: read_metrics(self.folder))
        self._history = [line for line in curve if line["step"] <= self.done]

    @torch.no_grad()
    def _move_average(self) -> None:
        # The ramp keeps the random initial weights out of the average of a short training.
        decay = min(self.settings.average, (1 + self.done) / (10 + self.done))
        theirs: list[Tensor] = list(self.average.parameters())
        ours: list[Tensor] = list(self.module.parameters())
        torch._foreach_lerp_(theirs, ours, 1 - decay)
        for theirs_buffer, buffer in zip(
            self.average.buffers(), self.module.buffers(), strict=True
        ):
            theirs_buffer.copy_(buffer)

    def _guard(self, fine: bool, what: str | Callable[[], str], step: int | None = None) -> None:
        if not fine:
            name = what if isinstance(what, str) else what()
            step = self.done if step is None else step
            raise TrainingError(
                f"{self.folder.name}: {name} is not finite at step {step}; the last "
                "good state is kept. Lower the learning rate, or check the data for outliers"
            )

    def _name_of_bad_gradient(self) -> str:
        for name, parameter in self.module.named_parameters():
            if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
                return f"the gradient of {name}"
        return "the norm of the gradient"


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The learning curve of a stage: one dict per logged step, oldest first; empty if none yet."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    try:
        lines = [parse_json(line) for line in read_text(path).splitlines()]
        return [line for line in lines if isinstance(line["step"], int)]
    except (ValueError, TypeError, LookupError, RecursionError, OSError) as error:
        raise DataError(
            f"{path} is damaged ({error!r}); remove it: only the plotted learning curve is lost"
        ) from None
