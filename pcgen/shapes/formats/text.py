"""Text clouds: XYZ, PTS, and the TXT and CSV of other programs, with or without normals."""

from __future__ import annotations

import itertools
import re

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.formats.raw import RawShape, Sibling, parse_numbers, plain_nan, to_utf8

_SEPARATORS = re.compile(rb"[,;\t]")
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(rb"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_LOOSE_COMMA = re.compile(rb",(?=\s|$)")
_WORD = re.compile(rb"[^\s;]+")
_QUOTED_COMMA = re.compile(rb'"([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)"')
#: Numbers with separators of thousands, "1,234.5" and "1.234,5".
_GROUPED = re.compile(rb"[+-]?\d{1,3}(?:(?:,\d{3})+\.\d*|(?:\.\d{3})+,\d+)")
_COMMENTS = (b"#", b"//", b"%", b"!")
_UNIT = re.compile(rb"[\s_]*[\[(][^\])]*[\])]|_m+(?=[\s,;]|$)")  # of a column, such as [m]
LEAST = 16  # lines of a text file that may be a cloud
_SEEN = 100  # lines that determine the separators
_HEAD = 20  # lines that may come before the points
_OWN = (b"x", b"y", b"z", b"nx", b"ny", b"nz")
#: Names of columns in a header line, as programs write them, in the order of ``_OWN``.
_COLUMNS = {
    name: own
    for own, names in zip(_OWN, (
        b"px points:0 points_0 x_coordinate easting east",
        b"py points:1 points_1 y_coordinate northing north",
        b"pz points:2 points_2 z_coordinate elevation height",
        b"normal_x normalx normals:0 normals_0",
        b"normal_y normaly normals:1 normals_1",
        b"normal_z normalz normals:2 normals_2",
    ), strict=True)
    for name in names.split()
}  # fmt: skip


def read_text(data: bytes, sibling: Sibling | None = None) -> RawShape:
    """Read lines of ``x y z`` or ``x y z nx ny nz`` and further columns; PTS has a count first.

    Spaces, tabs, commas or semicolons separate numbers; ``0,5 1,25 2,0`` has decimal commas, and
    so has ``"0,5","1,25","2,0"``. A header line that names x, y and z defines the columns; other
    headers and comments are ignored. Without a header, columns 4 to 6 are normals if they have
    unit length (within 1 %). Labels after the numbers of a line are ignored.

    Raises:
        MeshError: no line, or one that is not numbers.
    """
    data = _unquoted(data)
    lines = [line for line in data.splitlines() if line.strip()]
    names, lines, notes = _header(lines)
    if any(mark in data for mark in _COMMENTS):
        lines = [line for line in lines if not line.lstrip().startswith(_COMMENTS)]
        lines = [plain_nan(line).partition(b"#")[0] for line in lines]
    lines = _separated(lines)
    if lines and lines[0].strip().isdigit():
        lines, more = _without_counts(lines)
        notes += more
    if not lines:
        raise MeshError("no points: the file has no line 'x y z'")
    first = plain_nan(lines[0]).split()
    if names and len(first) >= 2 * len(names):
        raise MeshError(
            f"its header names {len(names)} columns, its lines have {len(first)}; decimal commas "
            "need another separator, such as ';'"
        )
    width = len(list(itertools.takewhile(_NUMBER.fullmatch, first)))  # then labels may follow
    places = _places(names, width or len(first))
    if not names and _is_counted(lines, width):
        places = [k + 1 for k in places if k + 1 < width]
        notes += ("column 1 counts the lines; columns 2 to 4 are x, y, z",)
    try:
        table = parse_numbers(lines, places)
    except (ValueError, OverflowError) as error:
        raise MeshError(f"a line is not numbers 'x y z' ({error})") from None
    if table.shape[1] < 3:
        raise MeshError(f"lines must be 'x y z' with at least three numbers, got {width}")
    if table.shape[1] == 6 and (names or unit_rows(table[:, 3:])):
        return RawShape(table[:, :3], normals=table[:, 3:], notes=notes)
    return RawShape(table[:, :3], notes=notes)


def read_coloured(data: bytes, sibling: Sibling | None = None) -> RawShape:
    """As :func:`read_text`, for XYZRGB: columns 4 to 6 are colours, even those of unit length."""
    return read_text(data, sibling)._replace(normals=None)


def unit_rows(table: NDArray[np.float64]) -> bool:
    """Whether rows (n, 3) are unit vectors, within 1 %; zeros and NaN stand for unknown ones."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", table, table))
    known = np.isfinite(lengths) & (lengths > 0)
    return bool(known.any() and (np.abs(lengths[known] - 1) < 0.01).all())


def looks_like_points(start: bytes) -> bool:
    """Whether a text file of unknown content begins like a cloud, with three numbers per line.

    Matrices and lists of boxes or labels look similar, but have fewer than 16 lines.
    """
    whole = _unquoted(to_utf8(start)).splitlines()
    lines = [line for line in whole[: max(len(whole) - 1, 1)] if line.strip()]
    lines = [line for line in lines if not line.startswith(b"#")]
    if lines and not _is_numbers(lines[0]) and not {b"x", b"y", b"z"} <= set(_names(lines[0])):
        return False
    lines = lines[1:] if lines and not _is_numbers(lines[0]) else lines
    if lines and len(lines[0].split()) == 1 and lines[0].strip().isdigit():
        lines = lines[1:]
    few = _separated(lines[:LEAST])
    return len(few) == LEAST and all(_is_numbers(line) and len(line.split()) >= 3 for line in few)


def _header(lines: list[bytes]) -> tuple[list[bytes], list[bytes], tuple[str, ...]]:
    """The names of the columns, where a line before the points gives them, and the lines after.

    A comment gives them if it has a name for each column.
    """
    ignored, start, columns = 0, len(lines), list[bytes]()
    for k, line in enumerate(lines[:_HEAD]):
        names, words = _names(line), re.split(rb"[\s,;]+", plain_nan(line).strip(b" \t,;\r"))
        numbers = [bool(_NUMBER.fullmatch(word)) for word in words]
        named = {b"x", b"y", b"z"} <= set(names)
        if line.lstrip().startswith(_COMMENTS):
            columns = names if named else columns
        elif named:
            return names, lines[k + 1 :], ()
        elif all(numbers[:3]):
            start = min(start, k)
            if len(words) > 1:  # else it is a count
                columns = columns if len(columns) == len(words) else []
                break
        else:
            ignored += 1
            if sum(numbers) > 1:
                return [], lines, ()
    if start == len(lines):
        return [], lines, ()
    if not ignored or columns:
        return columns, lines[start:], ()
    note = "the first line has no numbers and is"
    if ignored > 1:
        note = f"the first {ignored} lines have no numbers and are"
    return [], lines[start:], (f"{note} ignored; columns 1 to 3 are x, y, z",)


def _is_counted(lines: list[bytes], width: int) -> bool:
    """Whether the first of four columns or more is the number of the line, from 0 or 1."""
    if width < 4 or len(lines) < LEAST:
        return False
    first = [line.split(None, 1)[0] for line in (*lines[:LEAST], lines[-1])]
    if not all(map(_NUMBER.fullmatch, first)):
        return False
    begin, *_ = counted = list(map(float, first))
    expected = [*(begin + k for k in range(LEAST)), begin + len(lines) - 1]
    return begin in (0, 1) and counted == expected


def _without_counts(lines: list[bytes]) -> tuple[list[bytes], tuple[str, ...]]:
    """The lines without those of PTS that state the number of points of a scan, and a note."""
    counts = [line for line in lines if line.strip().isdigit()]
    lines = [line for line in lines if not line.strip().isdigit()]
    total = sum(map(int, counts))
    if total == len(lines):
        return lines, ()
    return lines, (f"the file states {total} points and has {len(lines)}",)


def _unquoted(data: bytes) -> bytes:
    """The text without quotation marks; a comma within a quoted number is decimal."""
    if b'"' not in data:
        return data
    data = re.sub(rb'"(%s)"' % _GROUPED.pattern, _ungrouped, data)
    return _QUOTED_COMMA.sub(rb"\1.\2", data).replace(b'"', b"")


def _ungrouped(number: re.Match[bytes]) -> bytes:
    """A number without separators of thousands: its last separator is the decimal one."""
    *whole, fraction = re.split(rb"[.,]", number[1])
    return b"".join(whole) + b"." + fraction


def _names(line: bytes) -> list[bytes]:
    """The columns that a header names, by the names of ``_OWN``."""
    line = _UNIT.sub(b"", line).lstrip(b"#/%! \t")
    words = [word.strip(b'"/ ').lower() for word in re.split(rb"[\s,;]+", line.strip())]
    return [_COLUMNS.get(word, word) for word in words]


def _places(names: list[bytes], width: int) -> list[int]:
    """Which columns are x, y, z and, where there may be some, the normal."""
    if not names:
        return list(range(min(width, 6)))
    own = _OWN if b"nz" in names else _OWN[:3]
    return [names.index(name) for name in own if name in names]


def _is_numbers(line: bytes) -> bool:
    return all(_NUMBER.fullmatch(word) for word in re.split(rb"[\s,;]+", line.strip(b" \t,;\r")))


def _separated(lines: list[bytes]) -> list[bytes]:
    """The lines with spaces between their numbers and decimal points in them."""
    seen = lines[:_SEEN]
    if not any(_SEPARATORS.search(line) for line in seen):
        return lines
    words = [[word.rstrip(b",") for word in _WORD.findall(line)] for line in seen]
    several = [row for row in words if len(row) > 1]
    decimal = (
        bool(several)
        and all(len(row) >= 3 for row in several)
        and all(b"," not in word or _DECIMAL_COMMA.fullmatch(word) for row in words for word in row)
        and not any(b"." in line for line in seen)
        and any(b"," in word for row in words for word in row)
    )
    if decimal:
        spaced = [_LOOSE_COMMA.sub(b" ", line).replace(b";", b" ") for line in lines]
        return [line.replace(b",", b".") for line in spaced]
    if any(map(_GROUPED.fullmatch, itertools.chain.from_iterable(several))):
        raise MeshError(
            "its numbers seem to have separators of thousands, as in '1,234.5'; write it without "
            "them, or with quotation marks around each number"
        )
    if _may_be_halves(seen):
        raise MeshError(
            "its commas may separate numbers or be decimal: '0,5,1,25' may be two numbers or four; "
            "write it with decimal points, or with ';' between the numbers"
        )
    return [_SEPARATORS.sub(b" ", line) for line in lines]


def _may_be_halves(lines: list[bytes]) -> bool:
    """Whether splitting at commas may have cut decimal numbers in two.

    Then every second word is a fraction: digits without a sign, some long or with a leading zero,
    unlike integer coordinates and colours.
    """
    rows = [line.strip().split(b",") for line in lines]
    if any(len(row) < 6 or len(row) % 2 for row in rows):
        return False
    whole = [word.strip() for row in rows for word in row[::2]]
    parts = [word.strip() for row in rows for word in row[1::2]]
    return (
        all(word.lstrip(b"+-").isdigit() for word in whole)
        and all(map(bytes.isdigit, parts))
        and any((word[:1] == b"0" and len(word) > 1) or len(word) > 3 for word in parts)
    )
