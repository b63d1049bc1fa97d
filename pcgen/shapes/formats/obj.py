"""Wavefront OBJ: vertices and faces; materials, groups, lines and points are passed over."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.formats.polygons import fan

_VERTEX = re.compile(rb"^[ \t]*v[ \t]+([^\n]*)$", re.MULTILINE)
_FACE = re.compile(rb"^[ \t]*fo?[ \t]+([^\n]*)$", re.MULTILINE)  # "fo" is the old spelling


def read_obj(data: bytes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (V, 3) and triangles (F, 3) of an OBJ file; polygons become fans.

    The material library is never opened. Relative (negative) indices count back from the last
    vertex before their line, as the format says.

    Raises:
        MeshError: no vertex or face line, or one that is not numbers.
    """
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\\\n" in data:
        data = data.replace(b"\\\n", b" ")
    vertex_lines, face_lines = _VERTEX.findall(data), _FACE.findall(data)
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
        starts = np.array([match.start() for match in _VERTEX.finditer(data)])
        lines = np.array([match.start() for match in _FACE.finditer(data)])
        before = np.repeat(np.searchsorted(starts, lines), sizes)
        corners = np.where(corners < 0, corners + before + 1, corners)
    return vertices, fan(corners - 1, sizes)


def _corners(lines: list[bytes]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All vertex numbers in one array, and how many each face has."""
    if any(b"#" in line for line in lines):
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
