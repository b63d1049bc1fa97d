"""The checkpoint of a long solve, a file beside its result from which the solve resumes.

While ``map.npz`` is solved, ``map.npz.state`` holds a state of the last half minute. The same
command reads it, resumes bit for bit, and removes it at the end. A key names the problem and the
settings that a state belongs to; another command starts anew and overwrites it.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, float64

from pcgen import checkpoint
from pcgen.errors import DataError
from pcgen.files import storage_errors
from pcgen.processes import ALONE, Group
from pcgen.transport.stochastic.state import SemidualState

SAVE_EVERY_S = 20.0

# Of the whole numbers in a state, those that are never zero.
_POSITIVE = ("batch", "pace", "step", "samples")


@dataclass
class SolveCheckpoint:
    """The file of the state.

    Attributes:
        path: where it is.
        key: of the problem and of all settings.
        count: n, the number of distinct atoms.
        group: processes that solve together; the first reads and writes.
    """

    path: Path
    key: str
    count: int
    group: Group = ALONE
    _saved: float = field(default_factory=time.monotonic)

    @classmethod
    def beside(cls, out: Path, key: str, count: int, group: Group = ALONE) -> SolveCheckpoint:
        """The state of the solve that is to write ``out``."""
        return cls(out.with_name(out.name + ".state"), key, count, group)

    def read(self) -> SemidualState | None:
        """The state of an earlier process that ran this same solve; None where there is none.

        Raises:
            DataError: the file is damaged.
        """
        tensors, rest = self.group.tensors(self._read)
        return SemidualState.from_tensors(tensors, rest) if tensors else None

    def save(self, state: SemidualState) -> None:
        """Write the state, unless the last one is recent.

        Raises:
            StorageError: the disk is full, or the folder read-only.
        """
        if self.group.first and time.monotonic() - self._saved >= SAVE_EVERY_S:
            tensors, rest = state.to_tensors()
            checkpoint.save(self.path, tensors, {**rest, "key": self.key})
            self._saved = time.monotonic()

    def remove(self) -> None:
        """Remove the file, once the result is written."""
        if self.group.first:
            with storage_errors(self.path):
                self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if not self.path.exists():
            return {}, {}
        try:
            tensors, rest = checkpoint.load(self.path, checkpoint.SOLVE)
            if rest.pop("key") != self.key:
                return {}, {}
            self._check(tensors, rest)
        except DataError as error:
            reason = str(error).partition("; ")[0]
            raise DataError(f"{reason}; remove it, and the same command begins anew") from None
        return tensors, rest

    def _check(self, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Refuse content that no solver writes."""
        fault = ""
        if set(tensors) != set(checkpoint.SOLVE.tensors) or rest.keys() | {"key"} != set(
            checkpoint.SOLVE.meta
        ):
            fault = "it has other entries"
        for name, tensor in tensors.items():
            if len(tensor) != self.count or tensor.dtype != float64:
                fault = f"its {name} is {len(tensor)} of {tensor.dtype} for {self.count} atoms"
        for name, value in rest.items():
            low = 1 if name in _POSITIVE else 0
            if not math.isfinite(value) or not low <= value < 2**62:
                fault = f"its {name} is {value}"
        if not fault and not rest["epsilon"] > 0:
            fault = "its epsilon is 0"
        if fault:
            raise DataError(f"{self.path} is damaged: {fault}")
