"""Wavefront OBJ: vertices and faces; materials and groups are ignored."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.formats.polygons import triangles
from pcgen.shapes.formats.raw import RawShape, Sibling, parse_numbers

#: What an OBJ file may have beside faces; ``bzp`` and ``bsp`` are the first version's patches.
_NO_FACES = {
    b"surf": "free-form surfaces", b"bzp": "Bézier patches", b"bsp": "B-spline patches",
    b"curv": "curves", b"l": "lines", b"p": "points", b"call": "calls of other files",
}  # fmt: skip
_OTHERS = re.compile(rb"\n(surf|bzp|bsp|curv|l|p|fo|call) ")


def read_obj(data: bytes, sibling: Sibling | None = None) -> RawShape:
    """Read the vertices and triangles of an OBJ file; without faces it is a scan.

    The material library is never opened. Relative (negative) indices count back from the last
    vertex before their line.

    Raises:
        MeshError: no vertex line, one that is not numbers, or only free-form surfaces.
    """
    data = _plain_lines(data)
    lines = data.split(b"\n")
    vertex_lines = [line[2:] for line in lines if line[:2] == b"v "]
    others = Counter(_OTHERS.findall(b"\n" + data))
    if others[b"fo"]:  # the first version's word for a face
        lines = [b"f " + line[3:] if line[:3] == b"fo " else line for line in lines]
    face_lines = [line[2:] for line in lines if line[:2] == b"f "]
    if not vertex_lines:
        raise MeshError("no vertex line ('v x y z') in the OBJ file")
    notes = _left_out(others, bool(face_lines))
    try:
        vertices = parse_numbers(vertex_lines, 3)
    except ValueError as error:
        raise MeshError(f"a vertex line of the OBJ file is not three numbers ({error})") from None
    if not face_lines:
        return RawShape(vertices, normals=_normals(lines, len(vertices)), notes=notes)
    corners, sizes = _corners(face_lines)
    if (corners < 0).any():
        kinds = np.array([line[:2] for line in lines])
        before = np.cumsum(kinds == b"v ")[kinds == b"f "]
        corners = np.where(corners < 0, corners + np.repeat(before, sizes) + 1, corners)
    faces, crossed = triangles(vertices, corners - 1, sizes)
    return RawShape(vertices, faces, notes=(*notes, *crossed))


def _left_out(others: Counter[bytes], has_faces: bool) -> tuple[str, ...]:
    notes = []
    for word, what in _NO_FACES.items():
        count = others[word]
        if word == b"p" and not has_faces:
            continue  # they are the scan
        if count and not has_faces:
            raise MeshError(
                f"no faces: it is made of {count} {what} ({word.decode()!r}); export it as polygons"
            )
        if count:
            notes.append(f"{count} {what} ({word.decode()!r}) of the OBJ file are left out")
    return tuple(notes)


def _normals(lines: list[bytes], count: int) -> NDArray[np.float64] | None:
    """The normals of a scan, if there is one per point."""
    found = [line[3:] for line in lines if line[:3] == b"vn "]
    if len(found) != count:
        return None
    try:
        return parse_numbers(found, 3)
    except ValueError:
        return None


def _plain_lines(data: bytes) -> bytes:
    """Lines with uniform ends and spaces, without indentation, and with continuations joined."""
    for old, new in ((b"\r\n", b"\n"), (b"\r", b"\n"), (b"\\\n", b" "), (b"\t", b" ")):
        if old in data:
            data = data.replace(old, new)
    if data[:1] == b" " or b"\n " in data:
        data = b"\n".join(line.lstrip() for line in data.split(b"\n"))
    return data


def _corners(lines: list[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All vertex numbers in one array, and the number of corners of each face."""
    text = b"\n".join(lines)
    if b"#" in text:
        lines = [line.partition(b"#")[0] for line in lines]
        text = b"\n".join(lines)
    try:
        table = _uniform_corners(lines, text)
        if table is not None:
            return table.ravel(), np.full(len(table), table.shape[1], np.int64)
        sizes = np.array([len(line.split()) for line in lines], np.int64)
        words = [word.partition(b"/")[0] for word in text.split()]
        return np.array(list(map(int, words)), np.int64), sizes
    except (ValueError, OverflowError):
        raise MeshError("a face line of the OBJ file is not vertex numbers") from None


def _uniform_corners(lines: list[bytes], text: bytes) -> NDArray[np.int64] | None:
    """The vertex numbers as one table (faces, corners), or None if faces differ in form.

    Most exporters write every corner in one form: ``7``, ``7/7``, ``7//7`` or ``7/7/7``.
    """
    shape = lines[0].translate(None, b"0123456789")
    alike = {word.translate(None, b"0123456789") for word in lines[0].split()}
    if len(alike) != 1 or b"-" in shape:
        return None
    if text.translate(None, b"0123456789") != b"\n".join([shape] * len(lines)):
        return None
    if (
        text.count(b"//") not in (0, text.count(b"/") // 2)
        or b"/ " in text
        or b"/\n" in text + b"\n"
    ):
        return None
    table = np.loadtxt(text.replace(b"/", b" ").split(b"\n"), np.int64, ndmin=2)
    return table[:, :: table.shape[1] // len(lines[0].split())]
