"""One shape of a source: its location, and how to open it."""

from __future__ import annotations

import functools
import io
import math
import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen import remote
from pcgen.errors import DataError, InputError, MeshError
from pcgen.files import parse_json
from pcgen.shapes.arrays import read_array, read_header
from pcgen.shapes.cloud_arrays import (
    CloudArray,
    cloud_of,
    find_cloud_arrays,
    hdf5_cloud,
    only_cloud_array,
    shape_advice,
    with_labels,
)
from pcgen.shapes.clouds import Cloud, OpenedShape
from pcgen.shapes.formats import ARRAY_SUFFIXES, LOOSE_SUFFIXES, MESH_SUFFIXES, POINT_SUFFIXES
from pcgen.shapes.formats.polygons import joined
from pcgen.shapes.formats.text import looks_like_points
from pcgen.shapes.listing import Entry, on_disk, open_archive, read_entry
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.reading import open_bytes, read_beside

#: Suffixes of meshes, scans, and arrays of one cloud (P, 3) or many (N, P, 3).
SHAPE_SUFFIXES = (*MESH_SUFFIXES, *POINT_SUFFIXES, *ARRAY_SUFFIXES)
HDF5 = (".h5", ".hdf5")


@dataclass(frozen=True)
class SourceItem:
    """A shape that was found but not read.

    Attributes:
        id: unique in the source: ``<category>/<name>``.
        category: its name.
        split: that of the layout, or None.
        entry: its file.
        names: its names in a splits file besides the id, the most specific first.
        array: name of its array in the file (HDF5, ``.npz``).
        normals: name of the array of its normals.
        row: number of its cloud in an array (N, P, 3); None if the file is one shape.
        siblings: tables that describe the shape.
        parts: further files that belong to the shape.
        points: size of the cloud, if the layout knows it.
    """

    id: str
    category: str
    split: str | None
    entry: Entry
    names: tuple[str, ...] = ()
    array: str | None = None
    normals: str | None = None
    row: int | None = None
    siblings: tuple[Entry, ...] = ()
    parts: tuple[Entry, ...] = ()
    points: int | None = None

    @property
    def where(self) -> str:
        """Its location, for messages."""
        array = f":{self.array}" if self.array else ""
        row = "" if self.row is None else f"[{self.row}]"
        return f"{self.entry.where}{array}{row}"


def open_item(item: SourceItem) -> OpenedShape:
    """Read and check one shape, see :mod:`pcgen.shapes.reading`.

    Raises:
        MeshError, InputError: it cannot be used; the message says why.
    """
    entry, suffix = item.entry, item.entry.suffix
    if suffix in ARRAY_SUFFIXES:
        return _array_cloud(item)
    sibling = functools.partial(_sibling, item)
    if not item.parts:
        return open_bytes(read_entry(entry), suffix, sibling)
    wanted = _listed_parts(item)
    opened = [
        open_bytes(read_entry(part), part.suffix, sibling)
        for part in (entry, *item.parts)
        if not wanted or part.stem in wanted
    ]
    meshes = [one.shape for one in opened if isinstance(one.shape, Mesh)]
    if len(meshes) < max(len(opened), 1):
        raise MeshError(f"{len(opened) - len(meshes)} of its {len(opened)} parts are not meshes")
    whole = Mesh(*joined([(mesh.vertices, mesh.faces) for mesh in meshes]))
    return OpenedShape(whole, tuple(note for one in opened for note in one.notes))


def cloud_size(item: SourceItem) -> int | None:
    """The number of usable points of a cloud; None for meshes and damaged files.

    Arrays are measured by their header; scans are read, to count finite points only.
    """
    entry, suffix = item.entry, item.entry.suffix
    if item.points is not None:
        return item.points
    try:
        if suffix == ".npy":
            return array_shape(entry)[-2]
        if suffix in MESH_SUFFIXES and suffix != ".ply":
            return None
        if suffix == ".ply":
            from pcgen.shapes.formats.ply import FACES
            from pcgen.shapes.formats.ply import read_header as read_ply_header

            _, elements, _ = read_ply_header(_head(entry))
            if any(e.count and e.name in FACES for e in elements):
                return None
        shape = open_item(item).shape
        return len(shape.points) if isinstance(shape, Cloud) else None
    except (InputError, MeshError, IndexError):
        return None


def is_shape(entry: Entry) -> bool:
    """Whether a file is a shape, by its suffix or, for text files, by its first lines."""
    if entry.suffix in SHAPE_SUFFIXES:
        return True
    if entry.suffix not in LOOSE_SUFFIXES:
        return False
    try:
        return looks_like_points(_head(entry, 4096))
    except MeshError:  # such as commas of two meanings: whoever reads it says so
        return True
    except (InputError, OSError):
        return False


def cloud_arrays_of(entry: Entry) -> list[CloudArray]:
    """The arrays of clouds in a ``.npy``, ``.npz`` or PyTorch file, from its headers.

    Raises:
        InputError: none can be used; the message says why.
    """
    if entry.suffix == ".npy":
        shape = array_shape(entry)
        found = find_cloud_arrays({"": shape})
        if not found:
            raise InputError(
                f"an array of clouds must be (N, P, 3) or (P, 3), got {shape}{shape_advice(shape)}"
            )
        return found
    arrays = _arrays(entry)
    return [
        with_labels(arrays, only_cloud_array({n: a.shape for n, a in arrays.items()}, entry.where))
    ]


def array_shape(entry: Entry) -> tuple[int, ...]:
    """The shape of a ``.npy`` entry, from its header; InputError if the file size differs."""
    head = io.BytesIO(_head(entry))
    shape, dtype, _ = read_header(head, entry.path)
    if math.prod(shape) * dtype.itemsize != entry.size - head.tell():
        raise InputError(f"it states {shape} of {dtype}, which does not fit its {entry.size} bytes")
    return shape


def _head(entry: Entry, size: int = 65536) -> bytes:
    if entry.member is None:
        if remote.is_url(entry.file):
            return remote.read_url(entry.file, size)
        with open(entry.file, "rb") as handle:
            return handle.read(size)
    with open_archive(entry.file).open(entry.member) as handle:
        return handle.read(size)


def _array_cloud(item: SourceItem) -> OpenedShape:
    entry, row = item.entry, item.row
    if entry.suffix in HDF5:
        return hdf5_cloud(on_disk(entry), item.array or "", row, item.normals)
    if entry.suffix == ".npy":
        array, normals = _open_array(entry), None
    else:
        arrays = _arrays(entry)
        cloud_array = only_cloud_array({name: a.shape for name, a in arrays.items()}, entry.where)
        array = arrays[cloud_array.array]
        normals = None if cloud_array.normals is None else arrays[cloud_array.normals]
    if array.ndim != (2 if row is None else 3):
        raise MeshError(f"the array must be (P, 3) or (N, P, 3) numbers, got {array.shape}")
    take = np.array if row is None else lambda whole: np.array(whole[row])
    return cloud_of(take(array), None if normals is None else take(normals))


@functools.lru_cache(maxsize=1)
def _arrays(entry: Entry) -> dict[str, NDArray[Any]]:
    """All arrays of a ``.npz`` or PyTorch file; those of the last file stay in memory."""
    from pcgen.shapes.arrays import read_npz
    from pcgen.shapes.sandbox import read_sandboxed

    if entry.suffix != ".npz":
        file = on_disk(entry)
        path = file if isinstance(file, Path) else Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        try:
            return read_sandboxed("torch", path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), entry.where)) from None
    if entry.member is None:
        return read_npz(remote.on_disk(entry.file))
    return read_npz(io.BytesIO(read_entry(entry)), where=entry.where)


@functools.lru_cache(maxsize=1)
def _open_array(entry: Entry) -> NDArray[Any]:
    """A ``.npy`` entry, memory-mapped unless it is in an archive; the last one stays open."""
    if entry.member is not None:
        data = read_entry(entry)
        return read_array(io.BytesIO(data), len(data), entry.path)
    path = remote.on_disk(entry.file)
    with path.open("rb") as handle:
        shape, dtype, fortran = read_header(handle, entry.path)
        offset = handle.tell()
    try:
        return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
    except (ValueError, OSError) as error:
        raise InputError(f"the array file is truncated or damaged ({error})") from None


def _sibling(item: SourceItem, name: str) -> bytes:
    """A file that a glTF refers to, in its own folder or below."""
    entry = item.entry
    wanted = posixpath.normpath(name)
    if wanted.startswith(("/", "../")) or "://" in name:
        raise MeshError(f"it refers to {name}, outside its own folder; refused")
    try:
        if entry.member is not None:
            folder, mark, _ = entry.member.replace("\\", "/").rpartition("/")
            member = f"{folder}{mark}{wanted}"
            if "\\" in entry.member:  # an archive from Windows
                member = member.replace("/", "\\")
            info = open_archive(entry.file).getinfo(member)
            return read_entry(Entry(wanted, info.file_size, entry.file, member, info.CRC))
        if remote.is_url(entry.file):
            return remote.read_url(posixpath.join(posixpath.dirname(entry.file), wanted))
        return read_beside(Path(entry.file), wanted)
    except (InputError, DataError, KeyError, OSError):
        raise MeshError(f"it refers to {name}, which is not beside it") from None


def _listed_parts(item: SourceItem) -> set[str]:
    """The parts at the leaves of PartNet's ``result.json``; empty if it is absent."""
    for entry in item.siblings:
        if entry.path.endswith("result.json"):
            found: set[str] = set()
            try:
                waiting = list(parse_json(read_entry(entry)))
                while waiting:
                    node = waiting.pop()
                    children = node.get("children", [])
                    waiting += children
                    if not children:
                        found.update(map(str, node.get("objs", [])))
            except (ValueError, TypeError, AttributeError, RecursionError, InputError):
                return set()
            return found
    return set()
