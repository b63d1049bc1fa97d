"""Writes meshes as GLB, PLY, OBJ, STL and 3MF; each file is read back and compared first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.reconstruct.topology import is_watertight, merged
from pcgen.shapes.axes import from_y_up, to_y_up
from pcgen.shapes.mesh_files import COLOURED, WRITE_SUFFIXES, Mesh, far_offset, mesh_bytes
from pcgen.shapes.reading import read_mesh
from pcgen.shapes.threemf import write_3mf

FORMATS = (*(suffix[1:] for suffix in WRITE_SUFFIXES), "3mf")
METRES = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254, "ft": 0.3048}
"""The units for exports, in metres."""
UPS = ("y", "z")


@dataclass(frozen=True, kw_only=True)
class Export:
    """How files represent a mesh; by default in the unit and axes of the source.

    PLY, OBJ and STL state neither unit nor axis. As the standards require, 3MF has Z up; GLB is in
    metres if ``unit`` is given, and has Y up if ``unit`` or ``up`` is.

    Attributes:
        unit: unit of the numbers in the files, a key of :data:`METRES`.
        size: length of the longest side in that unit. up: the axis that points up.
    Raises:
        InputError: the unit or axis is unknown, or the size is not positive.
    """

    unit: str = ""
    size: float | None = None
    up: str = ""

    def __post_init__(self) -> None:
        if self.unit and self.unit not in METRES:
            raise InputError(f"unit must be one of {', '.join(METRES)}, got {self.unit!r}")
        if self.up and self.up not in UPS:
            raise InputError(f"up must be one of {', '.join(UPS)}, got {self.up!r}")
        if self.size is not None and not 0 < self.size < math.inf:
            raise InputError(f"size must be a positive length, got {self.size}")

    def check(self, unit: str) -> None:
        """Check that a mesh in ``unit`` can be exported in this way.

        Raises:
            InputError: lengths in an unknown unit cannot be converted.
        """
        if self.unit and self.size is None and unit not in METRES:
            raise InputError(
                f"the unit of this shape is unknown, so it cannot be converted to {self.unit}: "
                "give the length of its longest side (--size), or prepare its data set with --unit"
            )

    def placed(self, mesh: Mesh, kind: str, *, unit: str = "", up: str = "y") -> tuple[Mesh, str]:
        """The mesh as stored in a file, and the unit of its numbers.

        Args:
            kind: of the file, one of :data:`FORMATS`. unit, up: of ``mesh``.
        Raises:
            InputError: see :meth:`check`.
        """
        self.check(unit)
        factor, stated = 1.0, unit
        if self.size is not None:
            used = mesh.used_vertices()
            factor, stated = self.size / float(np.ptp(used, axis=0).max()), self.unit or unit
        elif self.unit:
            factor, stated = METRES[unit] / METRES[self.unit], self.unit
        if kind == "glb" and self.unit:
            factor, stated = factor * METRES[self.unit], "m"
        to = self.up or up
        if kind == "3mf":
            to = "z"
        elif kind == "glb" and (self.unit or self.up):
            to = "y"
        if to == up and factor == 1:
            return mesh, stated
        return Mesh(from_y_up(to_y_up(mesh.vertices, up), to) * factor, mesh.faces), stated


def check_formats(names: Sequence[str]) -> tuple[str, ...]:
    """The formats in lower case, without duplicates.

    Raises:
        InputError: a format is unknown.
    """
    formats = tuple(dict.fromkeys(name.lower().lstrip(".") for name in names))
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise InputError(
            f"cannot write meshes as {', '.join(unknown) or 'nothing'}; "
            f"formats are {', '.join(FORMATS)}"
        )
    return formats


def checked_bytes(
    mesh: Mesh,
    suffix: str,
    name: str = "mesh",
    *,
    unit: str = "",
    colours: NDArray[np.uint8] | None = None,
) -> bytes:
    """The content of a mesh file, after reading it back and comparing.

    Args:
        unit: the unit of a 3MF file; millimetres if unknown, as in its standard.
        colours: vertex colours (V, 3) or (V, 4) from 0 to 255.
    Raises:
        InputError: the suffix is unknown, or colours do not match the mesh or the format.
        MeshError: the mesh read back differs.
    """
    suffix = suffix.lower()
    if colours is not None and suffix not in COLOURED:
        raise InputError(f"colours are stored by {', '.join(COLOURED)}, not by {suffix!r}")
    millimetres = 1.0
    if suffix == ".3mf":
        unit = unit if unit in METRES else "mm"
        data, millimetres = write_3mf(mesh, unit, name), 1000 * METRES[unit]
    else:
        check_formats([suffix])
        data = mesh_bytes(mesh, suffix, name=name, colours=colours)
    try:
        offset = far_offset(mesh.used_vertices())
        found = read_mesh(data, suffix=suffix)
        found = Mesh(found.vertices / millimetres, found.faces)
        shifted = Mesh(mesh.vertices - offset, mesh.faces)
        if suffix != ".stl":
            found = Mesh(found.vertices - offset, found.faces)
        fault = difference(shifted, found)
    except MeshError as error:
        fault = str(error)
    if fault:
        raise MeshError(f"the {suffix} file reads back differently, so it was not written: {fault}")
    return data


def difference(wanted: Mesh, found: Mesh) -> str:
    """The difference between the mesh written and the one read back; empty if there is none.

    Both are compared as another program sees them: vertices at the same position, in single
    precision, are one vertex.
    """
    if len(found.faces) != len(wanted.faces):
        return f"{len(found.faces)} faces instead of {len(wanted.faces)}"
    low, high = wanted.used_vertices().min(0), wanted.used_vertices().max(0)
    tolerance = 1e-5 * max(float((high - low).max()), float(np.abs([low, high]).max()))
    moved = np.abs(found.triangles().mean((0, 1)) - wanted.triangles().mean((0, 1))).max()
    if not moved <= tolerance:
        return f"its centre moved by {moved:.3g}"
    closed = is_watertight(merged(wanted.vertices, wanted.faces))
    if closed and not is_watertight(merged(found.vertices, found.faces)):
        return "it is no longer watertight in the precision of the file; make the shape larger"
    return ""
