"""Read published data sets of clouds in place, without preparing them.

Supported are PointFlow's ``<synset>/<split>/<model>.npy`` and HDF5 arrays ``{synset}/{split}``.
Metrics equal those of the prepared data set up to rounding; a prepared one is faster to read.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pcgen import progress
from pcgen.errors import DataError, InputError, MeshError
from pcgen.shapes.clouds import Cloud
from pcgen.shapes.items import HDF5, SourceItem, cloud_size, open_item
from pcgen.shapes.layouts import Found, hdf5
from pcgen.shapes.layouts.paths import PATH_LAYOUTS
from pcgen.shapes.listing import Listing, scan
from pcgen.shapes.split_names import SPLIT_NAMES
from pcgen.shapes.store import Dataset, IndexRow


@dataclasses.dataclass(frozen=True)
class PublishedDataset(Dataset):
    """A published data set with the interface of a prepared one; points are in original units.

    Attributes:
        items: one per row, in the same order.
    """

    items: tuple[SourceItem, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return open_published, (self.path,)

    def points_in(self, rows: ArrayLike, window: slice) -> NDArray[np.float32]:
        """See :meth:`Dataset.points_in`; the frame of every row is the identity.

        Raises:
            DataError: a shape cannot be read, or has another number of points than the first.
        """
        rows = self._rows(rows)
        found = np.empty((len(rows), window.stop - window.start, 3), np.float32)
        for place, row in enumerate(rows):
            found[place] = self._cloud(int(row))[window]
        return found

    def _cloud(self, row: int) -> NDArray[np.float64]:
        item = self.items[row]
        try:
            cloud = open_item(item).shape
        except (InputError, MeshError) as error:
            raise DataError(f"{self.path}: {item.where}: {error}") from None
        assert isinstance(cloud, Cloud)  # both layouts hold nothing else
        if len(cloud.points) != self.points_per_shape:
            raise DataError(
                f"{self.path}: {item.where} has {len(cloud.points)} points and the first shape "
                f"{self.points_per_shape}; pcgen prepare accepts clouds of different sizes"
            )
        return cloud.points


@functools.lru_cache(maxsize=4)  # listing ShapeNet takes seconds
def open_published(path: Path) -> PublishedDataset | None:
    """The published data set at ``path``, or the folder of one synset; None for other paths.

    Raises:
        DataError: it is empty, or its first shape cannot be read.
    """
    found = _find(path)
    if found is None:
        return None
    if not found.items:
        left = [f"{one.item}: {one.reason}" for one in found.rejected[:1]]
        raise DataError(f"{path} holds no clouds; {''.join(left) or 'it is empty'}")
    items = tuple(sorted(found.items, key=lambda item: item.id))
    points = cloud_size(items[0])
    if points is None:
        raise DataError(f"{path}: {items[0].where} is not a readable cloud")
    rows = [
        IndexRow(item.id, item.category, item.split or "all", item.where, "", (0.0, 0.0, 0.0), 1.0)
        for item in items
    ]
    progress.say(f"{path}: {len(rows)} shapes, read in place")
    return PublishedDataset(path, rows, {"points_per_shape": points, "has_normals": False}, items)


def _find(path: Path) -> Found | None:
    if path.is_file():
        return hdf5.find(scan(path)) if path.suffix.lower() in HDF5 else None
    if not path.is_dir() or any(child.suffix == ".npy" for child in path.iterdir()):
        return None
    listing = scan(path)
    if any((path / name).is_dir() for name in SPLIT_NAMES):  # the folder of one synset
        name = path.resolve().name
        moved = [dataclasses.replace(e, path=f"{name}/{e.path}") for e in listing.entries]
        listing = Listing(listing.name, tuple(moved))
    for layout in (PATH_LAYOUTS["pc15k"], hdf5):
        if layout.recognises(listing):
            return layout.find(listing)
    return None
