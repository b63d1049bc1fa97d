"""The one way in for files of shapes: ``open_file(path)``, and what every command makes of it.

A file is a mesh where it has a face, and a scan where it has none. So it is for every format and
for every command: prepare, mesh, view, gallery, evaluate, interpolate and render all come here.

* Points of a scan that are NaN or infinite are left out and counted; a normal that is not finite
  or has no length is unknown, and is zero. Of generated clouds, which are judged, neither is
  repaired: the caller says ``faulty="refuse"``.
* A mesh is refused where a face is no face of its vertices, a corner is NaN, or no face has area.
* What a reader met and did not understand comes back as notes, with counts.

Which suffix is read by what is the table :data:`pcgen.shapes.formats.READERS`; arrays of one
cloud or many are in :mod:`pcgen.shapes.stacks`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.shapes.formats import ARRAY_SUFFIXES, MESH_SUFFIXES, READERS, UNUSABLE
from pcgen.shapes.formats.raw import Sibling, plain
from pcgen.shapes.mesh_files import Mesh, check_mesh, read_file

Faulty = Literal["refuse", "drop", "keep"]
NO_FACES = "no faces, so it is taken for a scan"
#: Everything that can be opened.
SUFFIXES = tuple(dict.fromkeys((*READERS, *ARRAY_SUFFIXES)))


class Cloud(NamedTuple):
    """A point cloud as it came: points (P, 3) float64, and unit normals (P, 3) or None.

    A normal of a single point that is not known is zero.
    """

    points: NDArray[np.float64]
    normals: NDArray[np.float64] | None = None


class Opened(NamedTuple):
    """One shape, and what was not understood or left out, in words."""

    shape: Mesh | Cloud
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        shapes: in the order of the file.
        names: of each: the file's, with a number where it holds many.
        categories: of each; ``""`` where nothing is known.
        meta: of a samples file; else empty.
        notes: what was not understood or left out, in words.
    """

    shapes: Sequence[Mesh | Cloud]
    names: Sequence[str]
    categories: Sequence[str]
    meta: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def open_file(path: Path | str, *, faulty: Faulty = "drop") -> Content:
    """All shapes of a file: a mesh, a scan, or arrays of clouds.

    Args:
        faulty: what becomes of points that are NaN or infinite: ``drop`` leaves them out,
            ``refuse`` refuses the file, ``keep`` gives scans as they are, to be judged elsewhere.
    Raises:
        InputError: nothing there, a suffix that is not read (with the way to convert it), or a
            file that cannot be used; it is named.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path} cannot be read: {unreadable(suffix)}")
    if not path.is_file():
        raise InputError(f"no file at {path}")
    try:
        if suffix in ARRAY_SUFFIXES:
            from pcgen.shapes.stacks import open_stacks

            return open_stacks(path, faulty)
        beside = functools.partial(_read_beside, path)
        opened = open_bytes(read_file(path), suffix, beside, faulty=faulty)
    except MeshError as error:
        raise InputError(f"{path}: {error}") from None
    return Content([opened.shape], [path.stem], [""], notes=opened.notes)


def open_bytes(
    data: bytes, suffix: str, sibling: Sibling | None = None, *, faulty: Faulty = "drop"
) -> Opened:
    """The shape of a file of one shape, from its content; see :func:`open_file`.

    Args:
        suffix: such as ``.obj``. sibling: gives the files that a glTF refers to.
    Raises:
        MeshError: the reason for which it cannot be used. InputError: an unknown suffix.
    """
    reader = READERS.get(suffix)
    if reader is None:
        raise InputError(f"it cannot be read: {unreadable(suffix)}")
    if not data:
        raise MeshError("the file is empty: no points and no faces")
    raw = reader(plain(data), sibling)
    if len(raw.faces):
        mesh = Mesh(raw.vertices, raw.faces)
        check_mesh(mesh)
        return Opened(mesh, raw.notes)
    said = (NO_FACES,) if suffix in MESH_SUFFIXES and suffix != ".ply" else ()
    try:
        cloud, notes = checked(Cloud(raw.vertices, raw.normals), faulty)
    except MeshError as error:
        raise MeshError(": ".join((*said, str(error)))) from None
    return Opened(cloud, (*said, *raw.notes, *notes))


def read_mesh(
    source: Path | str | bytes, *, suffix: str | None = None, sibling: Sibling | None = None
) -> Mesh:
    """The mesh of a file, given by its path or its content.

    Raises:
        MeshError: none, a damaged one, or a scan. InputError: no such file, an unknown suffix, or
            a file beyond :data:`pcgen.shapes.mesh_files.FILE_LIMIT`.
    """
    if not isinstance(source, bytes):
        path = Path(source)
        suffix = suffix or path.suffix
        sibling = sibling or functools.partial(_read_beside, path)
        source = read_file(path)
    suffix = (suffix or "").lower()
    if suffix not in READERS:
        raise InputError(f"mesh files end in {', '.join(MESH_SUFFIXES)}, got {suffix!r}")
    shape = open_bytes(source, suffix, sibling, faulty="keep").shape
    if isinstance(shape, Cloud):
        raise MeshError(f"no faces: the {suffix[1:].upper()} file is a point cloud")
    return shape


def unreadable(suffix: str) -> str:
    """Why files of a suffix are not read, and what to do."""
    if suffix in UNUSABLE:
        return f"{suffix} is not read; {UNUSABLE[suffix]}"
    return f"shapes are files ending in {', '.join(SUFFIXES)}, got {suffix or 'no ending'!r}"


def checked(cloud: Cloud, faulty: Faulty) -> tuple[Cloud, tuple[str, ...]]:
    """A cloud as the caller wants its faulty points treated, and what was done.

    Raises:
        MeshError: nothing is left, or what :func:`check_cloud` refuses.
    """
    cloud = shaped_cloud(cloud)
    if faulty == "keep":
        return cloud, ()
    kept = np.asarray(np.isfinite(cloud.points).all(axis=1))
    left = len(kept) - int(kept.sum())
    if not left or faulty == "refuse" or left == len(kept):
        return check_cloud(cloud), ()
    notes = (f"left out {left} of {len(kept)} points that are NaN or infinite",)
    normals = None if cloud.normals is None else cloud.normals[kept]
    return check_cloud(Cloud(cloud.points[kept], normals)), notes


def check_cloud(cloud: Cloud) -> Cloud:
    """Refuse points that are none, not (P, 3), not finite or all in one place.

    Normals are brought to unit length; those that have none are zero, and None where all are.
    """
    points = shaped_cloud(cloud).points
    if not np.isfinite(points).all():
        raise MeshError(f"{int((~np.isfinite(points)).any(1).sum())} points are NaN or infinite")
    extent = float(np.ptp(points, 0).max())
    if not (extent > 0 and np.isfinite(extent)):
        raise MeshError("all points lie in one place" if extent == 0 else "points are too far out")
    normals = cloud.normals
    if normals is not None:
        with np.errstate(all="ignore"):
            lengths = np.linalg.norm(normals, axis=1, keepdims=True)
            known = np.isfinite(lengths) & (lengths > 0)
            normals = np.where(known, normals / lengths, 0.0) if known.any() else None
    return Cloud(points, normals)


def shaped_cloud(cloud: Cloud) -> Cloud:
    """Refuse points that are none or not numbers (P, 3); the numbers may be any."""
    points = cloud.points
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise MeshError(f"a cloud must be numbers of shape (P, 3), got {points.shape}")
    if len(points) == 0:
        raise MeshError("no points")
    return Cloud(points.astype(np.float64), cloud.normals)


def _read_beside(path: Path, name: str) -> bytes:
    """A file in the folder of ``path`` or below it, never outside."""
    folder = path.parent.resolve()
    target = (folder / name).resolve()
    if not target.is_relative_to(folder):
        raise MeshError(f"it refers to {name}, outside its own folder; refused")
    return read_file(target)
