"""The training shapes in memory, and batches of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from pcgen.errors import TrainingError
from pcgen.shapes.store import Dataset


@dataclass(frozen=True)
class TrainingClouds:
    """Clouds of one split in the box frame.

    Attributes:
        rows: (count,) row numbers in the data set.
        points: (count, P, dim) float32; the points of a shape are independent draws.
        normals: likewise float16, or None.
        label: (count,) int64, index into ``categories``.
    """

    rows: Tensor
    points: Tensor
    normals: Tensor | None
    label: Tensor
    categories: tuple[str, ...]

    @classmethod
    def load(
        cls, dataset: Dataset, categories: tuple[str, ...], split: str, count: int
    ) -> TrainingClouds:
        """The first ``count`` points (or all there are, if fewer) of each shape of a split."""
        rows = dataset.select(split=split, categories=categories)
        available = dataset.points_per_shape * 2 // 3
        count = min(count, available)
        if count < 64:
            raise TrainingError(
                f"{dataset.path} has {dataset.points_per_shape} points a shape, of which "
                f"{available} are for training; prepare it again with --points 1000 or more"
            )
        names = [dataset.rows[int(row)].category for row in rows]
        normals = None
        if dataset.has_normals:
            normals = torch.from_numpy(dataset.normals(rows, count, part="first")).half()
        return cls(
            rows=torch.from_numpy(rows),
            points=torch.from_numpy(dataset.points(rows, count, part="first")),
            normals=normals,
            label=torch.tensor([categories.index(name) for name in names]),
            categories=categories,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def digest(self) -> str:
        """A short text that clouds of the same content share, on whatever machine they lie."""
        found = hashlib.sha256(self.rows.numpy().tobytes())
        for values in (self.points, self.normals):
            if values is not None:
                found.update(values.double().sum((1, 2)).numpy().tobytes())
        return f"{len(self)} shapes, {found.hexdigest()[:12]}"

    def draw(
        self, shapes: Tensor, count: int, generator: Generator
    ) -> tuple[Tensor, Tensor | None]:
        """``count`` consecutive points of each of ``shapes`` from a random place, cyclically.

        Points are stored as independent draws, so consecutive ones are a fair sample, and
        reading them is several times cheaper than gathering at random.
        """
        total = self.points.shape[1]
        if count > total:
            raise TrainingError(
                f"{count} points of a shape were asked for, {total} are there; lower the points "
                "of the preset or prepare the data set with more --points"
            )
        start = int(torch.randint(0, total, (1,), generator=generator))
        index = (start + torch.arange(count)) % total
        points = self.points[shapes][:, index]
        normals = None if self.normals is None else self.normals[shapes][:, index].float()
        return points, normals
