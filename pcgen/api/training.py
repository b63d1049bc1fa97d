""":func:`train`: from a data set to a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pcgen import pipeline
from pcgen.api.data import Data
from pcgen.api.model import Model
from pcgen.errors import InputError
from pcgen.progress import shown


def train(
    data: Data | Path | str,
    out: Path | str,
    *,
    categories: Sequence[str] | None = None,
    minutes: float | None = None,
    preset: str = "cpu-small",
    conditional: bool = False,
    base: str | None = None,
    encoder: str | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    precision: str = "auto",
    accumulate: int = 1,
    resume: bool = False,
    progress: bool = False,
) -> Model:
    """Train a model, or resume an interrupted training; finished stages are kept.

    Args:
        data: a data set or its path. out: the folder of the run.
        categories: to train on; None for all.
        minutes: working time, divided over the stages; None trains for the preset's steps, which
            give equal weights for equal seeds.
        preset: ``cpu-tiny`` (seconds), ``cpu-small`` (minutes) or ``gpu``.
        conditional: condition the latent flow on the category.
        base: the family of the base measure, see :func:`pcgen.fit_base`; encoder: of the
            autoencoder; None for the preset's.
        seed: of all random numbers. device: ``auto``, ``cpu`` or ``cuda``.
        threads: of torch, and processes that share a step on the CPU; None for ``PCGEN_THREADS``
            or the number of free cores.
        precision: of products: ``float32``, ``tf32``, ``bfloat16``, or ``auto``, which selects one.
        accumulate: number of parts into which a batch is cut.
        resume: take all settings from the existing run.
        progress: show progress on stderr.
    Raises:
        DataError, InputError: the data set or an argument is wrong; nothing has been written.
        TrainingError: ``out`` has another run, or a number is not finite.

    Example:
        >>> model = pcgen.train("furniture", "runs/seats", minutes=3)  # doctest: +SKIP
    """
    if not isinstance(data, Data | str | Path):
        raise InputError(f"expected a data set or its path, got {type(data).__name__}")
    with shown(progress):
        pipeline.train(
            data.path if isinstance(data, Data) else data,
            Path(out),
            preset=preset,
            categories=categories,
            conditional=conditional,
            base=base,
            encoder=encoder,
            budget_minutes=minutes,
            seed=seed,
            threads=threads,
            device=device,
            resume=resume,
            precision=precision,
            accumulate=accumulate,
        )
        return Model.load(out, device=device)
