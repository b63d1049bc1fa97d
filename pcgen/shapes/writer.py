"""Write data sets, which :mod:`pcgen.shapes.store` reads."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.files import atomic_file, atomic_folder, write_json
from pcgen.shapes.arrays import write_npy
from pcgen.shapes.normalise import box_frame
from pcgen.shapes.store import (
    COLUMNS,
    FORMAT,
    VERSION,
    Dataset,
    IndexRow,
    index_hash,
    map_array,
    shape_hash,
)


def write_dataset(
    path: Path | str,
    points: NDArray[np.floating],
    *,
    categories: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    normals: NDArray[np.floating] | None = None,
) -> Dataset:
    """Write a data set of clouds in memory; ``pcgen prepare`` does it for files.

    Args:
        path: the folder to make; it must not exist.
        points: (count, P, 3) in original units, count at least 1.
        categories: one name per shape, by default all ``shape``.
        splits: one name per shape, by default all ``train``.
        ids: one unique name per shape; by default numbers.
        normals: (count, P, 3) unit vectors.
    """
    frame = box_frame(points)
    stored = frame.apply(np.asarray(points, np.float64)).astype(np.float32)
    count = len(stored)
    categories = list(categories) if categories is not None else ["shape"] * count
    splits = list(splits) if splits is not None else ["train"] * count
    ids = list(ids) if ids is not None else [f"{n}/{k:06d}" for k, n in enumerate(categories)]
    for name, column in {"categories": categories, "splits": splits, "ids": ids}.items():
        if len(column) != count:
            raise InputError(f"{name} must name {count} shapes, got {len(column)}")
    if len(set(ids)) != count:
        raise InputError("ids must all be different")
    if normals is not None and normals.shape != stored.shape:
        raise InputError(f"normals must be {stored.shape}, got {normals.shape}")
    with atomic_folder(path) as folder:
        write_npy(folder / "points.npy", stored)
        if normals is not None:
            half = normals.astype(np.float16)
            write_npy(folder / "normals.npy", half)
        rows = [
            IndexRow(
                id=ids[k],
                category=categories[k],
                split=splits[k],
                source="memory",
                sha256=shape_hash(stored[k], None if normals is None else half[k]),
                centre=as_point(frame.centre[k]),
                scale=float(frame.scale[k]),
            )
            for k in range(count)
        ]
        write_records(folder, rows, {"settings": {}})
    return Dataset.open(path)


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
