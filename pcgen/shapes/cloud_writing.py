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
) -> Path:
    """Write points (n, 3) atomically in the format of the suffix; returns the path.

    Coordinates far from the origin are written in double precision.

    Args:
        normals: (n, 3), for PLY and XYZ.
    Raises:
        InputError: an unknown suffix, or normals that do not fit the points.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in POINT_SUFFIXES:
        raise InputError(f"clouds are written as {', '.join(POINT_SUFFIXES)}, got {suffix!r}")
    if normals is not None and normals.shape != points.shape:
        raise InputError(f"normals must be {points.shape}, got {normals.shape}")
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
            temporary.write_bytes(_ply(rows, names, kind))
    return path


def _ply(rows: NDArray[np.float64], names: list[str], kind: str) -> bytes:
    number = {"<f8": "double", "<f4": "float"}[kind]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property {number} {name}" for name in names]
    return "\n".join([*header, "end_header", ""]).encode() + rows.astype(kind).tobytes()
