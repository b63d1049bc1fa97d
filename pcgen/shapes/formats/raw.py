"""The result of all readers, and helpers for text formats."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import NamedTuple

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


#: How programs of Microsoft's compilers write NaN and infinity: ``1.#QNAN``, ``-1.#IND00``.
NO_NUMBER = re.compile(rb"[+-]?1\.#\w+")

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


def parse_numbers(lines: list[bytes], columns: int) -> NDArray[np.float64]:
    """The first ``columns`` numbers of each line, (lines, columns); decimal commas are allowed.

    Raises:
        ValueError: a line has fewer numbers, or other text.
    """
    if any(b".#" in line for line in lines):  # else '#' would begin a comment
        lines = [NO_NUMBER.sub(b"nan", line) for line in lines]
    with warnings.catch_warnings(action="ignore"):  # of no numbers, which the count below shows
        try:
            table = np.loadtxt(lines, np.float64, usecols=range(columns), ndmin=2)
        except ValueError:
            if not any(b"," in line for line in lines[:100]):
                raise
            lines = [line.replace(b",", b".") for line in lines]
            table = np.loadtxt(lines, np.float64, usecols=range(columns), ndmin=2)
    if len(table) != len(lines):
        raise ValueError("an empty line")
    return table
