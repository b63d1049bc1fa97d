"""The training shape nearest to each sample: what honesty asks to be shown beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pcgen import kernels
from pcgen.errors import InputError

if TYPE_CHECKING:
    from pcgen.shapes.store import Dataset

COARSE_POINTS = 96  # of each cloud, to find candidates among all training shapes
CANDIDATES = 24  # that are compared with all points
BLOCK_SHAPES = 512


@dataclass(frozen=True)
class Neighbour:
    """One training shape.

    Attributes:
        row: its number in the data set; id, category: its names there.
        distance: Chamfer distance to the sample: squared, mean per side, sides added.
        points: (n, 3) float32, in the per-shape box frame.
    """

    row: int
    id: str
    category: str
    distance: float
    points: NDArray[np.float32]


class Neighbours:
    """The training shapes of a data set, ready to be searched."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        split: str | None = "train",
        categories: Sequence[str] = (),
        points: int = 2048,
    ) -> None:
        """
        Args:
            split: the split the samples may not copy; None, or one that is absent, means all.
            categories: that were learned; those that are absent do not count, and none means all.
            points: of each training shape in the exact comparison, fewer where it has fewer.
        """
        self._dataset = dataset
        known = {row.split for row in dataset.rows}
        learned = [name for name in categories if name in dataset.categories]
        self._rows = dataset.select(
            split=split if split in known else None, categories=learned or None
        )
        self._count = min(points, dataset.points_per_shape)
        self._coarse = dataset.points(self._rows, min(COARSE_POINTS, self._count))

    def nearest(self, cloud: NDArray[np.floating]) -> Neighbour:
        """The nearest by Chamfer distance, among the candidates that a few points suggest.

        Args:
            cloud: (n, 3) in the per-shape box frame; rows that are not finite are left out.
        Raises:
            InputError: the cloud has another shape or no finite point.
        """
        import torch

        sample = np.asarray(cloud, dtype=np.float32)
        if sample.ndim != 2 or sample.shape[1] != 3:
            raise InputError(f"a cloud must be (n, 3), got {sample.shape}")
        sample = sample[np.isfinite(sample).all(1)]
        if not len(sample):
            raise InputError("the cloud has no finite point, so no shape is near it")
        spread = np.linspace(0, len(sample) - 1, min(COARSE_POINTS, len(sample))).astype(int)
        few = torch.from_numpy(np.ascontiguousarray(sample[spread]))
        rough = []
        for start in range(0, len(self._coarse), BLOCK_SHAPES):
            block = torch.from_numpy(self._coarse[start : start + BLOCK_SHAPES])
            squared = torch.cdist(few.expand(len(block), -1, -1), block).square()
            rough.append(squared.amin(2).mean(1) + squared.amin(1).mean(1))
        order = torch.cat(rough).argsort()[:CANDIDATES].numpy()
        rows = self._rows[order]
        clouds = torch.from_numpy(self._dataset.points(rows, self._count))
        full = torch.from_numpy(np.ascontiguousarray(sample)).expand(len(rows), -1, -1)
        distance = kernels.chamfer(full, clouds)
        best = int(distance.argmin())
        entry = self._dataset.rows[int(rows[best])]
        return Neighbour(
            int(rows[best]), entry.id, entry.category, float(distance[best]), clouds[best].numpy()
        )
