"""STL, binary and text: triangles by their corners; normals in the file are ignored."""

from __future__ import annotations

import re

import numpy as np

from pcgen.errors import MeshError
from pcgen.shapes.formats.polygons import triangles
from pcgen.shapes.formats.raw import RawShape, Sibling, parse_numbers

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"^[ \t]*vertex[ \t]+([^\n]*)", re.IGNORECASE | re.MULTILINE)
_WORDS = re.compile(rb"\s(vertex|endloop)\b", re.IGNORECASE)
_LOOP_END = re.compile(rb"^[ \t]*endloop", re.IGNORECASE | re.MULTILINE)


def read_stl(data: bytes, sibling: Sibling | None = None) -> RawShape:
    """Read the corners of all solids as vertices, with triangles (F, 3).

    Raises:
        MeshError: neither binary STL of the stated length nor text with complete facets.
    """
    # Many binary files begin with "solid" too, so the length decides.
    count = int.from_bytes(data[80:84], "little") if len(data) >= 84 else 0
    notes: tuple[str, ...] = ()
    text = data[:512].lstrip()[:5].lower() == b"solid"
    whole, rest = divmod(len(data) - 84, _FACET.itemsize)
    if count in (0, 2**32 - 1) and whole > 0 and not (rest or text):
        # Programs that write as they go do not know the count.
        notes = (f"the STL file states {count} facets; all {whole} in it are read",)
        count = whole
    if len(data) >= 84 + count * _FACET.itemsize and (count or not text):
        facets = np.frombuffer(data, _FACET, count, 84)
        corners = facets["corners"].reshape(-1, 3).astype(np.float64)
        if left := (len(data) - 84) // _FACET.itemsize - count:
            notes = (f"the STL file states {count} facets; {left} more after them are left out",)
    elif text:
        return _read_text(data.replace(b"\r", b"\n"))
    else:
        raise MeshError(
            f"not an STL file, or truncated: {count} facets do not fit {len(data)} bytes"
        )
    if not len(corners):
        raise MeshError("no faces: the STL file has no facet")
    return RawShape(corners, np.arange(len(corners)).reshape(-1, 3), notes=notes)


def _read_text(data: bytes) -> RawShape:
    lines = _VERTEX.findall(data)
    if not lines:  # all in one line
        data = _WORDS.sub(rb"\n\1", data)
        lines = _VERTEX.findall(data)
    if not lines:
        raise MeshError("no faces: the STL file has no facet")
    try:
        corners = parse_numbers(lines, 3)
    except ValueError as error:
        raise MeshError(f"a vertex line of the STL file is not three numbers ({error})") from None
    notes: tuple[str, ...] = ()
    if b"endsolid" not in data[-4096:].lower():
        notes = ("the STL file has no 'endsolid'; it may be cut off",)
    loops = len(_LOOP_END.findall(data))
    if len(lines) == 3 * loops or not (loops or len(lines) % 3):
        return RawShape(corners, np.arange(len(corners)).reshape(-1, 3), notes=notes)
    sizes = [len(_VERTEX.findall(loop)) for loop in _LOOP_END.split(data)]
    if sizes[-1]:
        raise MeshError(f"the STL file ends within a facet: {len(lines)} vertices, {loops} loops")
    faces, more = triangles(corners, np.arange(len(corners)), np.array(sizes[:-1], np.int64))
    return RawShape(corners, faces, notes=(*notes, *more))
