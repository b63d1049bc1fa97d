"""Open files of shapes; every command reads through :func:`open_file`.

A file with a face is a mesh; a file without is a scan.

* Points of a scan that are NaN or infinite are left out and counted; normals that are not finite or
  have no length become zero. Evaluation reads generated clouds with ``faulty="refuse"`` instead.
* A mesh is refused if a face index is out of range, a corner is NaN, or no face has area.
* What a reader does not understand becomes a note with a count.

:data:`pcgen.shapes.formats.READERS` maps suffixes to readers; :mod:`pcgen.shapes.cloud_arrays`
reads arrays of one cloud or many.
"""

from __future__ import annotations

import functools
from pathlib import Path

from pcgen.errors import InputError, MeshError
from pcgen.shapes.cloud_arrays import open_cloud_arrays
from pcgen.shapes.clouds import Cloud, Faulty, FileContent, OpenedShape, clean_cloud
from pcgen.shapes.formats import ARRAY_SUFFIXES, MESH_SUFFIXES, READERS, UNUSABLE
from pcgen.shapes.formats.raw import Sibling, to_utf8
from pcgen.shapes.mesh_files import Mesh, check_mesh, read_file

NO_FACES = "no faces, so it is read as a scan"
#: What files may hold instead of a shape, whatever their suffix.
_OTHER_CONTENT = {
    b"version https://git-lfs": "it is a pointer of Git LFS; get the file with: git lfs pull",
    b"<!doctype html": "it is a web page, perhaps of a failed download",
    b"<html": "it is a web page, perhaps of a failed download",
    b"\x1f\x8b": "it is packed with gzip; unpack it first",
    b"ncols": "it is a grid of heights; convert it with: gdal_translate -of XYZ IN OUT.xyz",
}
#: All suffixes that can be opened.
SUFFIXES = tuple(dict.fromkeys((*READERS, *ARRAY_SUFFIXES)))


def open_file(path: Path | str, *, faulty: Faulty = "drop") -> FileContent:
    """All shapes of a file: a mesh, a scan, or arrays of clouds.

    Args:
        faulty: how points that are NaN or infinite are treated: ``drop`` leaves them out,
            ``refuse`` refuses the file, ``keep`` returns scans unchanged.
    Raises:
        InputError: no file, an unsupported suffix (the message says how to convert it), or a file
            that cannot be used.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path} cannot be read: {unreadable(suffix)}")
    if not path.is_file():
        raise InputError(f"no file at {path}")
    try:
        if suffix in ARRAY_SUFFIXES:
            return open_cloud_arrays(path, faulty)
        beside = functools.partial(read_beside, path)
        opened = open_bytes(read_file(path), suffix, beside, faulty=faulty)
    except MeshError as error:
        raise InputError(f"{path}: {error}") from None
    return FileContent([opened.shape], [path.stem], [""], notes=opened.notes)


def open_bytes(
    data: bytes, suffix: str, sibling: Sibling | None = None, *, faulty: Faulty = "drop"
) -> OpenedShape:
    """Read a shape from the content of its file; see :func:`open_file`.

    Args:
        suffix: such as ``.obj``. sibling: reads the files that a glTF refers to.
    Raises:
        MeshError: it cannot be used; the message says why. InputError: an unknown suffix.
    """
    reader = READERS.get(suffix)
    if reader is None:
        raise InputError(f"it cannot be read: {unreadable(suffix)}")
    if not data:
        raise MeshError("the file is empty: no points and no faces")
    for start, what in _OTHER_CONTENT.items():
        if data[:64].lstrip().lower().startswith(start):
            raise MeshError(what)
    raw = reader(to_utf8(data), sibling)
    if len(raw.faces):
        mesh = Mesh(raw.vertices, raw.faces)
        check_mesh(mesh)
        return OpenedShape(mesh, raw.notes)
    remark = (NO_FACES,) if suffix in MESH_SUFFIXES and suffix != ".ply" else ()
    try:
        cloud, notes = clean_cloud(Cloud(raw.vertices, raw.normals), faulty)
    except MeshError as error:
        raise MeshError(": ".join((*remark, str(error)))) from None
    return OpenedShape(cloud, (*remark, *raw.notes, *notes))


def read_mesh(
    source: Path | str | bytes, *, suffix: str | None = None, sibling: Sibling | None = None
) -> Mesh:
    """Read a mesh from the path or the content of its file.

    Raises:
        MeshError: no mesh, a damaged one, or a scan. InputError: no such file, an unknown suffix,
            or a file larger than :data:`pcgen.shapes.mesh_files.FILE_LIMIT`.
    """
    if not isinstance(source, bytes):
        path = Path(source)
        suffix = suffix or path.suffix
        sibling = sibling or functools.partial(read_beside, path)
        source = read_file(path)
    suffix = (suffix or "").lower()
    if suffix not in READERS:
        raise InputError(f"mesh files end in {', '.join(MESH_SUFFIXES)}, got {suffix!r}")
    shape = open_bytes(source, suffix, sibling, faulty="keep").shape
    if isinstance(shape, Cloud):
        raise MeshError(f"no faces: the {suffix[1:].upper()} file is a point cloud")
    return shape


def unreadable(suffix: str) -> str:
    """Why files of a suffix cannot be read, and what to do."""
    if suffix in UNUSABLE:
        return f"{suffix} is not read; {UNUSABLE[suffix]}"
    return f"shapes are files ending in {', '.join(SUFFIXES)}, got {suffix or 'no ending'!r}"


def read_beside(path: Path, name: str) -> bytes:
    """Read a file in the folder of ``path`` or below it, never outside.

    Raises:
        InputError: no such file. MeshError: it is outside.
    """
    folder = path.parent.resolve()
    target = (folder / name).resolve()
    if not target.is_relative_to(folder):
        raise MeshError(f"it refers to {name}, outside its own folder; refused")
    return read_file(target)
