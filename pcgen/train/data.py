"""The training shapes, in memory or memory-mapped, and batches of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pcgen.errors import TrainingError
from pcgen.shapes.store import Dataset

#: Points of more bytes than this, over all processes of a job, stay in the file and are read batch
#: by batch. Reading a cloud then takes a few pages, which today's disks deliver faster than a step
#: takes, and the processes of a machine share the pages in memory.
IN_MEMORY = 4 * 2**30


class MemmapRows:
    """Some rows of an array on disk, indexed like a tensor.

    Attributes:
        shape: (rows, count, dim); the first ``count`` points of each row.
    """

    def __init__(self, array: NDArray[Any], rows: NDArray[np.int64], count: int) -> None:
        self._array, self._rows = array[:, :count], rows
        self.shape = torch.Size((len(rows), count, array.shape[2]))

    def __getitem__(self, key: Any) -> Tensor:
        """A copy of ``[shapes]``, ``[shapes, points]``, ...; ``shapes`` is a tensor or a slice."""
        shapes, *rest = key if isinstance(key, tuple) else (key,)
        places = [part.numpy() if isinstance(part, Tensor) else part for part in rest]
        chosen = self._rows[shapes.numpy() if isinstance(shapes, Tensor) else shapes]
        # Indexing by an array copies.
        return torch.from_numpy(np.asarray(self._array[(chosen, *places)]))


@dataclass(frozen=True)
class TrainingClouds:
    """Clouds of one split in the box frame.

    Attributes:
        rows: (count,) row numbers in the data set.
        points: (count, P, dim) float32; the points of a shape are independent samples. More than
            IN_MEMORY bytes stay in the file, see :class:`MemmapRows`.
        normals: (count, P, dim) float16, or None.
        label: (count,) int64, index into ``categories``.
        ids: id of each shape in the data set; empty if not known.
        solids: (count, S, 4) float16, see :mod:`pcgen.shapes.signed_distances`;
            zero for shapes that are clouds. None if no shape has any.
    """

    rows: Tensor
    points: Tensor | MemmapRows
    normals: Tensor | MemmapRows | None
    label: Tensor
    categories: tuple[str, ...]
    ids: tuple[str, ...] = ()
    solids: Tensor | MemmapRows | None = None

    @classmethod
    def load(
        cls,
        dataset: Dataset,
        categories: tuple[str, ...],
        split: str,
        count: int,
        processes: int = 1,
    ) -> TrainingClouds:
        """The first ``count`` points of each shape of a split, or all points if there are fewer.

        Args:
            processes: number of processes that load them.
        """
        rows = dataset.select(split=split, categories=categories)
        available = dataset.points_per_shape * 2 // 3
        count = min(count, available)
        if count < 64:
            raise TrainingError(
                f"{dataset.path} has {dataset.points_per_shape} points per shape, of which "
                f"{available} are for training; prepare it again with --points 1000 or more"
            )
        names = [dataset.rows[int(row)].category for row in rows]
        points: Tensor | MemmapRows = MemmapRows(dataset.memmap_points, rows, count)
        normals: Tensor | MemmapRows | None = None
        if dataset.has_normals:
            normals = MemmapRows(dataset.memmap_normals, rows, count)
        if processes * len(rows) * count * 3 * 4 <= IN_MEMORY:
            points, normals = points[:], None if normals is None else normals[:]
        solids: Tensor | MemmapRows | None = None
        if dataset.has_solids:
            places = dataset.memmap_solids
            solids = MemmapRows(places, rows, places.shape[1])
            if processes * len(rows) * places[0].nbytes <= IN_MEMORY:
                solids = solids[:]
        return cls(
            rows=torch.from_numpy(rows),
            points=points,
            normals=normals,
            label=torch.tensor([categories.index(name) for name in names]),
            categories=categories,
            ids=tuple(dataset.rows[int(row)].id for row in rows),
            solids=solids,
        )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shapes_with_solids(self) -> Tensor:
        """Indices of the shapes that have solids."""
        if self.solids is None:
            return torch.zeros(0, dtype=torch.int64)
        return self.solids[:, :1].any(dim=2).flatten().nonzero().flatten()

    def draw_solids(self, shapes: Tensor, count: int, generator: Generator) -> Tensor:
        """``count`` positions for each of ``shapes`` with their signed distance, (batch, count, 4).

        They are consecutive, cyclically; the stored order is random.
        """
        assert self.solids is not None
        total = self.solids.shape[1]
        start = int(torch.randint(0, total, (1,), generator=generator))
        around = (start + torch.arange(count)) % total
        return self.solids[shapes[:, None], around].float()

    def digest(self) -> str:
        """A short digest of the content; equal on every machine."""
        found = hashlib.sha256(self.rows.numpy().tobytes())
        for values in (self.points, self.normals):
            if values is not None:
                # A mapped set is too large to read for this, so only its two ends are used.
                seen = (
                    values
                    if isinstance(values, Tensor)
                    else values[torch.tensor([0, len(self) - 1])]
                )
                found.update(seen.sum((1, 2), dtype=torch.float64).numpy().tobytes())
        return f"{len(self)} shapes, {found.hexdigest()[:12]}"

    def draw(
        self, shapes: Tensor, count: int, generator: Generator
    ) -> tuple[Tensor, Tensor | None]:
        """``count`` consecutive points of each of ``shapes`` from a random start, cyclically.

        Points are stored as independent samples, so consecutive ones are an unbiased sample,
        and reading them is several times cheaper than gathering at random.
        """
        total = self.points.shape[1]
        if count > total:
            raise TrainingError(
                f"{count} points per shape were requested, but there are {total}; lower the points "
                "of the preset or prepare the data set with more --points"
            )
        start = int(torch.randint(0, total, (1,), generator=generator))

        def window(values: Tensor | MemmapRows) -> Tensor:
            stop = start + count
            if stop <= total:
                return values[shapes, start:stop]
            return torch.cat([values[shapes, start:total], values[shapes, : stop - total]], 1)

        return window(self.points), None if self.normals is None else window(self.normals).float()
