"""One shape of a source: where it lies, and how it is opened."""

from __future__ import annotations

import functools
import io
import math
import posixpath
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pcgen import remote
from pcgen.errors import InputError, MeshError
from pcgen.shapes.arrays import read_array, read_header
from pcgen.shapes.formats.ply import read_ply
from pcgen.shapes.formats.points import POINT_SUFFIXES, read_points
from pcgen.shapes.mesh_files import MESH_SUFFIXES, Mesh, check_mesh, read_mesh
from pcgen.shapes.tree import Entry, open_archive, read_entry

#: What an item may be: meshes, scans, and arrays of one cloud (P, 3) or many (N, P, 3).
SHAPE_SUFFIXES = (*MESH_SUFFIXES, *POINT_SUFFIXES, ".npy")


@dataclass(frozen=True)
class Item:
    """A shape that has been found, not read.

    Attributes:
        id: unique in the source: ``<category>/<name>``.
        category: its name.
        split: what the layout says, or None.
        entry: the file it is in.
        names: what a splits file may call it, besides its id.
        array: name of the array inside the file (HDF5).
        row: which cloud of an array (N, P, 3); None where the file is the shape.
        siblings: the files that a glTF may refer to, by path.
        points: how many the cloud has, where the layout knows.
    """

    id: str
    category: str
    split: str | None
    entry: Entry
    names: tuple[str, ...] = ()
    array: str | None = None
    row: int | None = None
    siblings: tuple[Entry, ...] = ()
    points: int | None = None

    @property
    def where(self) -> str:
        """How a person finds it."""
        array = f":{self.array}" if self.array else ""
        row = "" if self.row is None else f"[{self.row}]"
        return f"{self.entry.where}{array}{row}"


class Cloud(NamedTuple):
    """A point cloud as it came: points (P, 3) float64, and unit normals (P, 3) or None."""

    points: NDArray[np.float64]
    normals: NDArray[np.float64] | None = None


def open_item(item: Item) -> Mesh | Cloud:
    """Read one shape and check it.

    Raises:
        MeshError, InputError: the reason for which it cannot be used.
    """
    entry, suffix = item.entry, item.entry.suffix
    if suffix in (".h5", ".hdf5"):
        return check_cloud(Cloud(_read_hdf5_row(entry, item.array or "", item.row or 0)))
    if suffix == ".npy":
        return check_cloud(Cloud(_read_array_row(entry, item.row)))
    data = read_entry(entry)
    if not data:
        raise MeshError("the file is empty")
    if suffix in (*POINT_SUFFIXES, ".txt"):
        return check_cloud(Cloud(*read_points(data, suffix)))
    if suffix == ".ply":
        ply = read_ply(data)
        if ply.faces is None:
            return check_cloud(Cloud(ply.vertices, ply.normals))
        mesh = Mesh(ply.vertices, ply.faces)
        check_mesh(mesh)
        return mesh
    return read_mesh(data, suffix=suffix, sibling=functools.partial(_sibling, item))


def check_cloud(cloud: Cloud) -> Cloud:
    """Refuse points that are none, not (P, 3), not finite or all in one place.

    Normals that are not finite or have no length are dropped, all of them, and others are
    brought to unit length.
    """
    points = shaped_cloud(cloud).points
    if not np.isfinite(points).all():
        raise MeshError(f"{int((~np.isfinite(points)).any(1).sum())} points are NaN or infinite")
    extent = float(np.ptp(points, 0).max())
    if not (extent > 0 and np.isfinite(extent)):
        raise MeshError("all points lie in one place" if extent == 0 else "points are too far out")
    normals = cloud.normals
    if normals is not None:
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        usable = bool(np.isfinite(lengths).all() and (lengths > 0).all())
        normals = normals / lengths if usable else None
    return Cloud(points, normals)


def shaped_cloud(cloud: Cloud) -> Cloud:
    """Refuse points that are none or not numbers (P, 3); the numbers may be any."""
    points = cloud.points
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise MeshError(f"a cloud must be numbers of shape (P, 3), got {points.shape}")
    if len(points) == 0:
        raise MeshError("no points")
    return Cloud(points.astype(np.float64), cloud.normals)


def cloud_size(item: Item) -> int | None:
    """How many points a cloud has, from its header alone; None for meshes and broken files."""
    entry, suffix = item.entry, item.entry.suffix
    if item.points is not None:
        return item.points
    try:
        if suffix == ".npy":
            return array_shape(entry)[-2]
        if suffix in (*POINT_SUFFIXES, ".txt"):
            return len(read_points(read_entry(entry), suffix)[0])
        if suffix == ".ply":
            from pcgen.shapes.formats.ply import read_header as read_ply_header

            _, elements, _ = read_ply_header(_head(entry))
            counts = {element.name: element.count for element in elements}
            return None if "face" in counts else counts.get("vertex")
    except (InputError, MeshError, IndexError):
        pass
    return None


def array_shape(entry: Entry) -> tuple[int, ...]:
    """The shape of a ``.npy`` entry, from its header; refused where the file is not that long."""
    head = io.BytesIO(_head(entry))
    shape, dtype, _ = read_header(head, entry.path)
    if math.prod(shape) * dtype.itemsize != entry.size - head.tell():
        raise InputError(f"it promises {shape} of {dtype}, which its {entry.size} bytes are not")
    return shape


def _head(entry: Entry, size: int = 65536) -> bytes:
    if entry.member is None:
        if remote.is_url(entry.file):
            return remote.read_url(entry.file, size)
        with open(entry.file, "rb") as handle:
            return handle.read(size)
    with open_archive(entry.file).open(entry.member) as handle:
        return handle.read(size)


def _read_array_row(entry: Entry, row: int | None) -> NDArray[Any]:
    array = _open_array(entry)
    wanted = 2 if row is None else 3
    if array.ndim != wanted or array.shape[-1] != 3:
        raise MeshError(f"the array must be (P, 3) or (N, P, 3) numbers, got {array.shape}")
    return np.array(array if row is None else array[row])


@functools.lru_cache(maxsize=1)
def _open_array(entry: Entry) -> NDArray[Any]:
    """A ``.npy`` entry, mapped where it is a file of its own; the last one stays open."""
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


def _read_hdf5_row(entry: Entry, array: str, row: int) -> NDArray[Any]:
    import h5py

    if entry.member is not None:
        raise InputError("HDF5 cannot be read from inside an archive; unpack it first")
    try:
        with h5py.File(remote.on_disk(entry.file), "r") as handle:
            return np.asarray(handle[array][row])
    except (OSError, LookupError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(f"the HDF5 file is damaged ({error})") from None


def _sibling(item: Item, name: str) -> bytes:
    """A file that a glTF names beside itself; only what is in the source can be had."""
    folder = posixpath.dirname(item.entry.path)
    wanted = posixpath.normpath(posixpath.join(folder, urllib.parse.unquote(name)))
    for entry in item.siblings:
        if entry.path == wanted:
            return read_entry(entry)
    raise MeshError(f"it refers to {Path(name).name}, which is not beside it")
