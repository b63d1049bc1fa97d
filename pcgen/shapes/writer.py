"""The index and the description of a data set, which :mod:`pcgen.shapes.store` reads."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.files import atomic_file, write_json
from pcgen.shapes.store import COLUMNS, FORMAT, VERSION, IndexRow, index_hash, map_array


def write_records(folder: Path, rows: Sequence[IndexRow], meta: dict[str, Any]) -> dict[str, Any]:
    """Write ``index.csv`` and ``dataset.json`` beside existing arrays.

    Args:
        meta: further entries of ``dataset.json``, such as ``settings``.
    Returns:
        the content of ``dataset.json``.
    """
    points = map_array(folder / "points.npy", np.float32)
    with (
        atomic_file(folder / "index.csv") as temporary,
        temporary.open("w", newline="", encoding="utf-8") as handle,
    ):
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow([*row[:5], *map(repr, row.centre), repr(row.scale)])
    whole = {
        "format": FORMAT,
        "version": VERSION,
        "count": len(rows),
        "points_per_shape": int(points.shape[1]),
        "has_normals": (folder / "normals.npy").is_file(),
        "categories": sorted({row.category for row in rows}),
        "content_hash": index_hash(rows),
        **meta,
    }
    write_json(folder / "dataset.json", whole)
    return whole


def as_point(centre: NDArray[np.float64]) -> tuple[float, float, float]:
    """A (3,) array as a tuple of floats, for an index row."""
    x, y, z = (float(value) for value in centre)
    return x, y, z
