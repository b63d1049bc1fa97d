"""Point clouds without faces: XYZ and PTS text, and PCD of the Point Cloud Library."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError

POINT_SUFFIXES = (".xyz", ".pts", ".pcd")

Points = tuple[NDArray[np.float64], NDArray[np.float64] | None]

_SEPARATORS = re.compile(rb"[,;\t]")


def read_points(data: bytes, suffix: str) -> Points:
    """Points (P, 3), and normals (P, 3) or None where the file has none.

    Raises:
        MeshError: not of the format that the suffix names.
    """
    return read_pcd(data) if suffix == ".pcd" else read_xyz(data)


def read_xyz(data: bytes) -> Points:
    """Lines of ``x y z``, or ``x y z nx ny nz``, with anything after; PTS has a count first.

    Six or more columns are taken for normals where columns 4 to 6 have unit length (within 1 %);
    colours do not.
    """
    lines = [line for line in data.splitlines() if line.strip() and not line.startswith(b"#")]
    if any(_SEPARATORS.search(line) for line in lines[:2]):
        lines = [_SEPARATORS.sub(b" ", line) for line in lines]
    if lines and len(lines[0].split()) == 1:
        lines = lines[1:]  # the count of PTS
    if not lines:
        raise MeshError("no points: the file has no line 'x y z'")
    width = len(lines[0].split())
    try:
        table = np.loadtxt(lines, np.float64, usecols=range(min(width, 6)), ndmin=2)
    except (ValueError, OverflowError) as error:
        raise MeshError(f"a line is not numbers 'x y z' ({error})") from None
    if table.shape[1] < 3:
        raise MeshError(f"lines must be 'x y z' with at least three numbers, got {width}")
    if table.shape[1] == 6:
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(table[:, 3:], axis=1)
        if (np.abs(lengths - 1) < 0.01).all():
            return table[:, :3], table[:, 3:]
    return table[:, :3], None


def read_pcd(data: bytes) -> Points:
    """A PCD file: text, binary, or binary_compressed.

    Raises:
        MeshError: a damaged header or body, or no fields x, y and z.
    """
    header, body = _pcd_header(data)
    try:
        names = header["FIELDS"]
        counts = [int(word) for word in header.get("COUNT", ["1"] * len(names))]
        kinds = [
            np.dtype({"F": "f", "I": "i", "U": "u"}[kind] + size).newbyteorder("<")
            for kind, size in zip(header["TYPE"], header["SIZE"], strict=True)
        ]
        total = int(header["POINTS"][0])
        columns = _pcd_columns(header["DATA"][0], body, names, counts, kinds, total)
        with np.errstate(invalid="ignore"):  # NaN is common in PCD; whoever uses it checks
            points = np.stack([columns[axis] for axis in "xyz"], 1).astype(np.float64)
    except (KeyError, ValueError, IndexError, TypeError, OverflowError) as error:
        raise MeshError(f"the PCD file is damaged or has no x, y, z ({error})") from None
    if {"normal_x", "normal_y", "normal_z"} <= columns.keys():
        normals = np.stack([columns[f"normal_{axis}"] for axis in "xyz"], 1).astype(np.float64)
        return points, normals
    return points, None


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
    raise MeshError("no PCD file: its header has no line DATA")


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
    if coding == "ascii":
        table = np.loadtxt(body.splitlines()[:total], ndmin=2)
        if len(table) != total:
            raise ValueError(f"{total} points are promised, {len(table)} are there")
        starts = np.cumsum(counts) - counts
        return {name: table[:, k] for name, k in zip(names, starts, strict=True)}
    if coding == "binary":
        fields = [
            (f"{name}.{k}", kind, (count,))
            for k, (name, kind, count) in enumerate(zip(names, kinds, counts, strict=True))
        ]
        rows = np.frombuffer(body, np.dtype(fields), total)
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
    """LZF: runs of literals, and references to what has been written (liblzf's format)."""
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
