"""The run directory: what it was trained on, with which settings, and where things lie."""

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
    """What ``run.json`` holds.

    Attributes:
        dataset: absolute path of the data set; may be gone when sampling.
        dataset_hash: its content hash; training on another one is refused.
        categories: the ones trained on, sorted.
        conditional: whether the latent flow is told the category.
        threads: of torch; results are reproducible for one count.
        processes: that shared the batches when the run began; any number may go on.
        precision: of the products of linear layers.
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
        """Write what came of a stage.

        Raises:
            TrainingError: a number of it is not finite, though every weight is; it is named.
        """
        bad = [name for name, value in facts.items() if not _is_finite(value)]
        if bad:
            raise TrainingError(
                f"{stage}: {bad[0]} is not a finite number, so the stage does not count as "
                f"finished; a file of an earlier stage is damaged, train the run again"
            )
        write_json(self.stage(stage) / "done.json", facts)

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Read an existing run.

        Raises:
            DataError: no run there, or one of a format this version does not read.
        """
        path = Path(path)
        plain = read_run(path)
        try:
            return cls(path, from_plain(RunConfig, plain, NAME))
        except InputError as error:
            raise DataError(f"{path / NAME} cannot be read: {error}") from None

    @classmethod
    def create(cls, path: Path | str, config: RunConfig) -> Run:
        """Start a run, or go on with one of the very same config.

        Raises:
            TrainingError: another run stands there; the message names what differs.
        """
        path = Path(path)
        if is_run(path):
            run = cls.open(path)
            ours, theirs = to_plain(config), to_plain(run.config)
            # These may change between a start and a resume.
            same = {"version", "threads", "processes", "dataset"}
            differing = [key for key in ours if key not in same and ours[key] != theirs[key]]
            if differing:
                raise TrainingError(
                    f"{path} holds a run with other {', '.join(differing)}; choose another --out, "
                    "or give the same options to go on with it"
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
    """Refuse to go on with a data set that is not the one the run began with."""
    if dataset.content_hash != run.config.dataset_hash:
        raise TrainingError(
            f"{dataset.path} has content hash {dataset.content_hash[:12]}, the run was trained on "
            f"{run.config.dataset_hash[:12]}; give the original data set or start another run"
        )
