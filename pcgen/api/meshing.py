"""A mesh of anything that holds a shape."""

from __future__ import annotations

from typing import Any

from pcgen.api.meshes import SurfaceMesh
from pcgen.api.shapes import read_shape
from pcgen.progress import shown


def mesh(
    shape: Any,
    *,
    method: str = "auto",
    faces: int | None = None,
    thickness: float = 0.004,
    resolution: int = 96,
    progress: bool = False,
) -> SurfaceMesh:
    """A closed mesh through the points of a shape, in its own unit.

    Args:
        shape: a :class:`pcgen.Shape`, the path of a cloud or mesh file, or an array (P, 3).
        method: ``auto``, ``field``, ``facets``, ``wrap``, ``poisson``, ``alpha`` or ``pivoting``;
            see ``pcgen mesh --help``.
        faces: at most about so many. thickness: of open sheets, as a share of the size.
        resolution: cells along an axis of ``field``, which meshes shapes that a run drew.
        progress: show it on stderr.
    Raises:
        InputError: a wrong argument, or no surface in the points. MeshError: the method failed.
    """
    with shown(progress):
        return read_shape(shape).mesh(
            method=method, faces=faces, thickness=thickness, resolution=resolution
        )
