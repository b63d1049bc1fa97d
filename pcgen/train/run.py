"""The run directory: its data set, settings and layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pcgen import __version__
from pcgen.config import from_plain, to_plain
from pcgen.errors import DataError, InputError, TrainingError
from pcgen.files import write_json
from pcgen.runfile import FORMAT, NAME, is_finished, is_run, read_run
from pcgen.shapes.store import Dataset
from pcgen.train.presets import Settings


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The content of ``run.json``.

    Attributes:
        dataset: absolute path of the data set, which sampling does not need.
        dataset_hash: its content hash; training with a different one is refused.
        categories: categories in the training, sorted.
        conditional: whether the latent flow is conditioned on the category.
        threads: torch threads; results are reproducible for a fixed number.
        processes: number of processes at the start; any number may resume.
        precision: of the products in linear layers.
    """

    format: int = FORMAT
    version: str = __version__
    dataset: str
    dataset_hash: str
    categories: tuple[str, ...]
    conditional: bool
    preset: str
    seed: int
    threads: int
    processes: int = 1
    precision: str = "float32"
    budget_minutes: float | None
    settings: Settings


@dataclass(frozen=True)
class Run:
    """A run directory and its config."""

    path: Path
    config: RunConfig

    @property
    def settings(self) -> Settings:
        return self.config.settings

    def stage(self, name: str) -> Path:
        return self.path / name

    def finished(self, stage: str) -> bool:
        return is_finished(self.path, stage)

    def mark_finished(self, stage: str, facts: dict[str, object]) -> None:
        """Record that a stage is finished, with its facts.

        Raises:
            TrainingError: a number among the facts is not finite; the message names it.
        """
        bad = [name for name, value in facts.items() if not _is_finite(value)]
        if bad:
            raise TrainingError(
                f"{stage}: {bad[0]} is not finite, so the stage is not marked as finished; a file "
                f"of an earlier stage is damaged, train the run again"
            )
        write_json(self.stage(stage) / "done.json", facts)

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Open an existing run.

        Raises:
            DataError: there is no run, or its format is not supported by this version.
        """
        path = Path(path)
        plain = read_run(path)
        try:
            return cls(path, from_plain(RunConfig, plain, NAME))
        except InputError as error:
            raise DataError(f"{path / NAME} cannot be read: {error}") from None

    @classmethod
    def create(cls, path: Path | str, config: RunConfig) -> Run:
        """Start a run, or resume one with the same config.

        Raises:
            TrainingError: the folder has a run with another config; the message says which.
        """
        path = Path(path)
        if is_run(path):
            run = cls.open(path)
            ours, theirs = to_plain(config), to_plain(run.config)
            # These may change when a run is resumed.
            same = {"version", "threads", "processes", "dataset"}
            differing = [key for key in ours if key not in same and ours[key] != theirs[key]]
            if differing:
                raise TrainingError(
                    f"{path} holds a run with other {', '.join(differing)}; choose another --out, "
                    "or give the same options to resume it"
                )
            return run
        write_json(path / NAME, to_plain(config))
        return cls(path, config)


def _is_finite(value: object) -> bool:
    """Whether all numbers in plain data are finite."""
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def check_dataset(run: Run, dataset: Dataset) -> None:
    """Refuse to resume with a data set that is not the one the run began with."""
    if dataset.content_hash != run.config.dataset_hash:
        raise TrainingError(
            f"{dataset.path} has content hash {dataset.content_hash[:12]}, the run was trained on "
            f"{run.config.dataset_hash[:12]}; give the original data set or start another run"
        )
