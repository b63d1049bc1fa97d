"""A time budget: how much time each part of a training may take.

A part gets its share of the time that is left when it begins. Time that an earlier part does not
use goes to the later ones; time that it overruns is taken from them, down to :data:`LEAST`.
Working time is measured by ``time.monotonic``, so suspending the machine or setting its clock
changes nothing.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pcgen.errors import DataError, InputError
from pcgen.files import parse_json, read_text, write_json
from pcgen.processes import ALONE, Group
from pcgen.train.loop import SAVE_EVERY_S, LoopSettings

# Shares of the budget of each part, in order, chosen by hand from learning curves on two cores. The
# base has much, as a latent is refined for 55 ms. Encoding and the couplings count towards the
# stage that does them, before its loops begin.
SHARES = {
    "children": 0.07,
    "autoencoder": 0.37,
    "base": 0.21,
    "latent-flow/teacher": 0.03,
    "latent-flow/student": 0.02,
    "point-flow/teacher": 0.16,
    "point-flow/student": 0.06,
    "field": 0.08,
}
LEAST = 1 / 3
"""The least a part gets, as a fraction of its nominal share, so that no earlier stage can leave it
untrained. The flows' thirds together are less than a tenth of the budget."""
LEAST_S = 0.001


def check_budget(minutes: float | None) -> None:
    if minutes is not None and not 0.05 <= minutes <= 1e6:
        raise InputError(
            f"--budget-minutes must be between 0.05 and a million, got {minutes}; omit it to "
            "train for the preset's number of steps"
        )


class Budget:
    """The time budget of a training, spent stage by stage.

    The clock of a stage runs while a process works on it, and is saved in ``<stage>/clock.json``.
    No clock is kept for a training that counts steps.

    Args:
        run: run directory.
        minutes: for all parts together; None to count steps instead.
        shares: of each part, ``STAGE`` or ``STAGE/LOOP``, in the order of training.
    """

    def __init__(
        self, run: Path, minutes: float | None, shares: Mapping[str, float] = SHARES
    ) -> None:
        self._run, self._shares = run, shares
        self.seconds = None if minutes is None else 60 * minutes
        self._stage, self._earlier, self._before = "", 0.0, 0.0
        self._begun = self._saved = time.monotonic()

    def begin(self, stage: str) -> None:
        """Start the clock of a stage, from the time it had already used."""
        if self.seconds is None:
            return
        stages = list(dict.fromkeys(map(_stage_of, self._shares)))
        self._earlier = sum(map(self._clock, stages[: stages.index(stage)]))
        self._stage, self._before = stage, self._clock(stage)
        self._begun = self._saved = time.monotonic()

    def used(self) -> float:
        """Seconds that earlier stages took, plus those of this one so far."""
        return self._earlier + self._now()

    def left(self) -> float | None:
        """Seconds left, at least 0; None without a budget."""
        return None if self.seconds is None else max(0.0, self.seconds - self.used())

    def share(self, part: str) -> float | None:
        """Seconds for a part that begins now; later parts share the rest.

        Starts the clock of the part's stage if it is not running.
        """
        if self.seconds is None:
            return None
        if _stage_of(part) != self._stage:
            self.begin(_stage_of(part))
        names = list(self._shares)
        ahead = sum(self._shares[name] for name in names[names.index(part) :])
        least = LEAST * self.seconds / sum(self._shares.values())
        return self._shares[part] * max((self.left() or 0.0) / ahead, least)

    def keep(self) -> None:
        """Save the clock of the stage if the last save was a while ago."""
        if time.monotonic() - self._saved >= SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Save the clock of the stage."""
        if self.seconds is None:
            return
        write_json(self._run / self._stage / "clock.json", {"seconds": self._now()})
        self._saved = time.monotonic()

    def _now(self) -> float:
        return self._before + time.monotonic() - self._begun

    def _clock(self, stage: str) -> float:
        """Seconds that a stage has taken, according to its file."""
        path = self._run / stage / "clock.json"
        if not path.exists():
            # A stage finished by a version without clocks counts as its whole share.
            given = sum(s for part, s in self._shares.items() if _stage_of(part) == stage)
            return (self.seconds or 0.0) * given if (path.parent / "done.json").exists() else 0.0
        return _read(path, lambda held: _time(held["seconds"]))  # type: ignore[no-any-return]


def plan_loop(
    folder: Path, loop: LoopSettings, share: Callable[[], float | None], group: Group = ALONE
) -> LoopSettings:
    """``loop`` with its share of the budget, chosen once and saved before the first step.

    An interrupted loop therefore resumes towards the same end.

    Args:
        share: returns seconds, or None for the preset's steps. Called in the first process only.
        group: the processes that train together.
    """
    path = folder / "plan.json"

    def stored() -> dict[str, Any]:
        if not path.exists():
            seconds = share()
            chosen = {"steps": loop.steps} if seconds is None else {"seconds": seconds}
            write_json(path, chosen)
        return _read(path, _planned)  # type: ignore[no-any-return]

    return dataclasses.replace(loop, **group.value(stored))


def _planned(held: Any) -> dict[str, Any]:
    if "seconds" in held:
        return {"seconds": max(LEAST_S, _time(held["seconds"]))}
    steps = int(held["steps"])
    LoopSettings(steps=steps)
    return {"steps": steps}


def _stage_of(part: str) -> str:
    return part.split("/")[0]


def _time(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < 1e9:
        raise ValueError(f"{seconds} seconds")
    return seconds


def _read(path: Path, parse: Callable[[Any], Any]) -> Any:
    try:
        return parse(parse_json(read_text(path)))
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
            f"{path} is damaged ({error!r}); remove {path.parent} to train this part again"
        ) from None
