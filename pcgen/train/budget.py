"""A time budget, divided over the stages: steps are timed, their number chosen, and kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pcgen.errors import DataError, InputError
from pcgen.files import parse_json, read_text, write_json
from pcgen.processes import ALONE, Group
from pcgen.train.loop import LoopSettings, Trainer

# Shares of a budget by training loop, chosen by hand from learning curves on two cores; what is
# left goes to encoding, couplings and checkpoints.
SHARES = {
    "children": 0.07,
    "autoencoder": 0.46,
    "base": 0.08,
    "latent-flow/teacher": 0.04,
    "latent-flow/student": 0.03,
    "point-flow/teacher": 0.16,
    "point-flow/student": 0.06,
}
FIELD_SHARE = 0.08
"""Of the field, where it is trained; the other loops then share what is left."""
TRIAL_STEPS = 12


def share(loop: str, with_field: bool) -> float:
    """The part of a budget that a training loop gets."""
    if loop == "field":
        return FIELD_SHARE
    return SHARES[loop] * (1 - FIELD_SHARE if with_field else 1)


def check_budget(minutes: float | None) -> None:
    if minutes is not None and not 0.05 <= minutes <= 1e6:
        raise InputError(f"--budget-minutes must be between 0.05 and a million, got {minutes}")


def plan_steps(
    folder: Path,
    loop: LoopSettings,
    seconds: float | None,
    build: Callable[[Path, LoopSettings], Trainer],
    group: Group = ALONE,
) -> LoopSettings:
    """``loop`` with as many steps as fit in ``seconds``, decided once and written down.

    A step counts at its fastest, and with one thread by the time of the processor: what else a
    shared machine does at the start is not its cost.
    The number is on disk before the first step is taken, so an interrupted run goes on with the
    same schedule and ends at the same weights.

    Args:
        seconds: None keeps the preset's steps.
        build: makes the trainer; here a throw-away one, to time a few steps.
        group: the processes that take the steps together.
    """
    plan = folder / "plan.json"
    steps = group.value(lambda: _planned(plan))
    if steps is None and seconds is not None:
        trial = build(folder / "trial", loop)
        trial.step()
        each = min(_duration(trial.step) for _ in range(TRIAL_STEPS))
        steps = max(20, int(seconds / each))

    def kept() -> int:
        # The first process's clock decides.
        chosen = loop.steps if steps is None else steps
        if not plan.exists():
            write_json(plan, {"steps": chosen})
        return chosen

    return dataclasses.replace(loop, steps=group.value(kept))


def _planned(plan: Path) -> int | None:
    if not plan.exists():
        return None
    try:
        steps = int(parse_json(read_text(plan))["steps"])
        LoopSettings(steps=steps)
    except (
        InputError,
        ValueError,
        TypeError,
        LookupError,
        OverflowError,
        RecursionError,
        OSError,
    ) as error:
        raise DataError(
            f"{plan} is damaged ({error!r}); remove {plan.parent} to train this part again"
        ) from None
    return steps


def _duration(step: Callable[[], float | Tensor]) -> float:
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_initialized()
    clock = time.process_time if alone else time.monotonic
    start = clock()
    float(step())  # on a device, where it is computed
    return clock() - start
