"""The result of all readers, and helpers for text formats."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError

#: Reads a file that a glTF refers to, given the name in the glTF.
Sibling = Callable[[str], bytes]


class RawShape(NamedTuple):
    """The content of a file of one shape.

    Attributes:
        vertices: (V, 3) float64, in the unit of the file.
        faces: (F, 3) int64 vertex numbers; empty for a scan.
        normals: (V, 3) at the vertices, of any length, or None.
        notes: on what was not understood or was left out.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64] = np.zeros((0, 3), np.int64)
    normals: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()


#: How programs of Microsoft's compilers write NaN and infinity: ``1.#QNAN``, ``-nan(ind)``.
_NO_NUMBER = re.compile(rb"[+-]?(?:1\.#\w+|nan\(\w*\))", re.IGNORECASE)

Reader = Callable[[bytes, Sibling | None], RawShape]


def to_utf8(data: bytes) -> bytes:
    """UTF-16 text as UTF-8, without byte order mark; other data unchanged."""
    if data.startswith(b"\xef\xbb\xbf"):
        return data[3:]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16").encode()
        except UnicodeDecodeError:
            raise MeshError("it begins like UTF-16 text but is damaged") from None
    return data


def normals_of(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    """The columns of normals by their usual names, (V, 3), or None."""
    for prefix in ("n", "normal_", "normal"):
        if {f"{prefix}{axis}" for axis in "xyz"} <= columns.keys():
            return np.stack([columns[f"{prefix}{axis}"] for axis in "xyz"], 1).astype(np.float64)
    return None


def plain_nan(text: bytes) -> bytes:
    """Text with ``nan`` for what Microsoft's compilers write instead."""
    # Both are rare letters in numbers, so that most text is passed over fast.
    return _NO_NUMBER.sub(b"nan", text) if b"#" in text or b"nan(" in text else text


def parse_numbers(lines: list[bytes], columns: int | list[int]) -> NDArray[np.float64]:
    """Numbers of each line, (lines, columns): the first ones, or those at the given places.

    Decimal commas and comments after ``#`` are allowed.

    Raises:
        ValueError: a line has fewer numbers, or other text.
    """
    places = range(columns) if isinstance(columns, int) else columns
    with warnings.catch_warnings(action="ignore"):  # of no numbers, which the count below shows
        try:
            table = np.loadtxt(lines, np.float64, comments=None, usecols=places, ndmin=2)
        except ValueError:
            text = plain_nan(b"\n".join(lines)).replace(b",", b".").split(b"\n")
            table = np.loadtxt(text, np.float64, usecols=places, ndmin=2)
    if len(table) != len(lines):
        raise ValueError("an empty line")
    return table
