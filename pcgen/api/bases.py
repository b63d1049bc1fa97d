"""A base measure fitted to latents, from which a latent flow starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen import base as bases
from pcgen import checkpoint
from pcgen.base import BaseMeasure
from pcgen.base.fitting import Guard
from pcgen.errors import InputError
from pcgen.progress import shown


@dataclass(frozen=True, eq=False, repr=False)
class Base:
    """A base measure ω; :func:`fit_base` returns one.

    Attributes:
        measure: the object of :mod:`pcgen.base`, as used in training.
    """

    measure: BaseMeasure

    @property
    def name(self) -> str:
        """The name of its family."""
        return self.measure.name

    @property
    def dim(self) -> int:
        return self.measure.dim

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the fit."""
        return self.measure.notes

    def sample(self, count: int, *, seed: int = 0) -> NDArray[np.float32]:
        """Sample (count, dim) points; equal seeds give equal points.

        Raises:
            InputError: ``count`` is not positive.
        """
        import torch

        if count < 1:
            raise InputError(f"the number of samples must be at least 1, got {count}")
        drawn = self.measure.sample(count, torch.Generator().manual_seed(seed))
        return np.asarray(drawn.numpy(), np.float32)

    def save(self, path: Path | str) -> Path:
        """Write a safetensors file and return its path; :meth:`load` reads it."""
        tensors, meta = self.measure.to_checkpoint()
        checkpoint.save(path, tensors, meta)
        return Path(path)

    @classmethod
    def load(cls, path: Path | str) -> Base:
        """Read a file of :meth:`save`, or the ``base.safetensors`` of a run.

        Raises:
            DataError: the file is missing, damaged, or not a base.
        """
        return cls(bases.from_checkpoint(*checkpoint.load(path, bases.SCHEMA)))

    def summary(self) -> dict[str, Any]:
        """The family and its settings, as plain data."""
        return {**self.measure.describe(), "dim": self.dim, "notes": list(self.notes)}

    def __repr__(self) -> str:
        noted = "".join(f"; {note}" for note in self.notes)
        return f"Base({self.name}, dimension {self.dim}{noted})"

    def _repr_html_(self) -> str:
        from pcgen.gallery.notebook import table

        rows = [(name, str(value)) for name, value in self.summary().items() if name != "notes"]
        return table([*rows, *(("note", note) for note in self.notes)], repr(self))


def fit_base(
    family: str,
    latents: Any,
    *,
    settings: Mapping[str, Any] | None = None,
    validation: Any = None,
    guard: Guard = "say",
    seed: int = 0,
    device: str = "cpu",
    progress: bool = False,
) -> Base:
    """Fit a base measure to latents.

    Args:
        family: ``standard``, ``gaussian``, ``gmm``, ``uniform``, ``ae-ot``, ``conjugate-moment``,
            ``network`` or ``auto``.
        latents: (N, dim) numbers, an array or a tensor.
        settings: settings of the family, by name; None for its defaults.
        validation: (M, dim) latents held out from the fit, for families that select on them.
        guard: what to do with a base that copies its latents: ``say``, ``refuse``,
            ``regularise`` or ``off``.
        seed: seed of all random numbers. device: for the computation.
        progress: show progress on stderr.
    Raises:
        InputError: unknown family or setting, NaN, or too few different latents.
        TrainingError: the guard refused the base.

    Example:
        >>> omega = pcgen.fit_base("ae-ot", latents, seed=0)  # doctest: +SKIP
    """
    import torch

    from pcgen import runtime

    place = runtime.pick_device(device)
    generator = torch.Generator(device=place).manual_seed(seed)

    def given(values: Any, name: str) -> torch.Tensor:
        try:
            return torch.as_tensor(values).to(place)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{name} must be numbers (N, dim): {error}") from None

    with shown(progress):
        return Base(
            bases.fit(
                family,
                given(latents, "latents"),
                generator=generator,
                settings=None if settings is None else dict(settings),
                validation=None if validation is None else given(validation, "validation"),
                guard=guard,
            )
        )
