"""The training shape nearest to each sample: what honesty asks to be shown beside it.

Found proportion-free, mirror images included, by :func:`pcgen.evaluate.novelty.search`; so a
stretched copy stands beside its original. What is shown is the training shape in its own
proportions, mirrored where its mirror image was the nearer one; a note says both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.evaluate.distance_bounds import Sketches, concatenate_sketches, lower_bounds, sketch
from pcgen.evaluate.distances import chamfer_table, pick_backend
from pcgen.evaluate.novelty import MIRROR, search
from pcgen.shapes.normalise import FLAT, proportion_free

if TYPE_CHECKING:
    from pcgen.shapes.store import Dataset

BLOCK_SHAPES = 512  # that are read at a time
# Mirror images of a symmetric shape are as near as itself, but for the sampling.
CLEARLY = 0.8
NOTABLE = 0.05  # of a side, from which on a stretch is worth a word

Cloud = NDArray[np.float32]


@dataclass(frozen=True)
class Relation:
    """What must be done to a training shape for it to lie where a sample lies.

    Attributes:
        mirrored: in x.
        stretch: factors along x, y and z, the largest 1.
    """

    mirrored: bool = False
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __str__(self) -> str:
        """``mirrored, stretched 1 : 0.62 : 0.8``, or "" where there is nothing to say."""
        said = ["mirrored"] if self.mirrored else []
        if min(self.stretch) < 1 - NOTABLE:
            said.append("stretched " + " : ".join(f"{factor:.2g}" for factor in self.stretch))
        return ", ".join(said)


@dataclass(frozen=True)
class Neighbour:
    """One training shape.

    Attributes:
        row: its number in the data set; id, category: its names there.
        distance: proportion-free Chamfer distance to the sample: squared, mean per side, added.
        points: (n, 3) float32, in the per-shape box frame, mirrored where ``relation`` says so.
        relation: what makes the sample of it.
    """

    row: int
    id: str
    category: str
    distance: float
    points: Cloud
    relation: Relation = Relation()


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
            points: of each shape in the comparison, fewer where it has fewer.
        """
        self._dataset = dataset
        known = {row.split for row in dataset.rows}
        learned = [name for name in categories if name in dataset.categories]
        self._rows = dataset.select(
            split=split if split in known else None, categories=learned or None
        )
        self._count = min(points, dataset.points_per_shape)

    def nearest(self, cloud: NDArray[np.floating]) -> Neighbour:
        """The nearest by proportion-free Chamfer distance, of all and exactly.

        Args:
            cloud: (n, 3) in the per-shape box frame; rows that are not finite are left out.
        Raises:
            InputError: the cloud has another shape or no finite point.
        """
        sample = np.asarray(cloud, dtype=np.float32)
        if sample.ndim != 2 or sample.shape[1] != 3:
            raise InputError(f"a cloud must be (n, 3), got {sample.shape}")
        sample = sample[np.isfinite(sample).all(1)]
        if not len(sample):
            raise InputError("the cloud has no finite point, so no shape is near it")
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
    """How a training shape (m, 3) becomes a sample (n, 3) that it is nearest to.

    Args:
        mirrored: whether its mirror image is the nearer one; with a symmetric shape that is
            chance, and not said.
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
