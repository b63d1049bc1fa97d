"""The training shapes that a samples file names as the parents of each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.shapes.store import Dataset

POINTS = 2048  # of a parent, at most


@dataclass(frozen=True)
class Parent:
    """One training shape that a sample descends from.

    Attributes:
        points: (n, 3) in the per-shape box frame; None if the shape was not found.
    """

    id: str
    points: NDArray[np.float32] | None = None


def named_parents(meta: Mapping[str, Any], count: int) -> list[list[str]]:
    """The ids of the parents of each of ``count`` samples; empty if ``meta`` names none.

    Raises:
        InputError: ``meta["parents"]`` is not a list of ids for each sample.
    """
    named = meta.get("parents")
    if named is None:
        return []
    if not isinstance(named, list) or not all(
        isinstance(ids, list) and all(isinstance(id_, str) for id_ in ids) for ids in named
    ):
        raise InputError("parents must be a list of ids for each sample")
    if len(named) != count:
        raise InputError(f"parents are named for {len(named)} samples of {count}")
    return named


def find_parents(named: Sequence[Sequence[str]], dataset: Dataset | None) -> list[list[Parent]]:
    """The parents of each sample; without points if they are not in ``dataset``."""
    rows = {} if dataset is None else {row.id: number for number, row in enumerate(dataset.rows)}
    found: dict[str, Parent] = {}
    for id_ in {id_ for ids in named for id_ in ids}:
        points = None
        if dataset is not None and id_ in rows:
            points = dataset.points([rows[id_]], min(POINTS, dataset.points_per_shape))[0]
        found[id_] = Parent(id_, points)
    return [[found[id_] for id_ in ids] for ids in named]
