"""Convert shapes in shards, and join the shards to the arrays of a data set.

A shard is a range of consecutive items. Workers convert it and the main process writes it, arrays
before the record, so that a record means a complete shard, which is not converted again. The result
for an item depends only on its id, its file and the settings.
"""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import DataError, InputError, MeshError, PcgenError
from pcgen.files import atomic_file, parse_json, read_text, storage_errors, write_json
from pcgen.jobs.workers import Announce
from pcgen.shapes.arrays import npy_header, read_npy, write_npy
from pcgen.shapes.axes import to_y_up
from pcgen.shapes.clouds import Cloud
from pcgen.shapes.items import SourceItem, open_item
from pcgen.shapes.listing import check_visible
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.normalise import box_frame
from pcgen.shapes.signed_distances import NUMBERS, sample_signed_distances
from pcgen.shapes.store import IndexRow, shape_hash
from pcgen.shapes.surface import sample_surface
from pcgen.shapes.writer import as_point

TRAINABLE = 96  # points per shape; training uses two thirds of them and needs 64
SHARD_SIZE = 32  # shapes: a second or two of work, which is lost if the process is killed


@dataclass(frozen=True)
class Shard:
    """A task for a worker: items to convert into one file.

    Attributes:
        number: of the shard, part of its file names.
        folder: of its files; workers do not use it.
        source: location of the items, which every worker must be able to read.
        items: the shapes, in the order of the data set.
        points: to store per shape.
        seed: of the data set.
        skip: positions of items that crash a worker, with the reason.
        up: the up axis of the source.
        solids: points per mesh with a signed distance, 0 for none.
    """

    number: int
    folder: Path
    source: str
    items: tuple[SourceItem, ...]
    points: int
    seed: int
    skip: dict[int, str] = field(default_factory=dict)
    up: str = "y"
    solids: int = 0

    @property
    def record(self) -> Path:
        return self.folder / f"{self.number:06d}.json"

    def array(self, name: str) -> Path:
        return self.folder / f"{self.number:06d}.{name}.npy"


@dataclass(frozen=True)
class ConvertedShard:
    """The result of a shard.

    Attributes:
        record: for each item, its frame and hashes, or the reason why it is left out.
        arrays: points, normals and solids of the accepted items, by name; empty if there are none,
            and no solids if no item has any.
    """

    record: list[dict[str, Any]]
    arrays: dict[str, NDArray[Any]]


def convert(shard: Shard, announce: Announce) -> ConvertedShard:
    """Convert the items of a shard.

    Raises:
        DataError: the source cannot be seen from this machine.
    """
    check_visible(shard.source)
    points: list[NDArray[np.float32]] = []
    normals: list[NDArray[np.float16]] = []
    solids: list[NDArray[np.float16]] = []
    record: list[dict[str, Any]] = []
    for position, item in enumerate(shard.items):
        if position in shard.skip:
            record.append({"reason": shard.skip[position]})
            continue
        announce(position)
        try:
            # Invalid numbers are checked explicitly; nobody would see a worker's warnings.
            with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
                shape = convert_item(item, shard.points, shard.seed, shard.up, shard.solids)
        except (PcgenError, MemoryError, ArithmeticError, LookupError, ValueError) as error:
            record.append({"reason": _reason(error)})
            continue
        points.append(shape.points)
        half = shape.normals
        normals.append(np.zeros_like(shape.points, np.float16) if half is None else half)
        solid = shape.solid
        solids.append(np.zeros((shard.solids, NUMBERS), np.float16) if solid is None else solid)
        record.append(
            {
                "centre": shape.centre,
                "scale": shape.scale,
                "plain": shape_hash(shape.points, None),
                "full": shape_hash(shape.points, normals[-1]),
                "normals": half is not None,
                "solid": solid is not None,
                "notes": list(shape.notes),
                "content": shape.content,
            }
        )
    arrays: dict[str, NDArray[Any]] = {}
    if points:
        arrays = {"points": np.stack(points), "normals": np.stack(normals)}
    if shard.solids and points:
        arrays["solids"] = np.stack(solids)
    return ConvertedShard(record, arrays)


def write_shard(shard: Shard, made: ConvertedShard) -> None:
    """Write a shard: first the arrays, then the record, which marks them as complete."""
    for name, array in made.arrays.items():
        write_npy(shard.array(name), array)
    write_json(shard.record, made.record)


@dataclass(frozen=True)
class StoredShape:
    """One shape as stored: points in the box frame, with its centre and scale.

    Attributes:
        solid: (S, 4) of a mesh, see
            :func:`pcgen.shapes.signed_distances.sample_signed_distances`.
        notes: what was not understood in its file; content: a hash of the vertices or points.
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float16] | None
    centre: tuple[float, float, float]
    scale: float
    solid: NDArray[np.float16] | None = None
    notes: tuple[str, ...] = ()
    content: str = ""


def convert_item(
    item: SourceItem, count: int, seed: int, up: str = "y", solids: int = 0
) -> StoredShape:
    """Read an item and sample ``count`` points, and of a mesh ``solids`` signed distances.

    A mesh is sampled by area, and its frame is the box of its surface. Of a cloud, a random subset
    is used, or all points in their order, and its frame is the box of all points.

    Raises:
        MeshError, InputError: it cannot be used; the message says why.
    """
    generator = np.random.default_rng(shape_seed(item.id, seed))
    shape, notes = open_item(item)
    content = _content_hash(shape)
    if isinstance(shape, Mesh):
        cloud, extent = Cloud(*sample_surface(shape, count, generator)), shape.used_vertices()
    else:
        try:
            cloud, extent = _subset(shape, count, generator), shape.points
        except InputError as error:
            raise InputError(": ".join((*notes, str(error)))) from None
    cloud = Cloud(
        to_y_up(cloud.points, up), None if cloud.normals is None else to_y_up(cloud.normals, up)
    )
    try:
        frame = box_frame(to_y_up(extent, up)[None])
    except InputError as error:
        raise MeshError(str(error)) from None
    stored = ((cloud.points - frame.centre[0]) / frame.scale[0]).astype(np.float32)
    half = None if cloud.normals is None else cloud.normals.astype(np.float16)
    solid = None
    if solids and isinstance(shape, Mesh):
        # A generator of its own: the points are the same with and without solids.
        other = np.random.default_rng([shape_seed(item.id, seed), 1])
        solid = sample_signed_distances(
            Mesh(to_y_up(shape.vertices, up), shape.faces), solids, other
        )
    centre, scale = as_point(frame.centre[0]), float(frame.scale[0])
    return StoredShape(stored, half, centre, scale, solid, notes, content)


def _content_hash(shape: Mesh | Cloud) -> str:
    """A hash of the numbers of a shape, independent of its name."""
    arrays = (shape.vertices, shape.faces) if isinstance(shape, Mesh) else (shape.points,)
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


def shape_seed(name: str, seed: int) -> int:
    """The seed of one shape, from its id and the seed of the data set."""
    digest = hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:16])


def read_record(shard: Shard) -> list[dict[str, Any]] | None:
    """The record of a finished shard; None if it is missing or damaged."""
    try:
        record = parse_json(read_text(shard.record))
    except (OSError, ValueError):
        return None
    whole = isinstance(record, list) and len(record) == len(shard.items)
    return record if whole and all(map(_is_outcome, record)) else None


def _is_outcome(entry: Any) -> bool:
    """Whether an entry of a record is complete."""
    if not isinstance(entry, dict):
        return False
    if "reason" in entry:
        return isinstance(entry["reason"], str)
    centre = entry.get("centre")
    numbers = [*centre, entry.get("scale")] if isinstance(centre, list) else []
    return (
        len(numbers) == 4
        and all(isinstance(number, float) and math.isfinite(number) for number in numbers)
        and isinstance(entry.get("normals"), bool)
        and isinstance(entry.get("solid", False), bool)
        and all(isinstance(entry.get(name), str) for name in ("plain", "full"))
    )


def rows_of(shard: Shard, record: list[dict[str, Any]], with_normals: bool) -> Iterator[IndexRow]:
    """The index rows of a shard's accepted items."""
    for item, outcome in zip(shard.items, record, strict=True):
        if "reason" not in outcome:
            yield IndexRow(
                id=item.id,
                category=item.category,
                split=item.split or "train",
                source=item.where,
                sha256=outcome["full" if with_normals else "plain"],
                centre=as_point(np.array(outcome["centre"])),
                scale=outcome["scale"],
            )


def assemble(
    folder: Path,
    shards: list[tuple[Shard, int]],
    points: int,
    names: list[str],
    solids: int = 0,
) -> None:
    """Join the arrays of all shards, and delete each shard after it is safely copied.

    After an interruption at any moment, the call resumes: a shard that still exists is copied
    (again), a missing one is already copied. So the disk never holds the data twice.

    Args:
        shards: each with the number of its accepted items.
        names: of the arrays to make; the shards of other arrays are deleted.
        solids: points per shape in the array of that name, 0 for no such array.
    """
    total = sum(count for _, count in shards)
    kinds: dict[str, tuple[np.dtype[Any], tuple[int, int]]] = {
        "points": (np.dtype("<f4"), (points, 3)),
        "normals": (np.dtype("<f2"), (points, 3)),
        "solids": (np.dtype("<f2"), (solids, NUMBERS)),
    }
    names = [*names, "solids"] if solids else names
    with storage_errors(folder):
        for name, (kind, shape) in kinds.items():
            target = folder / f"{name}.npy"
            if name not in names:
                for shard, _ in shards:
                    shard.array(name).unlink(missing_ok=True)
                continue
            header = npy_header(kind, (total, *shape))
            size = math.prod(shape) * kind.itemsize
            if not target.exists():
                with atomic_file(target) as temporary, temporary.open("wb") as handle:
                    handle.write(header)
                    handle.truncate(len(header) + total * size)
            with target.open("r+b") as handle:
                _copy_shards(handle, len(header), size, name, shards)


def _copy_shards(
    handle: Any, offset: int, size: int, name: str, shards: list[tuple[Shard, int]]
) -> None:
    for shard, count in shards:
        path = shard.array(name)
        if path.exists():
            array = _read_array(path, shard)
            if array.nbytes != count * size:
                raise _damaged(path, shard)
            handle.seek(offset)
            handle.write(array.tobytes())
            handle.flush()
            os.fsync(handle.fileno())
            path.unlink()
        offset += count * size


def _read_array(path: Path, shard: Shard) -> NDArray[Any]:
    try:
        return read_npy(path)
    except InputError:
        raise _damaged(path, shard) from None


def _damaged(path: Path, shard: Shard) -> DataError:
    return DataError(f"{path} is damaged; remove {shard.folder.parent} and run the command again")


def _subset(cloud: Cloud, count: int, generator: np.random.Generator) -> Cloud:
    have = len(cloud.points)
    if have < count:
        remedy = (
            f"prepare with --points {have}"
            if have >= TRAINABLE
            else f"training needs at least {TRAINABLE}; leave it out or scan it again"
        )
        raise InputError(f"it has {have} points, {count} are needed; {remedy}")
    if have == count:
        return cloud
    chosen = generator.permutation(have)[:count]
    return Cloud(cloud.points[chosen], None if cloud.normals is None else cloud.normals[chosen])


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "reading it needs more memory than the limit of a worker"
    if isinstance(error, PcgenError):
        return str(error)
    return f"not readable ({type(error).__name__}: {error})"
