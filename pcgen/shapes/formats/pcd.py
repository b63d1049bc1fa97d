"""PCD of the Point Cloud Library: text, binary, and compressed by LZF."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.formats.raw import RawShape, Sibling, normals_of, parse_numbers


def read_pcd(data: bytes, sibling: Sibling | None = None) -> RawShape:
    """Read a PCD file: text, binary, or binary_compressed.

    Raises:
        MeshError: a damaged header or body, or no fields x, y and z.
    """
    header, body = _pcd_header(data)
    try:
        names = [name.lower() for name in header.get("FIELDS") or header["COLUMNS"]]
        counts = [int(word) for word in header.get("COUNT", ["1"] * len(names))]
        kinds = [
            np.dtype({"F": "f", "I": "i", "U": "u"}[kind] + size).newbyteorder("<")
            for kind, size in zip(header["TYPE"], header["SIZE"], strict=True)
        ]
        size = [int(header[key][0]) for key in ("WIDTH", "HEIGHT") if key in header]
        total = int(header["POINTS"][0]) if "POINTS" in header else int(np.prod(size))
        columns = _pcd_columns(header["DATA"][0].lower(), body, names, counts, kinds, total)
        with np.errstate(invalid="ignore"):  # NaN is common in PCD; whoever uses it checks
            points = np.stack([columns[axis] for axis in "xyz"], 1).astype(np.float64)
    except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise MeshError(f"the PCD file is damaged or has no x, y, z ({error})") from None
    return RawShape(points, normals=normals_of(columns))


def _pcd_header(data: bytes) -> tuple[dict[str, list[str]], bytes]:
    header: dict[str, list[str]] = {}
    start = 0
    while start < min(len(data), 65536):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        words = data[start:end].decode("ascii", "replace").split()
        start = end + 1
        if words and not words[0].startswith("#"):
            header[words[0]] = words[1:]
            if words[0] == "DATA":
                return header, data[start:]
    raise MeshError("not a PCD file: its header has no line DATA")


def _pcd_columns(
    coding: str,
    body: bytes,
    names: list[str],
    counts: list[int],
    kinds: list[np.dtype[Any]],
    total: int,
) -> dict[str, NDArray[Any]]:
    """The first number of each field, (total,)."""
    if total < 0 or min(counts) < 1:
        raise ValueError("a count is below one")
    if not total:
        return {name: np.zeros(0) for name in names}
    if coding == "ascii":
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) != total:
            raise ValueError(f"the header states {total} points, the file holds {len(lines)}")
        if sum(counts) > len(lines[0]):
            raise ValueError(f"the header states {sum(counts)} numbers for each point")
        table = parse_numbers(lines, sum(counts))
        starts = np.cumsum(counts) - counts
        return {name: table[:, k] for name, k in zip(names, starts, strict=True)}
    if coding == "binary":
        fields = [
            (f"{name}.{k}", kind, (count,))
            for k, (name, kind, count) in enumerate(zip(names, kinds, counts, strict=True))
        ]
        kind = np.dtype(fields)
        if (held := len(body) // kind.itemsize) > total:
            raise ValueError(f"the header states {total} points, the file holds {held}")
        rows = np.frombuffer(body, kind, total)
        return {name: rows[f"{name}.{k}"][:, 0] for k, name in enumerate(names)}
    if coding != "binary_compressed":
        raise ValueError(f"DATA {coding} is unknown")
    packed, size = (int(word) for word in np.frombuffer(body, "<u4", 2))
    widths = [kind.itemsize * count for kind, count in zip(kinds, counts, strict=True)]
    if size != total * sum(widths):
        raise ValueError(f"{size} bytes cannot be {total} points")
    raw, start, columns = _unpack_lzf(body[8 : 8 + packed], size), 0, {}
    for name, kind, count, width in zip(names, kinds, counts, widths, strict=True):
        values = np.frombuffer(raw, kind, total * count, start)
        columns[name] = values.reshape(total, count)[:, 0]
        start += total * width
    return columns


def _unpack_lzf(data: bytes, size: int) -> bytes:
    """Decompress LZF: runs of literals, and references to earlier output (liblzf's format)."""
    out, k = bytearray(), 0
    while k < len(data):
        control = data[k]
        k += 1
        if control < 32:
            out += data[k : k + control + 1]
            k += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += data[k]
            k += 1
        start = len(out) - ((control & 31) << 8) - data[k] - 1
        k += 1
        if start < 0:
            raise ValueError("a reference before the start")
        run = out[start : start + length + 2]
        # A reference may overlap what it writes: then the run repeats.
        out += (run * ((length + 2) // len(run) + 1))[: length + 2]
        if len(out) > size:
            break
    if len(out) != size:
        raise ValueError(f"unpacks to {len(out)} bytes instead of {size}")
    return bytes(out)
