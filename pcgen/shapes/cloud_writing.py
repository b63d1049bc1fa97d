"""Write a cloud to a PLY, XYZ or NPY file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.files import atomic_file
from pcgen.shapes.arrays import write_npy
from pcgen.shapes.mesh_files import far_offset

POINT_SUFFIXES = (".ply", ".xyz", ".npy")


def write_cloud(
    path: Path | str,
    points: NDArray[np.floating],
    normals: NDArray[np.floating] | None = None,
    colours: NDArray[np.uint8] | None = None,
) -> Path:
    """Write points (n, 3) atomically in the format of the suffix; returns the path.

    Coordinates far from the origin are written in double precision.

    Args:
        normals: (n, 3), for PLY and XYZ. colours: (n, 3) of 0-255, for PLY.
    Raises:
        InputError: an unknown suffix, or arrays that do not fit the points.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in POINT_SUFFIXES:
        raise InputError(f"clouds are written as {', '.join(POINT_SUFFIXES)}, got {suffix!r}")
    for name, array in (("normals", normals), ("colours", colours)):
        if array is not None and array.shape != points.shape:
            raise InputError(f"{name} must be {points.shape}, got {array.shape}")
    kind = "<f8" if far_offset(np.asarray(points, np.float64)).any() else "<f4"
    if suffix == ".npy":
        write_npy(path, np.asarray(points, kind))
        return path
    names = ["x", "y", "z"]
    rows = np.asarray(points, np.float64)
    if normals is not None:
        names += ["nx", "ny", "nz"]
        rows = np.concatenate([rows, normals], axis=1)
    with atomic_file(path) as temporary:
        if suffix == ".xyz":
            np.savetxt(temporary, rows, fmt="%.12g" if kind == "<f8" else "%.6g")
        else:
            temporary.write_bytes(_ply(rows, names, kind, colours))
    return path


def _ply(
    rows: NDArray[np.float64], names: list[str], kind: str, colours: NDArray[np.uint8] | None
) -> bytes:
    record = [(name, kind) for name in names]
    if colours is not None:
        record += [(name, "u1") for name in ("red", "green", "blue")]
    table = np.empty(len(rows), record)
    for column, name in enumerate(names):
        table[name] = rows[:, column]
    for column, name in enumerate(("red", "green", "blue") if colours is not None else ()):
        table[name] = colours[:, column]  # type: ignore[index]
    words = {"<f8": "double", "<f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property {words[form]} {name}" for name, form in record]
    return "\n".join([*header, "end_header", ""]).encode() + table.tobytes()
