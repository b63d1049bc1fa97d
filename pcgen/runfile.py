"""``run.json``, the first file of a run directory, read in one place.

Light on purpose: the command line and the viewers ask what a run is before torch is imported.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pcgen.errors import DataError
from pcgen.files import parse_json, read_text

NAME = "run.json"
FORMAT = 2
STAGES = ("children", "autoencoder", "base", "latent-flow", "point-flow", "field")
NEEDED = STAGES[:5]
"""Of sampling; without the last one, which runs of earlier versions lack, meshes are made of
points."""


class Learned(NamedTuple):
    """What a run was trained on: a data set, and the names of those of its categories."""

    dataset: Path
    categories: tuple[str, ...]


def is_run(path: Path | str) -> bool:
    """Whether ``path`` is a run directory, finished or not."""
    return (Path(path) / NAME).is_file()


def read_run(path: Path | str) -> dict[str, Any]:
    """The plain content of ``run.json``.

    Raises:
        DataError: no run there, a damaged file, or a format this version does not read.
    """
    path = Path(path)
    if not is_run(path):
        raise DataError(f"no run at {path}; make one with: pcgen train DATASET --out {path}")
    try:
        plain = parse_json(read_text(path / NAME))
        found = plain.get("format")
    except (ValueError, AttributeError, OSError, RecursionError) as error:
        raise DataError(f"{path / NAME} is damaged ({str(error)[:200]})") from None
    if type(found) is not int or found != FORMAT:
        raise DataError(f"{path} has run format {found!r}, made by pcgen {_refusal(path, plain)}")
    return dict(plain)


def _refusal(path: Path, plain: Mapping[str, Any]) -> str:
    """Whose run it is that cannot be read, and the command that helps."""
    found, version = plain.get("format"), str(plain.get("version", "?"))[:40]
    if type(found) is int and found > FORMAT:
        return (
            f"{version}; this one reads {FORMAT}. Bring it up to date with: "
            "pip install --upgrade pcgen"
        )
    return (
        f"{version}; this one reads {FORMAT}, and weights of older networks are of no use to it. "
        f"Train it again with: {training_command(path, plain)}"
    )


def training_command(path: Path, plain: Mapping[str, Any]) -> str:
    """The command that trains a run with the same options next to ``path``."""
    words = ["pcgen", "train", str(plain.get("dataset", "DATASET"))]
    words += ["--out", f"{path}-{FORMAT}"]
    for option, key in (("--preset", "preset"), ("--seed", "seed")):
        if key in plain:
            words += [option, str(plain[key])]
    if isinstance(plain.get("categories"), list) and plain["categories"]:
        words += ["--categories", ",".join(map(str, plain["categories"]))]
    if plain.get("budget_minutes") is not None:
        words += ["--budget-minutes", str(plain["budget_minutes"])]
    return shlex.join(words + ["--conditional"] * bool(plain.get("conditional")))


def is_finished(path: Path, stage: str) -> bool:
    """Whether a stage of the run was trained to its end."""
    return (path / stage / "done.json").exists()


def learned_from(path: Path | str) -> Learned | None:
    """What the run was trained on, where it was then; None where the run does not say.

    Of any format: a viewer may show the data of a run that it cannot sample.
    """
    try:
        plain = parse_json(read_text(Path(path) / NAME))
        return Learned(Path(plain["dataset"]), tuple(map(str, plain.get("categories", ()))))
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        return None
