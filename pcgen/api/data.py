"""Data sets: :func:`prepare` and :class:`Data`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen import pipeline
from pcgen.api.shapes import Shape, Shapes
from pcgen.files import atomic_folder, parse_json, read_text
from pcgen.progress import shown
from pcgen.shapes.category_frames import SourceFrame
from pcgen.shapes.remote_datasets import local_folder
from pcgen.shapes.samples import Samples
from pcgen.shapes.store import Dataset, Part


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """A prepared data set: shapes as point clouds, each in its box [-1, 1], +Y up.

    Attributes:
        dataset: the data set's folder, opened read-only.
        report: what was read, what was left out and why; empty if the folder has no report.
    """

    dataset: Dataset
    report: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path | str) -> Data:
        """Open the data set in a folder or at a URL.

        Raises:
            DataError: there is no data set, or it is damaged.
        """
        dataset = Dataset.open(local_folder(path))
        try:
            report = parse_json(read_text(dataset.path / "report.json"))
        except (OSError, ValueError):
            report = {}
        return cls(dataset, report if isinstance(report, dict) else {})

    @property
    def path(self) -> Path:
        return self.dataset.path

    @property
    def categories(self) -> tuple[str, ...]:
        return self.dataset.categories

    @property
    def splits(self) -> tuple[str, ...]:
        return self.dataset.splits

    def __len__(self) -> int:
        return self.dataset.count

    def __getitem__(self, number: int) -> Shape:
        """A shape with all its points."""
        if not -len(self) <= number < len(self):
            raise IndexError(f"there are {len(self)} shapes, no number {number}")
        row = number % len(self)
        found = self.dataset.rows[row]
        return Shape(
            points=self.dataset.points([row])[0],
            normals=self.dataset.known_normals(row),
            category=found.category,
            name=found.id,
            frame=SourceFrame(found.scale, found.centre, self.dataset.up, self.dataset.unit),
        )

    def rows(
        self, *, split: str | None = None, categories: Sequence[str] | None = None
    ) -> NDArray[np.int64]:
        """Indices of the shapes of a split, of some categories, or of both.

        Raises:
            DataError: a name is unknown, or no shape is left.
        """
        return self.dataset.select(split=split, categories=categories)

    def points(
        self,
        *,
        split: str | None = None,
        categories: Sequence[str] | None = None,
        count: int | None = None,
        part: Part = "all",
    ) -> NDArray[np.float32]:
        """Clouds (n, count, 3), each in its shape's box.

        Args:
            count: points per shape; None for all stored points.
            part: ``all``, ``first`` (two thirds of the points) or ``last`` (the rest): two
                independent samples of every surface.
        Raises:
            DataError: unknown split or category. InputError: more points requested than stored.
        """
        chosen = self.rows(split=split, categories=categories)
        return self.dataset.points(chosen, count, part=part)

    def shapes(
        self,
        *,
        split: str | None = None,
        categories: Sequence[str] | None = None,
        count: int | None = None,
        points: int | None = None,
    ) -> Shapes:
        """The first ``count`` shapes with ``points`` points each; all by default."""
        chosen = self.rows(split=split, categories=categories)[:count]
        rows = [self.dataset.rows[int(row)] for row in chosen]
        normals = self.dataset.normals(chosen, points) if self.dataset.has_normals else None
        samples = Samples(
            points=self.dataset.points(chosen, points),
            normals=normals,
            category=np.array([row.category for row in rows], np.str_),
            meta={"dataset": str(self.path)},
        )
        return Shapes(samples, names=tuple(row.id for row in rows))

    def save(self, path: Path | str) -> Path:
        """Copy the data set to a new folder and return its path."""
        path = Path(path)
        with atomic_folder(path) as folder:
            shutil.copytree(self.path, folder, dirs_exist_ok=True)
        return path

    def summary(self) -> dict[str, Any]:
        """Counts by category and split, as plain data."""
        table: dict[str, dict[str, int]] = {}
        for row in self.dataset.rows:
            splits = table.setdefault(row.category, {})
            splits[row.split] = splits.get(row.split, 0) + 1
        return {
            "path": str(self.path),
            "shapes": len(self),
            "points": self.dataset.points_per_shape,
            "normals": self.dataset.has_normals,
            "categories": {name: table[name] for name in sorted(table)},
            "left_out": len(self.report.get("rejected", ())),
        }

    def __repr__(self) -> str:
        summary = self.summary()
        rows = ", ".join(f"{name} {sum(n.values())}" for name, n in summary["categories"].items())
        return (
            f"Data({summary['path']!r}: {len(self)} shapes of {summary['points']} points; {rows})"
        )

    def _repr_html_(self) -> str:
        from pcgen.gallery.notebook import table

        summary = self.summary()
        rows = [
            (name or "(none)", ", ".join(f"{count} {split}" for split, count in splits.items()))
            for name, splits in summary["categories"].items()
        ]
        title = f"{summary['path']}: {summary['shapes']} shapes of {summary['points']} points"
        return table(rows, title)


def prepare(
    source: Path | str,
    out: Path | str,
    *,
    format: str = "auto",
    categories: Sequence[str] | None = None,
    points: int | None = None,
    splits: Path | str | None = None,
    up: str | None = None,
    unit: str = "",
    seed: int = 0,
    solids: int = 0,
    workers: int | None = None,
    ray: str | None = None,
    progress: bool = False,
) -> Data:
    """Make a data set from meshes or point clouds.

    Args:
        source: a folder, archive or file, or its URL, or the word ``starter``.
        out: the new folder, or its URL. If it exists and was made in the same way, it is opened.
        format: layout of ``source``; see ``pcgen prepare --help``.
        categories: names to keep; None for all.
        points: stored per shape; None for 15,000, or for as many as the clouds have, if fewer.
        splits: a CSV file that assigns shapes to splits.
        up: the axis of ``source`` that points up; None takes Y. unit: its name, such as ``mm``.
        seed: of the surface sampling.
        solids: points per mesh with a signed distance, from which a run learns a field for
            meshes; about 0.3 s per shape, and 4096 is a good number. 0 for none; clouds have none.
        workers: processes; None for one per core. ray: address of a cluster to use.
        progress: show progress on stderr.
    Raises:
        DataError: there is no source, or nothing usable in it. InputError: an argument is wrong.
        StorageError: ``out`` has other contents or cannot be written.

    Example:
        >>> data = pcgen.prepare("starter", "furniture", points=6000)  # doctest: +SKIP
    """
    with shown(progress):
        pipeline.prepare(
            source,
            out,
            format=format,
            categories=None if categories is None else list(categories),
            points=points,
            splits=splits,
            workers=workers,
            ray=ray,
            seed=seed,
            up=up,
            unit=unit,
            solids=solids,
        )
        return Data.open(out)
