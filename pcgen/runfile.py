"""``run.json``, the first file of a run directory; only this module reads it.

Imports nothing heavy: the command line and the viewers need it before torch is imported.
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
"""The files needed for sampling. Without the last one, which runs of earlier versions lack, meshes
are made from points."""


class Learned(NamedTuple):
    """The training data of a run: a data set, and names of its categories."""

    dataset: Path
    categories: tuple[str, ...]


def is_run(path: Path | str) -> bool:
    """Whether ``path`` is a run directory, finished or not."""
    return (Path(path) / NAME).is_file()


def read_run(path: Path | str) -> dict[str, Any]:
    """The content of ``run.json``, as plain data.

    Raises:
        DataError: there is no run, the file is damaged, or its format is not supported.
    """
    path = Path(path)
    if not is_run(path):
        raise DataError(f"no run at {path}; train one with: pcgen train DATASET --out {path}")
    try:
        plain = parse_json(read_text(path / NAME))
        found = plain.get("format")
    except (ValueError, AttributeError, OSError, RecursionError) as error:
        raise DataError(f"{path / NAME} is damaged ({str(error)[:200]})") from None
    if type(found) is not int or found != FORMAT:
        raise DataError(f"{path} has run format {found!r}, made by pcgen {_refusal(path, plain)}")
    return dict(plain)


def _refusal(path: Path, plain: Mapping[str, Any]) -> str:
    """The version of a run that cannot be read, and the command that helps."""
    found, version = plain.get("format"), str(plain.get("version", "?"))[:40]
    if type(found) is int and found > FORMAT:
        return f"{version}; this one reads {FORMAT}. Update it with: pip install --upgrade pcgen"
    return (
        f"{version}; this one reads {FORMAT}, and weights of older networks cannot be used. "
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
    """Whether a stage of the run is finished."""
    return (path / stage / "done.json").exists()


def learned_from(path: Path | str) -> Learned | None:
    """The training data of a run, at its original path; None if the run does not say.

    Works for any format: a viewer may show the data of a run that it cannot sample.
    """
    try:
        plain = parse_json(read_text(Path(path) / NAME))
        return Learned(Path(plain["dataset"]), tuple(map(str, plain.get("categories", ()))))
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        return None
