"""Wavefront OBJ: vertices and faces; materials, groups, lines and points are passed over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.formats.polygons import fan


def read_obj(data: bytes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (V, 3) and triangles (F, 3) of an OBJ file; polygons become fans.

    The material library is never opened. Relative (negative) indices count back from the last
    vertex before their line, as the format says.

    Raises:
        MeshError: no vertex or face line, or one that is not numbers.
    """
    lines = _lines(data)
    vertex_lines = [line[2:] for line in lines if line[:2] == b"v "]
    face_lines = [line[2:] for line in lines if line[:2] == b"f "]
    if not vertex_lines:
        raise MeshError("no vertex line ('v x y z') in the OBJ file")
    if not face_lines:
        raise MeshError("no faces: no face line ('f a b c') in the OBJ file")
    try:
        vertices = np.loadtxt(vertex_lines, np.float64, usecols=(0, 1, 2), ndmin=2)
    except ValueError as error:
        raise MeshError(f"a vertex line of the OBJ file is not three numbers ({error})") from None
    if len(vertices) != len(vertex_lines):
        raise MeshError("a vertex line of the OBJ file is empty")
    corners, sizes = _corners(face_lines)
    if (corners < 0).any():
        kinds = np.array([line[:2] for line in lines])
        before = np.cumsum(kinds == b"v ")[kinds == b"f "]
        corners = np.where(corners < 0, corners + np.repeat(before, sizes) + 1, corners)
    return vertices, fan(corners - 1, sizes)


def _lines(data: bytes) -> list[bytes]:
    """The lines, continued ones joined, with one kind of end and of space and none in front."""
    for old, new in ((b"\r\n", b"\n"), (b"\r", b"\n"), (b"\\\n", b" "), (b"\t", b" ")):
        if old in data:
            data = data.replace(old, new)
    lines = data.split(b"\n")
    indented = data[:1] == b" " or b"\n " in data
    return [line.lstrip() for line in lines] if indented else lines


def _corners(lines: list[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All vertex numbers in one array, and how many each face has."""
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
    """The vertex numbers as one table (faces, corners), where all faces are written alike.

    Most exporters do: every corner is ``7``, ``7/7``, ``7//7`` or ``7/7/7``. Everything else
    gives None and goes the slower way.
    """
    shape = lines[0].translate(None, b"0123456789")
    if len(set(shape.strip().split(b" "))) != 1 or b"-" in shape or not lines[0].strip():
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
