"""A triangle mesh of a shape, with its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.config import to_plain
from pcgen.reconstruct.report import MeshReport
from pcgen.shapes.mesh_files import Mesh


@dataclass(frozen=True, eq=False, repr=False)
class SurfaceMesh:
    """A closed mesh; :meth:`pcgen.Shape.mesh` returns one.

    Attributes:
        mesh: vertices (V, 3) float64 in the shape's own unit, faces (F, 3) int64.
        report: whether it is watertight, how well it fits the points, and more.
        unit: name of the unit, "" if unknown. up: the axis that points up.
        name: of the shape.
    """

    mesh: Mesh
    report: MeshReport
    unit: str = ""
    up: str = "y"
    name: str = ""

    @property
    def vertices(self) -> NDArray[np.float64]:
        return self.mesh.vertices

    @property
    def faces(self) -> NDArray[np.int64]:
        return self.mesh.faces

    def save(
        self,
        path: Path | str,
        *,
        unit: str = "",
        size: float | None = None,
        up: str = "",
        colours: NDArray[np.uint8] | str | None = None,
    ) -> Path:
        """Write the mesh in the format of the suffix and return the path.

        The result is read back and compared first. Suffixes are ``.glb``, ``.ply``, ``.obj``,
        ``.stl`` and ``.3mf``. By default unit and axes are those of the shape. As their standards
        require, a 3MF file has Z up, and a GLB file has Y up and, if ``unit`` is given, metres.


        Args:
            unit: ``mm``, ``cm``, ``m``, ``in`` or ``ft``. size: length of the longest side, in this
                unit.
            up: the axis that points up, ``y`` or ``z``.
            colours: vertex colours (V, 3) or (V, 4) from 0 to 255, or ``height`` or ``normal``;
                stored in GLB, PLY and OBJ.
        Raises:
            InputError: unknown suffix or unit, the shape's unit is unknown and no size was given,
                or the colours do not match. MeshError: the file read back differs.

        Example:
            >>> mesh.save("seat.3mf", unit="mm", size=80)  # doctest: +SKIP
        """
        from pcgen.files import atomic_file
        from pcgen.reconstruct.export import Export, check_formats, checked_bytes
        from pcgen.render.palette import Paint

        path = Path(path)
        (kind,) = check_formats([path.suffix])
        placed, stated = Export(unit=unit, size=size, up=up).placed(
            self.mesh, kind, unit=self.unit, up=self.up
        )
        if isinstance(colours, str):
            colours = Paint(colours)(self.vertices, self.faces, self.up)
        data = checked_bytes(placed, f".{kind}", path.stem, unit=stated, colours=colours)
        with atomic_file(path) as temporary:
            temporary.write_bytes(data)
        return path

    def summary(self) -> dict[str, Any]:
        """The report as plain data."""
        return {"name": self.name, "unit": self.unit, **to_plain(self.report)}

    def __repr__(self) -> str:
        closed = "watertight" if self.report.watertight else "open"
        return (
            f"SurfaceMesh({self.name + ': ' if self.name else ''}{len(self.faces):,} faces, "
            f"{closed}, F-score {self.report.f_score:.3f})"
        )

    def _repr_html_(self) -> str:
        from pcgen.gallery.notebook import NotebookShape, notebook_view
        from pcgen.shapes.axes import to_y_up

        upright = to_y_up(self.vertices, self.up)
        return notebook_view(
            [NotebookShape(upright, faces=self.faces, caption=repr(self), colour="mesh")]
        )
