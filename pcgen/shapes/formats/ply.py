"""Polygon File Format, text and binary: a mesh, or a scan with or without normals."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.formats.polygons import triangles
from pcgen.shapes.formats.raw import RawShape, Sibling, normals_of, plain_nan

_TYPES = {
    name: kind
    for kind, names in {
        "i1": "char int8", "u1": "uchar uint8", "i2": "short int16", "u2": "ushort uint16",
        "i4": "int int32", "u4": "uint uint32", "i8": "long int64", "u8": "ulong uint64",
        "f4": "float float32", "f8": "double float64",
    }.items()
    for name in names.split()
}  # fmt: skip
_CODES = {
    "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
    "f4": "f", "f8": "d",
}  # fmt: skip
_WIDTHS = {code: int(code[1]) for code in _CODES}
_VERTICES = ("vertex", "vertices", "point", "points")
#: Elements of faces.
FACES = ("face", "faces", "triangle", "triangles", "polygon", "polygons", "tristrips")
_CORNERS = ("vertex_indices", "vertex_index", "indices", "vertex_ids", "vertices")
_PADDING = 8  # bytes that may follow the last element, such as a line break
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


def read_ply(data: bytes, sibling: Sibling | None = None) -> RawShape:
    """Read a PLY file: a mesh of faces and triangle strips or, without any, a scan.

    Raises:
        MeshError: not PLY, a damaged header, or fewer values than it states.
    """
    order, elements, body = read_header(data)
    try:
        if not order:
            data, order, elements, body = *_numbers_of(data[body:], elements), 0
        columns, end = _read_elements(data, body, order, elements)
    except (ValueError, OverflowError, IndexError, struct.error) as error:
        raise MeshError(f"the PLY file is truncated or damaged ({error})") from None
    found = next((columns[name] for name in _VERTICES if name in columns), {})
    vertex = {name: column for name, column in found.items() if not isinstance(column, tuple)}
    if not {"x", "y", "z"} <= vertex.keys():
        raise MeshError("the PLY file has no vertices with x, y and z")
    vertices = np.stack([vertex[axis].astype(np.float64) for axis in "xyz"], 1)
    notes = tuple(
        f"{element.count} {element.name!r} of the PLY file are not understood; left out"
        for element in elements
        if element.count and element.name not in (*_VERTICES, *FACES)
    )
    if len(data) - end > _PADDING:
        notes += ("the PLY file holds more than its header states; the rest is left out",)
    if {"rot_0", "scale_0"} <= vertex.keys():
        notes += ("its points are centres of Gaussians, whose sizes are left out",)
    corners, sizes = _polygons(columns)
    if len(sizes):
        faces, crossed = triangles(vertices, corners, sizes)
        return RawShape(vertices, faces, notes=(*notes, *crossed))
    return RawShape(vertices, normals=normals_of(vertex), notes=notes)


def _polygons(columns: dict[str, dict[str, Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The corners and sizes of all faces, with strips split into triangles."""
    corners, sizes = [], []
    for element in FACES:
        found = columns.get(element, {})
        lists = {name: column for name, column in found.items() if isinstance(column, tuple)}
        if len(lists) == 1 and "tex" not in next(iter(lists)):  # whatever else it is called
            lists = dict.fromkeys(_CORNERS[:1], *lists.values())
        name = next((name for name in _CORNERS if name in lists), None)
        if name is not None:
            values = lists[name][0].astype(np.int64, copy=False)
            if element == "tristrips":
                values = _strips(values, lists[name][1])
            corners.append(values)
            sizes.append(np.full(len(values) // 3, 3) if element == "tristrips" else lists[name][1])
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
    """Byte order ("" for text), the elements, and the offset of the body."""
    start = data[:65536]
    if start.startswith(b"ply\r") and start[4:5] != b"\n":
        start = start.replace(b"\r", b"\n")  # lines as old Macs end them
    mark = start.find(b"\nend_header")
    end = start.find(b"\n", mark + 1)
    if not start.startswith(b"ply") or mark < 0 or end < 0:
        raise MeshError("not a PLY file: it must begin with 'ply' and have a line 'end_header'")
    order: str | None = None
    elements: list[_Element] = []
    for line in start[:mark].decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        try:
            if words[:1] == ["format"]:
                order = _ORDERS[words[1]]
            elif words[:1] == ["element"]:
                elements.append(_Element(words[1].lower(), int(words[2]), ()))
            elif words[:1] == ["property"]:
                elements[-1] = _with_property(elements[-1], words[1:])
        except (KeyError, IndexError, ValueError):
            raise MeshError(f"the PLY header has an invalid line: {line!r}") from None
    if order is None or any(element.count < 0 for element in elements):
        raise MeshError("the PLY header lacks its format, or counts below zero")
    return order, elements, end + 1


def _with_property(element: _Element, words: list[str]) -> _Element:
    if words[0].lower() == "list":
        item = _Property(words[3].lower(), _TYPES[words[2].lower()], _TYPES[words[1].lower()])
    else:
        item = _Property(words[1].lower(), _TYPES[words[0].lower()], None)
    return replace(element, properties=(*element.properties, item))


def _numbers_of(body: bytes, elements: list[_Element]) -> tuple[bytes, str, list[_Element]]:
    """A text body as a binary one in which every value is a double."""
    words = np.array(plain_nan(body).replace(b",", b".").split(), "<f8")
    wide = [
        replace(e, properties=tuple(_Property(p.name, "f8", p.count_kind and "f8")
                                    for p in e.properties))
        for e in elements
    ]  # fmt: skip
    return words.tobytes(), "<", wide


def _read_elements(
    data: bytes, start: int, order: str, elements: list[_Element]
) -> tuple[dict[str, dict[str, Any]], int]:
    """The columns of each element, and the offset of what follows the last one."""
    columns: dict[str, dict[str, Any]] = {}
    for element in elements:
        if element.has_list and element.count:
            columns[element.name], start = _read_lists(data, start, order, element)
            continue
        kind = np.dtype([(item.name, order + item.kind) for item in element.properties])
        table = np.frombuffer(data, kind, element.count, start)
        columns[element.name] = {name: table[name] for name in kind.names or ()}
        start += table.nbytes
    return columns, start


def _read_lists(
    data: bytes, start: int, order: str, element: _Element
) -> tuple[dict[str, Any], int]:
    """An element with lists: the values of each list, row by row, and the sizes of the rows."""
    lists, count = [item.name for item in element.properties if item.count_kind], element.count
    first, _ = _sizes_at(data, start, order, element)
    kind = _row_kind(order, element, first)
    if start + count * kind.itemsize <= len(data):
        table = np.frombuffer(data, kind, count, start)
        if all((table[f"{name} count"] == n).all() for name, n in zip(lists, first, strict=True)):
            found: dict[str, Any] = {item.name: table[item.name] for item in element.properties}
            for name, size in zip(lists, first, strict=True):
                found[name] = found[name].ravel(), np.full(count, size, np.int64)
            return found, start + table.nbytes
    # A header may promise any number of rows; even without entries they need their sizes.
    least = _row_kind(order, element, (0,) * len(lists)).itemsize
    if start + count * least > len(data):
        raise ValueError(f"{count} rows of {element.name} do not fit into the file")
    places = np.empty(count, np.int64)
    sizes = np.empty((count, len(lists)), np.int64)
    groups: dict[tuple[int, ...], list[int]] = {}
    for row in range(count):
        places[row] = start
        own, start = _sizes_at(data, start, order, element)
        sizes[row] = own
        groups.setdefault(own, []).append(row)
    begins = np.cumsum(sizes, 0) - sizes
    flat = {
        item.name: np.empty(sizes[:, lists.index(item.name)].sum() if item.count_kind else count,
                            item.kind)
        for item in element.properties
    }  # fmt: skip
    for own, rows in groups.items():
        kind = _row_kind(order, element, own)
        raw = np.frombuffer(data, np.uint8)[places[rows][:, None] + np.arange(kind.itemsize)]
        table = raw.view(kind)[:, 0]
        for name, values in flat.items():
            k = lists.index(name) if name in lists else -1
            values[rows if k < 0 else begins[rows, k][:, None] + np.arange(own[k])] = table[name]
    return {
        name: (values, sizes[:, lists.index(name)]) if name in lists else values
        for name, values in flat.items()
    }, start


def _row_kind(order: str, element: _Element, sizes: tuple[int, ...]) -> np.dtype[Any]:
    """The data type of one row whose lists have these sizes."""
    fields: list[Any] = []
    left = iter(sizes)
    for item in element.properties:
        if item.count_kind is None:
            fields.append((item.name, order + item.kind))
        else:
            fields.append((f"{item.name} count", order + item.count_kind))
            fields.append((item.name, order + item.kind, (next(left),)))
    return np.dtype(fields)


def _sizes_at(
    data: bytes, start: int, order: str, element: _Element
) -> tuple[tuple[int, ...], int]:
    """The sizes of the lists of the row at ``start``, and the offset of the next row."""
    sizes = []
    for item in element.properties:
        size = 1
        if item.count_kind is not None:
            (number,) = struct.unpack_from(order + _CODES[item.count_kind], data, start)
            size = int(number)
            if size < 0 or size != number:
                raise ValueError(f"a list of {number} values")
            sizes.append(size)
            start += _WIDTHS[item.count_kind]
        start += size * _WIDTHS[item.kind]
    if start > len(data):
        raise ValueError("a list is longer than the file")
    return tuple(sizes), start
