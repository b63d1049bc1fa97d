""":func:`mesh`: a mesh of one shape; :func:`save_meshes`: mesh files of many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen import pipeline
from pcgen.api.data import Data
from pcgen.api.meshes import SurfaceMesh
from pcgen.api.shapes import Shape, Shapes, read_shape, read_shapes
from pcgen.errors import InputError
from pcgen.progress import shown

if TYPE_CHECKING:
    from pcgen.reconstruct.batch import NamedCloud


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
        method: ``auto``, ``implicit``, ``field``, ``facets``, ``wrap``, ``poisson``, ``alpha`` or
            ``pivoting``; see ``pcgen mesh --help``.
        faces: approximate upper limit. thickness: of open sheets, relative to the size.
        resolution: cells per axis for ``implicit``, and for ``field``, which meshes samples of
            a run.
        symmetry: whether ``implicit`` adds mirror images of the points of symmetric shapes.
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


def save_meshes(
    shapes: Shapes | Shape | Path | str,
    out: Path | str,
    *,
    formats: Sequence[str] = ("glb",),
    frames: Data | Path | str | None = None,
    method: str = "auto",
    faces: int | None = None,
    thickness: float = 0.004,
    resolution: int = 128,
    symmetry: bool = True,
    unit: str = "",
    size: float | None = None,
    up: str = "",
    colour: str = "plain",
    workers: int | None = None,
    ray: str | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> dict[str, Any]:
    """Mesh shapes into the folder ``out``, each with a report; finished meshes are kept.

    Args:
        shapes: shapes, or the path of a samples file, a cloud file, or a folder of these.
        formats: some of ``glb``, ``ply``, ``obj``, ``stl`` and ``3mf``.
        frames: a data set whose categories give samples in a file their size; None for the place
            that the file stores, else for that of the run's data set.
        method, faces, thickness, resolution, symmetry: see :func:`mesh`.
        unit, size, up: see :meth:`pcgen.SurfaceMesh.save`.
        colour: of the vertices: ``plain``, ``height`` or ``normal``.
        workers: processes; None for this one. ray: address of a cluster to use.
        device: for the method ``field``.
        progress: show progress on stderr.
    Returns:
        the content of ``out/meshes.json``, with a report or an error for each shape.
    Raises:
        InputError: an argument is wrong, or there is nothing to mesh.
    """
    source: Path | list[NamedCloud]
    if isinstance(shapes, str | Path):
        source = Path(shapes)
    elif frames is None:
        source = read_shapes(shapes)._named_clouds()
    else:
        raise InputError("frames is for files; shapes in memory have places of their own")
    with shown(progress):
        return pipeline.mesh(
            source,
            Path(out),
            frames=frames.path if isinstance(frames, Data) else frames,
            formats=formats,
            method=method,
            faces=faces,
            thickness=thickness,
            resolution=resolution,
            symmetry=symmetry,
            unit=unit,
            size=size,
            up=up,
            colour=colour,
            workers=workers,
            ray=ray,
            device=device,
        )
