"""Polygon File Format, text and both binaries: a mesh, or a scan with or without normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.formats.polygons import triangles
from pcgen.shapes.formats.raw import Raw, Sibling

_TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
    **dict.fromkeys(("long", "int64"), "i8"),
    **dict.fromkeys(("ulong", "uint64"), "u8"),
}
_KNOWN = ("vertex", "face", "tristrips")
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class _Property:
    name: str
    kind: str  # a NumPy type code such as f4
    count_kind: str | None  # of the count in front of a list; None for a scalar


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]

    @property
    def has_list(self) -> bool:
        return any(item.count_kind for item in self.properties)


def read_ply(data: bytes, sibling: Sibling | None = None) -> Raw:
    """Read a PLY file: a mesh of faces and triangle strips or, where it has none, a scan.

    Raises:
        MeshError: not PLY, a damaged header, or fewer values than it promises.
    """
    order, elements, body = read_header(data)
    try:
        if order:
            columns = _read_binary(data, body, order, elements)
        else:
            columns = _read_text(data[body:], elements)
    except (ValueError, OverflowError, IndexError) as error:
        raise MeshError(f"the PLY file is truncated or damaged ({error})") from None
    vertex = columns.get("vertex", {})
    if not {"x", "y", "z"} <= vertex.keys():
        raise MeshError("the PLY file has no vertices with x, y and z")
    vertices = np.stack([vertex[axis].astype(np.float64) for axis in "xyz"], 1)
    notes = tuple(
        f"{element.count} {element.name!r} of the PLY file are not understood; left out"
        for element in elements
        if element.count and element.name not in _KNOWN
    )
    corners, sizes = _polygons(columns)
    if len(sizes):
        faces, crossed = triangles(vertices, corners, sizes)
        return Raw(vertices, faces, notes=(*notes, *crossed))
    normals = None
    for prefix in ("n", "normal_"):
        if {f"{prefix}{axis}" for axis in "xyz"} <= vertex.keys():
            columns_of = [vertex[f"{prefix}{axis}"].astype(np.float64) for axis in "xyz"]
            normals = np.stack(columns_of, 1)
    return Raw(vertices, normals=normals, notes=notes)


def _polygons(columns: dict[str, dict[str, Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The corners and sizes of all faces, strips being cut into triangles."""
    corners, sizes = [], []
    for element in ("face", "tristrips"):
        found = columns.get(element, {})
        lists = found.get("vertex_indices", found.get("vertex_index"))
        if lists is not None and isinstance(lists, tuple):
            values = lists[0].astype(np.int64, copy=False)
            if element == "tristrips":
                values = _strips(values, lists[1])
            corners.append(values)
            sizes.append(lists[1] if element == "face" else np.full(len(values) // 3, 3))
        elif any(len(column[-1] if isinstance(column, tuple) else column)
                 for column in found.values()):  # fmt: skip
            raise MeshError(f"the {element} elements of the PLY file have no vertex_indices")
    if not corners:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    if len(corners) == 1:
        return corners[0], sizes[0]
    return np.concatenate(corners), np.concatenate(sizes)


def _strips(values: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The triangles of strips, one after another; -1 and the end of a list end a strip."""
    ends = np.zeros(len(values) + 1, bool)
    ends[np.cumsum(sizes)] = True
    start = ends[:-1] | (values == -1)
    start[1:] |= values[:-1] == -1
    k = np.arange(len(values))
    parity = (k - np.maximum.accumulate(np.where(start, k, 0))) % 2
    first = k[:-2]
    whole = (values[first] >= 0) & (values[first + 1] >= 0) & (values[first + 2] >= 0)
    whole &= ~start[first + 1] & ~start[first + 2]
    first, odd = first[whole], parity[first[whole]]
    return np.stack([values[first], values[first + 1 + odd], values[first + 2 - odd]], 1).ravel()


def read_header(data: bytes) -> tuple[str, list[_Element], int]:
    """Byte order ("" for text), the elements, and where the body begins."""
    start = data[:65536]
    if start.startswith(b"ply\r") and start[4:5] != b"\n":
        start = start.replace(b"\r", b"\n")  # lines as old Macs end them
    mark = start.find(b"end_header")
    end = start.find(b"\n", mark)
    if not start.startswith(b"ply") or mark < 0 or end < 0:
        raise MeshError("no PLY file: it must begin with 'ply' and have a line 'end_header'")
    order: str | None = None
    elements: list[_Element] = []
    for line in start[:mark].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        try:
            if words[:1] == ["format"]:
                order = _ORDERS[words[1]]
            elif words[:1] == ["element"]:
                elements.append(_Element(words[1], int(words[2]), ()))
            elif words[:1] == ["property"]:
                elements[-1] = _with_property(elements[-1], words[1:])
        except (KeyError, IndexError, ValueError):
            raise MeshError(f"the PLY header has a line that makes no sense: {line!r}") from None
    if order is None or any(element.count < 0 for element in elements):
        raise MeshError("the PLY header lacks its format, or counts below zero")
    return order, elements, end + 1


def _with_property(element: _Element, words: list[str]) -> _Element:
    if words[0] == "list":
        count_kind, kind = _TYPES[words[1]], _TYPES[words[2]]
        if count_kind[0] == "f":
            raise ValueError("a count must be an integer")
        item = _Property(words[3], kind, count_kind)
    else:
        item = _Property(words[1], _TYPES[words[0]], None)
    return _Element(element.name, element.count, (*element.properties, item))


def _read_text(body: bytes, elements: list[_Element]) -> dict[str, dict[str, Any]]:
    lines = [line for line in body.splitlines() if line.strip()]
    columns: dict[str, dict[str, Any]] = {}
    for element in elements:
        chunk, lines = lines[: element.count], lines[element.count :]
        if len(chunk) < element.count:
            raise ValueError(f"{element.count} lines of {element.name}, found {len(chunk)}")
        if not element.has_list:
            names = [item.name for item in element.properties]
            table = np.loadtxt(chunk, ndmin=2) if chunk else np.zeros((0, len(names)))
            columns[element.name] = {name: table[:, k] for k, name in enumerate(names)}
            continue
        values = [[float(word) for word in line.split()] for line in chunk]
        columns[element.name] = _split_rows(values, element)
    return columns


def _split_rows(values: list[list[float]], element: _Element) -> dict[str, Any]:
    """Rows with lists in them, by walking each row once."""
    found: dict[str, Any] = {}
    offset = np.zeros(len(values), np.int64)
    for item in element.properties:
        if item.count_kind is None:
            found[item.name] = np.array([row[k] for row, k in zip(values, offset, strict=True)])
            offset += 1
            continue
        sizes = np.array([int(row[k]) for row, k in zip(values, offset, strict=True)], np.int64)
        flat = [
            number
            for row, k, size in zip(values, offset, sizes, strict=True)
            for number in row[k + 1 : k + 1 + size]
        ]
        if len(flat) != sizes.sum() or (len(sizes) and sizes.min() < 0):
            raise ValueError(f"a list of {element.name} is shorter than its count")
        found[item.name] = (np.array(flat), sizes)
        offset += sizes + 1
    return found


def _read_binary(
    data: bytes, start: int, order: str, elements: list[_Element]
) -> dict[str, dict[str, Any]]:
    columns: dict[str, dict[str, Any]] = {}
    for element in elements:
        if element.has_list:
            columns[element.name], start = _read_lists(data, start, order, element)
            continue
        kind = np.dtype([(item.name, order + item.kind) for item in element.properties])
        table = np.frombuffer(data, kind, element.count, start)
        columns[element.name] = {name: table[name] for name in kind.names or ()}
        start += table.nbytes
    return columns


def _read_lists(
    data: bytes, start: int, order: str, element: _Element
) -> tuple[dict[str, Any], int]:
    """An element with lists: at once where all rows have the first row's sizes, else by row."""
    if element.count == 0:
        empty = (np.zeros(0), np.zeros(0, np.int64))
        return {i.name: empty if i.count_kind else empty[0] for i in element.properties}, start
    sizes = _row_sizes(data, start, order, element)
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    for k, item in enumerate(element.properties):
        if item.count_kind is None:
            fields.append((f"v{k}", order + item.kind))
        else:
            fields.append((f"n{k}", order + item.count_kind))
            fields.append((f"v{k}", order + item.kind, (sizes[k],)))
    kind = np.dtype(fields)
    if start + element.count * kind.itemsize <= len(data):
        table = np.frombuffer(data, kind, element.count, start)
        lists = [k for k, item in enumerate(element.properties) if item.count_kind]
        if all((table[f"n{k}"] == sizes[k]).all() for k in lists):
            found: dict[str, Any] = {}
            for k, item in enumerate(element.properties):
                values = table[f"v{k}"]
                if item.count_kind is None:
                    found[item.name] = values
                else:
                    found[item.name] = (values.ravel(), np.full(len(table), sizes[k], np.int64))
            return found, start + table.nbytes
    return _read_rows(data, start, order, element)


def _row_sizes(data: bytes, start: int, order: str, element: _Element) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for k, item in enumerate(element.properties):
        if item.count_kind is not None:
            sizes[k] = int(np.frombuffer(data, order + item.count_kind, 1, start)[0])
            start += np.dtype(item.count_kind).itemsize
        width = np.dtype(item.kind).itemsize
        start += width * sizes.get(k, 1)
        if start > len(data) or sizes.get(k, 0) < 0:
            raise ValueError("a list is longer than the file")
    return sizes


def _read_rows(
    data: bytes, start: int, order: str, element: _Element
) -> tuple[dict[str, Any], int]:
    pieces: dict[int, list[NDArray[Any]]] = {k: [] for k in range(len(element.properties))}
    counts: dict[int, list[int]] = {k: [] for k in pieces}
    kinds = [np.dtype(order + item.kind) for item in element.properties]
    for _ in range(element.count):
        sizes = _row_sizes(data, start, order, element)
        for k, item in enumerate(element.properties):
            if item.count_kind is not None:
                start += np.dtype(item.count_kind).itemsize
                counts[k].append(sizes[k])
            values = np.frombuffer(data, kinds[k], sizes.get(k, 1), start)
            pieces[k].append(values)
            start += values.nbytes
    found: dict[str, Any] = {}
    for k, item in enumerate(element.properties):
        flat = np.concatenate(pieces[k])
        found[item.name] = flat if item.count_kind is None else (flat, np.array(counts[k]))
    return found, start
