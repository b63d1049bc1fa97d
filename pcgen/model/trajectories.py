"""Trajectories of a flow, for latents and for points alike."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcgen import checkpoint
from pcgen.errors import DataError, InputError
from pcgen.flow.characteristic import MeanVelocity, characteristic_map, velocity_of
from pcgen.flow.integrate import characteristic_trajectory, trajectory

MOST_STEPS = 1000


def flow_trajectory(
    slope: MeanVelocity, start: Tensor, steps: int, solver: str, stage: str
) -> Iterator[Tensor]:
    """Yield x at all times, by the student's jumps or by integrating the teacher's flow.

    Raises:
        DataError: x is not finite; the message names the stage and the step.
    """
    if solver == "student":
        path = characteristic_trajectory(
            functools.partial(characteristic_map, slope), start, steps=steps
        )
    else:
        path = trajectory(velocity_of(slope), start, steps=steps, method=solver)
    for number, x in enumerate(path):
        if not torch.isfinite(x).all():
            raise DataError(
                f"{stage}: x is not finite at step {number} of {steps} by {solver}; "
                "train the stage again, or use another solver or more steps"
            )
        yield x


class FlowNetworks:
    """The teacher and the student of a flow, frozen; a packed run has no teacher."""

    def __init__(self, folder: Path, build: Any, blocks: int, device: str) -> None:
        """``build`` returns an untrained network with ``blocks`` blocks; ``folder`` has weights.

        Raises:
            ValueError: the weights belong to a different network.
        """
        self._of = {}
        packed = not (folder / "teacher").is_dir()
        for name in ("student",) if packed else ("teacher", "student"):
            tensors = load_weights(folder / name)
            if not 0 <= blocks <= len(tensors):
                raise ValueError(f"{blocks} blocks cannot be built from {len(tensors)} tensors")
            network = checkpoint.filled(build, tensors)
            self._of[name] = network.eval().requires_grad_(False).to(device)

    def under(self, solver: str) -> Any:
        """The network for a solver: the student for ``student``, else the teacher.

        Raises:
            InputError: the solver needs the teacher, which a packed run does not have.
        """
        name = "student" if solver == "student" else "teacher"
        if name not in self._of:
            raise InputError(
                f"solver {solver} needs the teacher, which a packed run does not have; use student"
            )
        return self._of[name]


def load_weights(folder: Path) -> dict[str, Tensor]:
    return checkpoint.load(folder / "weights.safetensors", checkpoint.WEIGHTS)[0]


def check_counts(count: int, steps: int) -> None:
    """Refuse numbers of shapes, points or steps that are out of range."""
    if count < 1:
        raise InputError(f"the number of shapes and of points must be at least 1, got {count}")
    if not 1 <= steps <= MOST_STEPS:
        raise InputError(f"steps must be between 1 and {MOST_STEPS}, got {steps}")
