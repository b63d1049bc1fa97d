"""Open a prepared data set, a folder with these files:

====================  ==========================================================================
``dataset.json``      format version, counts, content hash, the settings it was made with
``index.csv``         one row per shape: id, category, split, source, sha256, centre, scale
``points.npy``        (count, P, 3) float32, in each shape's box frame
``normals.npy``       (count, P, 3) float16 unit vectors, zero if unknown; absent if all are
``solids.npy``        (count, S, 4) float16: points and their signed distances to a mesh, see
                      :mod:`pcgen.shapes.signed_distances`; zero for clouds, absent if all are
``report.json``       what was read, what was rejected and why
====================  ==========================================================================

Row k of the index is row k of the arrays. Points of a shape are independent samples of its surface,
so any range of them samples it uniformly.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pcgen.datatypes import Frame
from pcgen.errors import DataError, InputError
from pcgen.files import check_regular, parse_json, read_text
from pcgen.shapes.arrays import read_header
from pcgen.shapes.axes import AXES
from pcgen.shapes.signed_distances import NUMBERS

FORMAT = "pcgen-dataset"
VERSION = 1
COLUMNS = ("id", "category", "split", "source", "sha256", "cx", "cy", "cz", "scale")

#: ``first`` are the first two thirds of a shape's points, for training, ``last`` the rest, for
#: references: of 15,000, the 10,000 and 5,000 of PointFlow's protocol.
Part = Literal["all", "first", "last"]


class IndexRow(NamedTuple):
    """One shape: points in original units are ``stored * scale + centre``."""

    id: str
    category: str
    split: str
    source: str
    sha256: str
    centre: tuple[float, float, float]
    scale: float


@dataclass(frozen=True)
class Dataset:
    """A data set opened read-only; see :meth:`open`. Shapes are referred to by row number.

    Attributes:
        path: its folder.
        rows: one :class:`IndexRow` per shape.
        meta: the content of ``dataset.json``.
    """

    path: Path
    rows: Sequence[IndexRow]
    meta: dict[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> Dataset:
        """Open a folder that ``pcgen prepare`` wrote.

        Raises:
            DataError: missing, not a data set, of an unknown version, or damaged.
        """
        path = Path(path)
        if not (path / "dataset.json").is_file():
            unfinished = path.with_name(path.name + ".part")
            hint = (
                f"; {unfinished} holds an unfinished one, run the same prepare command to resume"
                if unfinished.is_dir()
                else "; make one with: pcgen prepare SOURCE --out DATASET"
            )
            raise DataError(f"no data set at {path}{hint}")
        meta = _read_meta(path / "dataset.json")
        rows = _read_index(path / "index.csv")
        dataset = cls(path, rows, meta)
        wanted = (meta["count"], meta["points_per_shape"], 3)
        if len(rows) != wanted[0] or dataset.memmap_points.shape != wanted:
            raise DataError(
                f"{path} is damaged: dataset.json states {wanted}, index.csv has {len(rows)} "
                f"rows and points.npy is {dataset.memmap_points.shape}; prepare it again"
            )
        if dataset.has_normals and dataset.memmap_normals.shape != wanted:
            raise DataError(f"{path} is damaged: normals.npy is {dataset.memmap_normals.shape}")
        if dataset.has_solids:
            found = dataset.memmap_solids.shape
            if (found[0], found[2]) != (wanted[0], NUMBERS):
                raise DataError(f"{path} is damaged: solids.npy is {found}")
        return dataset

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process maps the arrays itself, so the pickle does not contain them.
        return Dataset.open, (self.path,)

    @property
    def ids(self) -> list[str]:
        return [row.id for row in self.rows]

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The names of the categories that have a shape, sorted."""
        return tuple(sorted({row.category for row in self.rows}))

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits that have a shape, sorted."""
        return tuple(sorted({row.split for row in self.rows}))

    @property
    def count(self) -> int:
        return len(self.rows)

    @property
    def points_per_shape(self) -> int:
        return int(self.meta["points_per_shape"])

    @property
    def content_hash(self) -> str:
        """A hash of all points, ids, categories and splits; equal for equal data sets."""
        return str(self.meta["content_hash"])

    @property
    def has_normals(self) -> bool:
        return bool(self.meta["has_normals"])

    @property
    def has_solids(self) -> bool:
        """Whether signed distances are stored; of shapes that are clouds they are all zero."""
        return (self.path / "solids.npy").is_file()

    @property
    def up(self) -> str:
        """The up axis of the source; that of the data set is y."""
        up = _settings(self.meta).get("up", "y")
        return up if up in AXES else "y"

    @property
    def unit(self) -> str:
        """The name of the source's length unit; "" if unknown."""
        return str(_settings(self.meta).get("unit", ""))

    def select(
        self, *, split: str | None = None, categories: Iterable[str] | None = None
    ) -> NDArray[np.int64]:
        """The row numbers of a split, of some categories, or of both.

        Raises:
            DataError: an unknown name (the message lists the known ones), or no row is left.
        """
        names = None if categories is None else list(categories)
        for name in names or ():
            _check_known("category", name, self.categories)
        if split is not None:
            _check_known("split", split, self.splits)
        rows = [
            number
            for number, row in enumerate(self.rows)
            if (split is None or row.split == split) and (names is None or row.category in names)
        ]
        if not rows:
            raise DataError(f"{self.path} has no shape of split {split} in {names}")
        return np.array(rows, np.int64)

    def points(
        self, rows: ArrayLike, count: int | None = None, *, part: Part = "all"
    ) -> NDArray[np.float32]:
        """The first ``count`` points of ``part`` of some rows, in the per-shape box frame.

        Returns:
            (n, count, 3) float32, a copy; [-1, 1] along each shape's longest side.
        """
        return self.points_in(rows, self._window(part, count))

    def points_in(self, rows: ArrayLike, window: slice) -> NDArray[np.float32]:
        """The points of some rows in the range ``window``, as :meth:`points`; reads no others."""
        return np.array(self.memmap_points[self._rows(rows), window], np.float32)

    def normals(
        self, rows: ArrayLike, count: int | None = None, *, part: Part = "all"
    ) -> NDArray[np.float32]:
        """Unit normals of the points that :meth:`points` gives, (n, count, 3) float32."""
        if not self.has_normals:
            raise DataError(f"{self.path} has no normals: it was made from clouds without them")
        rows, window = self._rows(rows), self._window(part, count)
        return np.array(self.memmap_normals[rows, window], np.float32)

    def known_normals(self, row: int, count: int | None = None) -> NDArray[np.float32] | None:
        """The normals (count, 3) of one row; None if its source had none."""
        normals = self.normals([row], count)[0] if self.has_normals else None
        return normals if normals is not None and normals.any() else None

    def frame(self, rows: ArrayLike) -> Frame:
        """The frame of some rows: ``points * scale + centre`` gives original units."""
        chosen = [self.rows[int(number)] for number in self._rows(rows)]
        return Frame(
            centre=np.array([row.centre for row in chosen], np.float64).reshape(-1, 3),
            scale=np.array([row.scale for row in chosen], np.float64),
        )

    @cached_property
    def memmap_points(self) -> NDArray[np.float32]:
        """All points, (count, P, 3), memory-mapped."""
        return map_array(self.path / "points.npy", np.float32)

    @cached_property
    def memmap_normals(self) -> NDArray[np.float16]:
        """All normals, (count, P, 3), memory-mapped."""
        return map_array(self.path / "normals.npy", np.float16)

    @cached_property
    def memmap_solids(self) -> NDArray[np.float16]:
        """Places and signed distances of all shapes, (count, S, 4), likewise."""
        return map_array(self.path / "solids.npy", np.float16)

    def _rows(self, rows: ArrayLike) -> NDArray[np.int64]:
        numbers = np.atleast_1d(np.asarray(rows))
        if numbers.size == 0:
            numbers = numbers.astype(np.int64)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise InputError(f"rows must be a list of row numbers, got {numbers.dtype}")
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.count:
            raise InputError(f"rows must be between 0 and {self.count - 1}, got {numbers.max()}")
        return numbers.astype(np.int64)

    def _window(self, part: Part, count: int | None) -> slice:
        total = self.points_per_shape
        cut = total * 2 // 3
        windows = {"all": (0, total), "first": (0, cut), "last": (cut, total)}
        if part not in windows:
            raise InputError(f"part must be one of {', '.join(windows)}, got {part!r}")
        start, stop = windows[part]
        count = stop - start if count is None else count
        if not 1 <= count <= stop - start:
            raise InputError(
                f"{self.path} has {stop - start} points per shape in part {part!r}, got {count}; "
                f"use fewer, or prepare it again with more --points"
            )
        return slice(start, start + count)


def shape_hash(points: NDArray[np.float32], normals: NDArray[np.float16] | None) -> str:
    """sha256 of a stored shape: its points, then its normals, little-endian."""
    digest = hashlib.sha256(np.ascontiguousarray(points, "<f4").tobytes())
    if normals is not None:
        digest.update(np.ascontiguousarray(normals, "<f2").tobytes())
    return digest.hexdigest()


def index_hash(rows: Iterable[IndexRow]) -> str:
    """A hash of all rows without their source, so that a moved source changes nothing."""
    digest = hashlib.sha256()
    for row in rows:
        fields = [row.id, row.category, row.split, row.sha256, *row.centre, row.scale]
        digest.update(json.dumps(fields).encode())
    return digest.hexdigest()


def _settings(meta: dict[str, Any]) -> dict[str, Any]:
    found = meta.get("settings")
    return found if isinstance(found, dict) else {}


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = parse_json(read_text(path))
    except (ValueError, OSError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}); prepare the data set again") from None
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise DataError(f"{path} does not describe a pcgen data set")
    if meta.get("version") != VERSION:
        raise DataError(
            f"{path.parent} has format version {meta.get('version')!r}, this pcgen reads "
            f"{VERSION}. {_remedy(path.parent, meta)}"
        )
    kinds = {"count": int, "points_per_shape": int, "has_normals": bool, "content_hash": str}
    for key, kind in kinds.items():
        if not isinstance(meta.get(key), kind):
            raise DataError(f"{path} is damaged: {key} must be {kind.__name__}")
    return meta


def _remedy(folder: Path, meta: dict[str, Any]) -> str:
    """What to do with a data set of another version."""
    found = meta.get("version")
    if type(found) is int and found > VERSION:
        return "Bring pcgen up to date with: pip install --upgrade pcgen"
    try:
        source = str(parse_json(read_text(folder / "report.json"))["source"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        source = "SOURCE"
    words = ["pcgen", "prepare", source, "--out", f"{folder}-{VERSION}"]
    settings = _settings(meta)
    for key in ("format", "points", "seed", "up", "unit"):
        if settings.get(key, "") != "":
            words += [f"--{key}", str(settings[key])]
    if settings.get("categories"):
        words += ["--categories", ",".join(map(str, settings["categories"]))]
    return f"Prepare it again with: {shlex.join(words)}"


def _read_index(path: Path) -> list[IndexRow]:
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8") as handle:
            reader = csv.reader(handle)
            if tuple(next(reader, ())) != COLUMNS:
                raise ValueError(f"columns must be {','.join(COLUMNS)}")
            rows = []
            for line in reader:
                name, category, split, source, sha256, x, y, z, scale = line
                centre = (float(x), float(y), float(z))
                rows.append(IndexRow(name, category, split, source, sha256, centre, float(scale)))
            return rows
    except (ValueError, OSError, csv.Error) as error:
        raise DataError(f"{path} is damaged ({error}); prepare the data set again") from None


def map_array(path: Path, kind: type) -> NDArray[Any]:
    """Memory-map a ``.npy`` file, read-only."""
    try:
        check_regular(path)
        with path.open("rb") as handle:
            shape, dtype, fortran = read_header(handle, str(path))
            offset = handle.tell()
        if dtype != kind or len(shape) != 3 or fortran:
            raise InputError(f"holds {shape} of {dtype}")
        return np.memmap(path, dtype, "r", offset, shape)
    except (InputError, ValueError, OSError) as error:
        raise DataError(f"{path} is damaged ({error}); prepare the data set again") from None


def _check_known(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise DataError(f"no {what} {name!r} in the data set; it has {', '.join(known)}")
