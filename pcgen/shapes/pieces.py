"""The unfinished data set: pieces that workers make, and the arrays made of them at the end.

A piece is a run of consecutive items. Workers convert it, the process that leads them writes it,
once: its arrays are flushed before its record is, so a record means a whole piece; whoever finds
one need not do it again. What an item becomes depends on its id, its file and the settings
alone: not on the piece, the worker, the machine or the order.
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
from pcgen.shapes.axes import raised
from pcgen.shapes.clouds import Cloud
from pcgen.shapes.items import Item, open_item
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.normalise import box_frame
from pcgen.shapes.solid import NUMBERS, sample_solid
from pcgen.shapes.store import Row, shape_hash
from pcgen.shapes.surface import sample_surface
from pcgen.shapes.tree import check_visible
from pcgen.shapes.writer import as_point

TRAINABLE = 96  # points a shape: two thirds of them, 64, are the least to learn from
PIECE_SIZE = 32  # shapes: a second or two of work, the most that a kill costs


@dataclass(frozen=True)
class Piece:
    """A task for a worker: items to convert into one file.

    Attributes:
        number: of the piece; its files carry it.
        folder: where they go; workers never look there.
        source: what the items are in; there must be something on every machine that works.
        items: the shapes, in the order of the data set.
        points: how many to store of each.
        seed: of the data set.
        skip: positions of items known to kill the worker, and why.
        up: the axis of the source that points up.
        solids: places of each mesh with their signed distance, 0 for none.
    """

    number: int
    folder: Path
    source: str
    items: tuple[Item, ...]
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
class Converted:
    """What a worker made of a piece.

    Attributes:
        record: what became of each item: its frame and hashes, or the reason to leave it out.
        arrays: points, normals and solids of the accepted items, by name; none without accepted
            items, and no solids where no item has any.
    """

    record: list[dict[str, Any]]
    arrays: dict[str, NDArray[Any]]


def convert(piece: Piece, announce: Announce) -> Converted:
    """Turn the items of a piece into arrays and a record of what became of each.

    Raises:
        DataError: the source cannot be seen from this machine.
    """
    check_visible(piece.source)
    points: list[NDArray[np.float32]] = []
    normals: list[NDArray[np.float16]] = []
    solids: list[NDArray[np.float16]] = []
    record: list[dict[str, Any]] = []
    for position, item in enumerate(piece.items):
        if position in piece.skip:
            record.append({"reason": piece.skip[position]})
            continue
        announce(position)
        try:
            # Broken numbers are looked for by name; a worker's warnings would reach nobody.
            with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
                shape = convert_item(item, piece.points, piece.seed, piece.up, piece.solids)
        except (PcgenError, MemoryError, ArithmeticError, LookupError, ValueError) as error:
            record.append({"reason": _reason(error)})
            continue
        points.append(shape.points)
        half = shape.normals
        normals.append(np.zeros_like(shape.points, np.float16) if half is None else half)
        solid = shape.solid
        solids.append(np.zeros((piece.solids, NUMBERS), np.float16) if solid is None else solid)
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
    if piece.solids and points:
        arrays["solids"] = np.stack(solids)
    return Converted(record, arrays)


def write_piece(piece: Piece, made: Converted) -> None:
    """Keep a piece: arrays first, then the record that says they are whole."""
    for name, array in made.arrays.items():
        write_npy(piece.array(name), array)
    write_json(piece.record, made.record)


@dataclass(frozen=True)
class Shape:
    """One shape as it is stored: box frame, and the way back.

    Attributes:
        solid: (S, 4) signed distances of a mesh, see :func:`pcgen.shapes.solid.sample_solid`.
        notes: what was not understood in its file; content: a hash of what was.
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float16] | None
    centre: tuple[float, float, float]
    scale: float
    solid: NDArray[np.float16] | None = None
    notes: tuple[str, ...] = ()
    content: str = ""


def convert_item(item: Item, count: int, seed: int, up: str = "y", solids: int = 0) -> Shape:
    """Read an item and draw ``count`` points of it, of a mesh also ``solids`` signed distances.

    Meshes are sampled by area and framed by the box of their surface; of clouds a random subset
    is taken, or all in their order, and they are framed by the box of all their points.

    Raises:
        MeshError, InputError: why it cannot be used.
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
        raised(cloud.points, up), None if cloud.normals is None else raised(cloud.normals, up)
    )
    try:
        frame = box_frame(raised(extent, up)[None])
    except InputError as error:
        raise MeshError(str(error)) from None
    stored = ((cloud.points - frame.centre[0]) / frame.scale[0]).astype(np.float32)
    half = None if cloud.normals is None else cloud.normals.astype(np.float16)
    solid = None
    if solids and isinstance(shape, Mesh):
        # A generator of its own: the points are the same with and without solids.
        other = np.random.default_rng([shape_seed(item.id, seed), 1])
        solid = sample_solid(Mesh(raised(shape.vertices, up), shape.faces), solids, other)
    centre, scale = as_point(frame.centre[0]), float(frame.scale[0])
    return Shape(stored, half, centre, scale, solid, notes, content)


def _content_hash(shape: Mesh | Cloud) -> str:
    """Equal for shapes that were read as the same numbers, under whatever name."""
    arrays = (shape.vertices, shape.faces) if isinstance(shape, Mesh) else (shape.points,)
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


def shape_seed(name: str, seed: int) -> int:
    """The seed of one shape: its id's and the data set's, nobody else's."""
    digest = hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:16])


def read_record(piece: Piece) -> list[dict[str, Any]] | None:
    """The record of a finished piece; None where it has to be done, again if it is damaged."""
    try:
        record = parse_json(read_text(piece.record))
    except (OSError, ValueError):
        return None
    whole = isinstance(record, list) and len(record) == len(piece.items)
    return record if whole and all(map(_is_outcome, record)) else None


def _is_outcome(entry: Any) -> bool:
    """Whether a record says in full what became of an item."""
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


def rows_of(piece: Piece, record: list[dict[str, Any]], with_normals: bool) -> Iterator[Row]:
    """The index rows of a piece's accepted items."""
    for item, outcome in zip(piece.items, record, strict=True):
        if "reason" not in outcome:
            yield Row(
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
    pieces: list[tuple[Piece, int]],
    points: int,
    names: list[str],
    solids: int = 0,
) -> None:
    """Join the arrays of all pieces, deleting each piece once it is safely copied.

    Interrupted at any moment, it goes on where it was: a piece that is still there is copied
    (again), one that is gone has been. So the disk holds the data once, not twice.

    Args:
        pieces: each with the number of its accepted items.
        names: of the arrays to make; those of the pieces not named are deleted.
        solids: places of a shape in the array of that name, 0 for no such array.
    """
    total = sum(count for _, count in pieces)
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
                for piece, _ in pieces:
                    piece.array(name).unlink(missing_ok=True)
                continue
            header = npy_header(kind, (total, *shape))
            size = math.prod(shape) * kind.itemsize
            if not target.exists():
                with atomic_file(target) as temporary, temporary.open("wb") as handle:
                    handle.write(header)
                    handle.truncate(len(header) + total * size)
            with target.open("r+b") as handle:
                _copy_pieces(handle, len(header), size, name, pieces)


def _copy_pieces(
    handle: Any, offset: int, size: int, name: str, pieces: list[tuple[Piece, int]]
) -> None:
    for piece, count in pieces:
        path = piece.array(name)
        if path.exists():
            array = _read_array(path, piece)
            if array.nbytes != count * size:
                raise _damaged(path, piece)
            handle.seek(offset)
            handle.write(array.tobytes())
            handle.flush()
            os.fsync(handle.fileno())
            path.unlink()
        offset += count * size


def _read_array(path: Path, piece: Piece) -> NDArray[Any]:
    try:
        return read_npy(path)
    except InputError:
        raise _damaged(path, piece) from None


def _damaged(path: Path, piece: Piece) -> DataError:
    return DataError(f"{path} is damaged; remove {piece.folder.parent} and start again")


def _subset(cloud: Cloud, count: int, generator: np.random.Generator) -> Cloud:
    have = len(cloud.points)
    if have < count:
        remedy = (
            f"prepare with --points {have}"
            if have >= TRAINABLE
            else f"fewer than the {TRAINABLE} that training needs; leave it out or scan it again"
        )
        raise InputError(f"it has {have} points, {count} are needed; {remedy}")
    if have == count:
        return cloud
    chosen = generator.permutation(have)[:count]
    return Cloud(cloud.points[chosen], None if cloud.normals is None else cloud.normals[chosen])


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "reading it needs more memory than one worker may have"
    if isinstance(error, PcgenError):
        return str(error)
    return f"not readable ({type(error).__name__}: {error})"
