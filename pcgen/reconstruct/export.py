"""Meshes to GLB, PLY, OBJ and STL, each read back and compared before it is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pcgen.errors import InputError, MeshError
from pcgen.reconstruct.topology import is_watertight, merged
from pcgen.shapes.mesh_files import WRITE_SUFFIXES, Mesh, far_offset, mesh_bytes
from pcgen.shapes.reading import read_mesh

FORMATS = tuple(suffix[1:] for suffix in WRITE_SUFFIXES)


def check_formats(names: Sequence[str]) -> tuple[str, ...]:
    """The formats in lower case, each once.

    Raises:
        InputError: one is unknown.
    """
    formats = tuple(dict.fromkeys(name.lower().lstrip(".") for name in names))
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InputError(
            f"cannot write meshes as {', '.join(unknown) or 'nothing'}; "
            f"formats are {', '.join(FORMATS)}"
        )
    return formats


def checked_bytes(mesh: Mesh, suffix: str, name: str = "mesh") -> bytes:
    """The mesh as the content of a file, after reading that back and comparing.

    Raises:
        InputError: an unknown suffix.
        MeshError: what is read back is another mesh.
    """
    data = mesh_bytes(mesh, suffix, name=name)
    try:
        offset = far_offset(mesh.used_vertices())
        found = read_mesh(data, suffix=suffix)
        shifted = Mesh(mesh.vertices - offset, mesh.faces)
        if suffix.lower() != ".stl":
            found = Mesh(found.vertices - offset, found.faces)
        fault = difference(shifted, found)
    except MeshError as error:
        fault = str(error)
    if fault:
        raise MeshError(f"as {suffix} it is read back wrongly, so it was not written: {fault}")
    return data


def difference(wanted: Mesh, found: Mesh) -> str:
    """What sets the mesh read back apart from the one written; empty when nothing does.

    Both are seen as another program sees them: vertices at one place, in single precision, are
    one vertex.
    """
    if len(found.faces) != len(wanted.faces):
        return f"{len(found.faces)} faces instead of {len(wanted.faces)}"
    low, high = wanted.used_vertices().min(0), wanted.used_vertices().max(0)
    tolerance = 1e-5 * max(float((high - low).max()), float(np.abs([low, high]).max()))
    moved = np.abs(found.triangles().mean((0, 1)) - wanted.triangles().mean((0, 1))).max()
    if not moved <= tolerance:
        return f"its centre moved by {moved:.3g}"
    closed = is_watertight(merged(wanted.vertices, wanted.faces))
    if closed and not is_watertight(merged(found.vertices, found.faces)):
        return "it is no longer watertight in the precision of the file; make the shape larger"
    return ""
