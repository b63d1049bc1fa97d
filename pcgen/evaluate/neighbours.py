"""Find the training shape nearest to each sample, to show beside it.

The search (:func:`pcgen.distances.novelty.search`) is proportion-free and includes mirror images,
so that a stretched copy is shown beside its original. The training shape keeps its proportions, and
is mirrored if its mirror image is nearer; a note states both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pcgen.distances.bounds import Sketches, concatenate_sketches, lower_bounds, sketch
from pcgen.distances.novelty import MIRROR, search
from pcgen.distances.pairwise import chamfer_table, pick_backend
from pcgen.errors import InputError
from pcgen.shapes.normalise import FLAT, proportion_free

if TYPE_CHECKING:
    from pcgen.shapes.store import Dataset

SPLIT = "train"
POINTS = 2048  # compared per shape; all if a shape has fewer
BLOCK_SHAPES = 512  # read at a time
# A mirror image counts as nearer below this ratio: those of symmetric shapes are about as near.
CLEARLY = 0.8
NOTABLE = 0.05  # smallest stretch that is noted, as a share of a side

Cloud = NDArray[np.float32]


@dataclass(frozen=True)
class Relation:
    """The transformation that takes a training shape to a sample.

    Attributes:
        mirrored: in x.
        stretch: factors along x, y and z, the largest 1.
    """

    mirrored: bool = False
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __str__(self) -> str:
        """``mirrored, stretched 1 : 0.62 : 0.8``, or "" if neither."""
        parts = ["mirrored"] if self.mirrored else []
        if min(self.stretch) < 1 - NOTABLE:
            parts.append("stretched " + " : ".join(f"{factor:.2g}" for factor in self.stretch))
        return ", ".join(parts)


@dataclass(frozen=True)
class Neighbour:
    """One training shape.

    Attributes:
        row, id, category: of the shape in the data set.
        distance: proportion-free Chamfer distance to the sample (squared, sum of both means).
        points: (n, 3) float32, in the per-shape box frame, mirrored if ``relation`` is.
        relation: the transformation to the sample.
    """

    row: int
    id: str
    category: str
    distance: float
    points: Cloud
    relation: Relation = Relation()


class Neighbours:
    """An index of the training shapes of a data set."""

    def __init__(self, dataset: Dataset, *, categories: Sequence[str] = ()) -> None:
        """
        Args:
            dataset: without a split ``train``, all its shapes are searched.
            categories: those trained on; absent ones are ignored, and none means all.
        """
        self._dataset = dataset
        known = {row.split for row in dataset.rows}
        learned = [name for name in categories if name in dataset.categories]
        self._rows = dataset.select(
            split=SPLIT if SPLIT in known else None, categories=learned or None
        )
        self._count = min(POINTS, dataset.points_per_shape)

    def nearest(self, cloud: NDArray[np.floating]) -> Neighbour:
        """The exact nearest shape by proportion-free Chamfer distance.

        Args:
            cloud: (n, 3) in the per-shape box frame; rows that are not finite are ignored.
        Raises:
            InputError: a wrong shape, or no finite point.
        """
        sample = np.asarray(cloud, dtype=np.float32)
        if sample.ndim != 2 or sample.shape[1] != 3:
            raise InputError(f"a cloud must be (n, 3), got {sample.shape}")
        sample = sample[np.isfinite(sample).all(1)]
        if not len(sample):
            raise InputError("the cloud has no finite point")
        few = np.linspace(0, len(sample) - 1, min(self._count, len(sample))).astype(int)
        query = proportion_free(sample[None, few])
        bounds = lower_bounds(sketch(query), self._sketches, mirrors=True)[0]
        backend = pick_backend("cd", self._count)
        distance, mirrored, place = search(query[0], self._framed, bounds, backend)
        row = int(self._rows[place])
        entry, found = self._dataset.rows[row], self._dataset.points([row], self._count)[0]
        relation = relate(sample[few], found, mirrored)
        points = found * MIRROR if relation.mirrored else found
        return Neighbour(row, entry.id, entry.category, distance, points, relation)

    @cached_property
    def _sketches(self) -> Sketches:
        starts = range(0, len(self._rows), BLOCK_SHAPES)
        places = np.arange(len(self._rows))
        return concatenate_sketches(
            [sketch(self._framed(places[k : k + BLOCK_SHAPES])) for k in starts]
        )

    def _framed(self, places: NDArray[np.int64]) -> Cloud:
        return proportion_free(self._dataset.points(self._rows[places], self._count))


def relate(sample: Cloud, shape: Cloud, mirrored: bool) -> Relation:
    """The transformation from a training shape (m, 3) to a sample (n, 3).

    Args:
        mirrored: whether the mirror image is nearer; ignored for symmetric shapes, where that is
            chance.
    """
    if mirrored:
        one, other = (proportion_free(cloud[None]) for cloud in (sample, shape))
        plain, image = (
            chamfer_table(one, faced, "kdtree")[0, 0] for faced in (other, other * MIRROR)
        )
        mirrored = bool(image < CLEARLY * plain)
    sides = []
    for cloud in (sample, shape):
        side = np.ptp(cloud.astype(np.float64), axis=0)
        sides.append(np.maximum(side, max(FLAT * side.max(), 1e-30)))
    factors = sides[0] / sides[1]
    x, y, z = (factors / factors.max()).tolist()
    return Relation(mirrored, (x, y, z))
