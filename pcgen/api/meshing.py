""":func:`mesh`: a mesh of a shape, a file or an array."""

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
    resolution: int = 128,
    symmetry: bool = True,
    progress: bool = False,
) -> SurfaceMesh:
    """Reconstruct a closed mesh from the points of a shape, in its own unit.

    Args:
        shape: a :class:`pcgen.Shape`, the path of a cloud or mesh file, or an array (P, 3).
        method: ``auto``, ``skin``, ``field``, ``facets``, ``wrap``, ``poisson``, ``alpha`` or
            ``pivoting``; see ``pcgen mesh --help``.
        faces: approximate upper limit. thickness: of open sheets, relative to the size.
        resolution: cells per axis for ``skin``, and for ``field``, which meshes samples of a run.
        symmetry: whether ``skin`` adds mirror images of the points of symmetric shapes.
        progress: show progress on stderr.
    Raises:
        InputError: an argument is wrong, or the points have no surface. MeshError: the method
            failed.
    """
    with shown(progress):
        return read_shape(shape).mesh(
            method=method,
            faces=faces,
            thickness=thickness,
            resolution=resolution,
            symmetry=symmetry,
        )
