"""Object File Format, with the first lines that ModelNet has: ``OFF490926 523184 0``."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.formats.polygons import fan

# OFF, COFF, NOFF, STOFF, ... : prefixes announce more numbers per vertex; the first three of a
# line are always the position.
_MAGIC = re.compile(rb"\s*(?:ST)?C?N?OFF(?!\s*BINARY)", re.IGNORECASE)
_COMMENT = re.compile(rb"#[^\n]*")


def read_off(data: bytes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vertices (V, 3) and triangles (F, 3) of a text OFF file; polygons become fans.

    Counts may stand on the line of the magic word, glued to it or not, or after it.

    Raises:
        MeshError: not OFF, binary OFF, or fewer numbers than the counts promise.
    """
    magic = _MAGIC.match(data)
    if magic is None:
        raise MeshError("no text OFF file: it must begin with OFF")
    body = data[magic.end() :]
    if b"#" in body:
        body = _COMMENT.sub(b"", body)
    lines = [line for line in (raw.strip() for raw in body.splitlines()) if line]
    try:
        vertex_count, face_count = (int(word) for word in lines[0].split()[:2])
    except (ValueError, IndexError):
        raise MeshError("the counts after the word OFF are not two or three integers") from None
    if vertex_count < 1 or face_count < 1:
        raise MeshError(f"no faces: OFF promises {vertex_count} vertices and {face_count} faces")
    if len(lines) < 1 + vertex_count + face_count:
        raise MeshError(
            f"OFF promises {vertex_count} vertices and {face_count} faces, but has only "
            f"{len(lines) - 1} lines; it is truncated"
        )
    try:
        vertices = np.loadtxt(lines[1 : 1 + vertex_count], usecols=(0, 1, 2), ndmin=2)
        words = [line.split() for line in lines[1 + vertex_count : 1 + vertex_count + face_count]]
        sizes = np.array([int(face[0]) for face in words], np.int64)
        # What follows the corners of a face is its colour.
        flat = [int(word) for face in words for word in face[1 : 1 + max(int(face[0]), 0)]]
        corners = np.array(flat, np.int64)
    except (ValueError, OverflowError) as error:
        raise MeshError(f"a line of the OFF file is not numbers ({error})") from None
    if sizes.min() < 0 or sizes.sum() != len(corners):
        raise MeshError("a face of the OFF file has fewer corners than it says")
    return vertices, fan(corners, sizes)
