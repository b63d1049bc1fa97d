"""STL, binary and text: triangles by their corners; the normals in the file are not used."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.formats.raw import Raw, Sibling, numbers

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"vertex[ \t]+([^\n]*)", re.IGNORECASE)


def read_stl(data: bytes, sibling: Sibling | None = None) -> Raw:
    """Vertices (3 F, 3), corners of the faces in turn, and triangles (F, 3).

    Raises:
        MeshError: neither binary STL of the promised length nor text with whole facets.
    """
    # Many binary files begin with "solid" too, so the length decides.
    count = int.from_bytes(data[80:84], "little") if len(data) >= 84 else 0
    notes: tuple[str, ...] = ()
    text = data[:512].lstrip()[:5].lower() == b"solid"
    if len(data) >= 84 + count * _FACET.itemsize and (count or not text):
        facets = np.frombuffer(data, _FACET, count, 84)
        corners = facets["corners"].reshape(-1, 3).astype(np.float64)
        if left := (len(data) - 84) // _FACET.itemsize - count:
            notes = (f"the STL file promises {count} facets; {left} more after them are left out",)
    elif text:
        corners = _read_text(data)
    else:
        raise MeshError(f"no STL file, or truncated: {count} facets do not fit {len(data)} bytes")
    if not len(corners):
        raise MeshError("no faces: the STL file has no facet")
    return Raw(corners, np.arange(len(corners)).reshape(-1, 3), notes=notes)


def _read_text(data: bytes) -> NDArray[np.float64]:
    lines = _VERTEX.findall(data.replace(b"\r", b"\n"))
    if len(lines) % 3:
        raise MeshError(f"the STL file has {len(lines)} vertex lines, no multiple of three")
    if not lines:
        return np.zeros((0, 3))
    try:
        return numbers(lines, 3)
    except ValueError as error:
        raise MeshError(f"a vertex line of the STL file is not three numbers ({error})") from None
