"""Data sets for tests: written from arrays, and compared with their hashes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcgen.files import atomic_folder
from pcgen.shapes.arrays import write_npy
from pcgen.shapes.normalise import box_frame
from pcgen.shapes.store import Dataset, IndexRow, index_hash, shape_hash
from pcgen.shapes.writer import as_point, write_records


def write_dataset(
    path: Path | str,
    points: NDArray[np.floating],
    *,
    categories: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    normals: NDArray[np.floating] | None = None,
) -> Dataset:
    """Write a data set of clouds in memory, as ``pcgen prepare`` does for files.

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


def check_hashes(dataset: Dataset) -> None:
    """Read all data; AssertionError if a shape or the index has changed."""
    for number, row in enumerate(dataset.rows):
        normals = dataset.memmap_normals[number] if dataset.has_normals else None
        assert shape_hash(dataset.memmap_points[number], normals) == row.sha256, row.id
    assert index_hash(dataset.rows) == dataset.content_hash
