"""Object File Format: its many first words, and the first lines of ModelNet: ``OFF490926 …``."""

from __future__ import annotations

import re

import numpy as np

from pcgen.errors import MeshError
from pcgen.shapes.formats.polygons import triangles
from pcgen.shapes.formats.raw import Raw, Sibling, numbers

# ST (texture), C (colour) and N (normal) announce more numbers a vertex, 4 a homogeneous
# coordinate, n another dimension; Geomview fixes an order, MeshLab writes another.
_MAGIC = re.compile(
    rb"\s*(?P<more>(?:ST|[CN])*)(?P<four>4?)(?P<any>n?)OFF(?!\s*BINARY)|"
    rb"\s*(?P<small>(?:st|[cn])*4?off)(?!\s*binary)"
)
_COMMENT = re.compile(rb"#[^\n\r]*")


def read_off(data: bytes, sibling: Sibling | None = None) -> Raw:
    """Vertices and triangles of a text OFF file; with no face it is a scan.

    Counts may stand on the line of the magic word, glued to it or not, or after it.

    Raises:
        MeshError: not OFF, binary OFF, not in 3D, or fewer numbers than the counts promise.
    """
    if b"#" in data:
        data = _COMMENT.sub(b"", data)
    magic = _MAGIC.match(data)
    if magic is None:
        hint = " (binary OFF; save it as text)" if b"BINARY" in data[:40].upper() else ""
        raise MeshError(f"no text OFF file: it must begin with OFF{hint}")
    kind = (magic["more"] or magic["small"] or b"").upper()
    lines = [line for line in (raw.strip() for raw in data[magic.end() :].splitlines()) if line]
    if magic["any"] and (not lines or lines.pop(0) != b"3"):
        raise MeshError("nOFF of another dimension than 3; only shapes in 3D are read")
    try:
        vertex_count, face_count = (int(word) for word in lines[0].split()[:2])
    except (ValueError, IndexError):
        raise MeshError("the counts after the word OFF are not two or three integers") from None
    promised = f"OFF promises {vertex_count} vertices and {face_count or 'no'} faces"
    if vertex_count < 1 or face_count < 0:
        raise MeshError(f"no faces and no points: {promised}")
    if len(lines) < 1 + vertex_count + face_count:
        raise MeshError(f"{promised}, but has only {len(lines) - 1} lines; it is truncated")
    width = 4 if magic["four"] or b"4" in kind else 3
    normals = None
    try:
        table = numbers(lines[1 : 1 + vertex_count], width + 3 * (b"N" in kind and not face_count))
        words = [line.split() for line in lines[1 + vertex_count : 1 + vertex_count + face_count]]
        sizes = np.array([int(face[0]) for face in words], np.int64)
        # What follows the corners of a face is its colour.
        flat = [int(word) for face in words for word in face[1 : 1 + max(int(face[0]), 0)]]
        corners = np.array(flat, np.int64)
    except (ValueError, OverflowError) as error:
        raise MeshError(f"a line of the OFF file is not numbers ({error})") from None
    vertices = table[:, :3]
    if width == 4:
        with np.errstate(all="ignore"):
            vertices = vertices / table[:, 3:4]
    if not face_count:
        normals = table[:, width:] if table.shape[1] > width else None
        return Raw(vertices, normals=normals)
    if sizes.min() < 0 or sizes.sum() != len(corners):
        raise MeshError("a face of the OFF file has fewer corners than it says")
    faces, notes = triangles(vertices, corners, sizes)
    return Raw(vertices, faces, notes=notes)
