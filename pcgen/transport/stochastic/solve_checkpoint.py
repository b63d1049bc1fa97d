"""The checkpoint of a long solve: a file next to its result from which the solve resumes.

While ``map.npz`` is being solved, ``map.npz.state`` holds a state at most half a minute old. The
same command reads it, resumes bit for bit, and removes it at the end. A key identifies the problem
and settings of a state; a different command starts from scratch and overwrites it.
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
from pcgen.transport.stochastic.state import SCHEMA, SemidualState

SAVE_EVERY_S = 20.0

# The integers in a state that are never zero.
_POSITIVE = ("batch", "pace", "step", "samples")


@dataclass
class SolveCheckpoint:
    """The file that holds the state.

    Attributes:
        path: path of the file.
        key: identifies the problem and all settings.
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
        """The checkpoint of the solve that will write ``out``."""
        return cls(out.with_name(out.name + ".state"), key, count, group)

    def read(self) -> SemidualState | None:
        """The state of an earlier process with the same solve; None if there is none.

        Raises:
            DataError: the file is damaged.
        """
        tensors, rest = self.group.tensors(self._read)
        return SemidualState.from_tensors(tensors, rest) if tensors else None

    def save(self, state: SemidualState) -> None:
        """Write the state, unless the last save is recent.

        Raises:
            StorageError: the disk is full, or the folder is read-only.
        """
        if self.group.first and time.monotonic() - self._saved >= SAVE_EVERY_S:
            tensors, rest = state.to_tensors()
            checkpoint.save(self.path, tensors, {**rest, "key": self.key})
            self._saved = time.monotonic()

    def remove(self) -> None:
        """Remove the file after the result has been written."""
        if self.group.first:
            with storage_errors(self.path):
                self.path.unlink(missing_ok=True)

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if not self.path.exists():
            return {}, {}
        try:
            tensors, rest = checkpoint.load(self.path, SCHEMA)
            if rest.pop("key") != self.key:
                return {}, {}
            self._check(tensors, rest)
        except DataError as error:
            reason = str(error).partition("; ")[0]
            raise DataError(f"{reason}; remove it to start from scratch") from None
        return tensors, rest

    def _check(self, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Refuse content that no solver would write."""
        fault = ""
        if set(tensors) != set(SCHEMA.tensors) or rest.keys() | {"key"} != set(SCHEMA.meta):
            fault = "it has unexpected entries"
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
