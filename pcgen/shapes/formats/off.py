"""Object File Format, text and binary, with all variants of the first word.

ModelNet files begin with ``OFF490926 …``.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.formats.polygons import triangles
from pcgen.shapes.formats.raw import RawShape, Sibling, parse_numbers, plain_nan

# ST (texture), C (colour) and N (normal) mean more numbers per vertex, 4 a homogeneous coordinate,
# n another dimension; Geomview and MeshLab differ in their order. The word may be missing.
_MAGIC = re.compile(
    rb"\s*(?:(?P<kind>(?:ST|[CN])*4?)(?P<any>n?)OFF|(?P<small>(?:st|[cn])*4?)off|(?=\d+\s+\d))"
    rb"(?P<binary>\s*BINARY\s*?\n)?",
)
_COMMENT = re.compile(rb"#[^\n\r]*")
Table = NDArray[np.float64]
Integers = NDArray[np.int64]
#: Vertices, corners and sizes of the faces, and what the counts do not cover, such as "2 lines".
Content = tuple[Table, Integers, Integers, str]


def read_off(data: bytes, sibling: Sibling | None = None) -> RawShape:
    """Read the vertices and triangles of an OFF file; without faces it is a scan.

    The counts may follow the magic word on the same line, with or without a space, or on the next
    line. If lines are not one vertex or face each, the file is read as a stream of numbers, and the
    magic word determines the numbers per vertex.

    Raises:
        MeshError: not OFF, not in 3D, or fewer numbers than the counts state.
    """
    magic = _MAGIC.match(data)
    if not (magic and magic["binary"]):
        data = plain_nan(data)
        data = _COMMENT.sub(b"", data) if b"#" in data else data
        magic = _MAGIC.match(data)
    if magic is None:
        raise MeshError("not an OFF file: it must begin with OFF")
    kind, body = (magic["kind"] or magic["small"] or b"").upper(), data[magic.end() :]
    width = 4 if b"4" in kind else 3
    normal = 3 if b"N" in kind else 0
    columns = width + normal + 4 * (b"C" in kind) + 2 * (b"ST" in kind)
    try:
        if magic["binary"]:
            table, corners, sizes, left = _read_binary(body, columns, bool(magic["any"]))
        else:
            body = _without_dimension(body) if magic["any"] else body
            content = _read_lines(body, width, normal) or _read_stream(body, columns)
            table, corners, sizes, left = content
    except (ValueError, IndexError, OverflowError) as error:
        raise MeshError(f"the OFF file is truncated or damaged ({error})") from None
    vertices = table[:, :3]
    if width == 4:
        with np.errstate(all="ignore"):
            vertices = vertices / table[:, 3:4]
    said = (f"{left} after the last face of the OFF file are left out",) if left else ()
    if not len(sizes):
        normals = table[:, width : width + 3] if normal else None
        return RawShape(vertices, normals=normals, notes=said)
    if sizes.min() < 0 or sizes.sum() != len(corners):
        raise MeshError("a face of the OFF file has fewer corners than it says")
    faces, notes = triangles(vertices, corners, sizes)
    return RawShape(vertices, faces, notes=(*said, *notes))


def _without_dimension(body: bytes) -> bytes:
    dimension, rest = body.split(None, 1)
    if dimension != b"3":
        raise MeshError("nOFF of a dimension other than 3; only 3D shapes are read")
    return rest


def _counts(words: list[bytes]) -> tuple[int, int]:
    try:
        vertices, faces = (int(word) for word in words[:2])
    except ValueError:
        raise MeshError("the counts after the word OFF are not two or three integers") from None
    return _checked(vertices, faces)


def _checked(vertices: int, faces: int) -> tuple[int, int]:
    if vertices < 1 or faces < 0:
        promised = f"the OFF file states {vertices} vertices and {faces or 'no'} faces"
        raise MeshError(f"no faces and no points: {promised}")
    return vertices, faces


def _read_lines(body: bytes, width: int, normal: int) -> Content | None:
    """The content of a file with one item per line; None for other files."""
    lines = [line for line in (raw.strip() for raw in body.splitlines()) if line]
    first = lines[0].split() if lines else []
    if len(first) not in (2, 3):
        return None
    count, face_count = _counts(first)
    columns = width if face_count else width + normal  # of a mesh, normals do not matter
    end = 1 + count
    faces = lines[end : end + face_count]
    if len(faces) < face_count or len(lines) < end:
        return None
    if len(lines[1].split()) != len(lines[count].split()):
        return None
    try:
        words = [line.split() for line in faces]
        sizes = np.array([int(face[0]) for face in words], np.int64)
        # Numbers after the corners of a face are its colour.
        flat = [int(word) for face in words for word in face[1 : 1 + max(int(face[0]), 0)]]
        left = len(lines) - end - face_count
        table = parse_numbers(lines[1:end], columns)
        return table, np.array(flat, np.int64), sizes, f"{left} lines" if left else ""
    except (ValueError, OverflowError):
        return None


def _read_stream(body: bytes, columns: int) -> Content:
    """As :func:`_read_lines`, ignoring line breaks; faces have no colours."""
    words = body.split()
    count, face_count = _counts(words)
    if len(words) < 3 + count * columns + face_count:
        raise ValueError(
            f"the OFF file states {count} vertices and {face_count or 'no'} faces, but has only "
            f"{len(words) - 3} numbers"
        )
    end = 3 + count * columns
    table = np.array(words[3:end], np.float64).reshape(count, columns)
    values, sizes, flat, place = list(map(int, words[end:])), [], [], 0
    for _ in range(face_count):
        sizes.append(values[place])
        flat += values[place + 1 : place + 1 + max(sizes[-1], 0)]
        place += 1 + max(sizes[-1], 0)
    if place != len(values):
        raise ValueError(f"its faces have {place} numbers, {len(values)} are there")
    return table, np.array(flat, np.int64), np.array(sizes, np.int64), ""


def _read_binary(body: bytes, columns: int, has_dimension: bool) -> Content:
    """As :func:`_read_lines`, for Geomview's binary form: big-endian, each face with a colour."""
    start = 4 * has_dimension
    if has_dimension and body[:4] != b"\0\0\0\3":
        raise MeshError("nOFF of a dimension other than 3; only 3D shapes are read")
    count, face_count = _checked(*np.frombuffer(body, ">i4", 2, start).tolist())
    table = np.frombuffer(body, ">f4", count * columns, start + 12).reshape(count, columns)
    rest = body[start + 12 + table.nbytes :]
    values = np.frombuffer(rest[: len(rest) // 4 * 4], ">i4").astype(np.int64)
    sizes, flat, place = [], [], 0
    for _ in range(face_count):
        size = max(int(values[place]), 0)
        sizes.append(size)
        flat.append(values[place + 1 : place + 1 + size])
        place += 2 + size + max(int(values[place + 1 + size]), 0)
    if place > len(values):
        raise ValueError("its last face is cut off")
    corners = np.concatenate(flat) if flat else np.zeros(0, np.int64)
    left = f"{len(values) - place} numbers" if len(values) > place else ""
    return table.astype(np.float64), corners, np.array(sizes, np.int64), left
