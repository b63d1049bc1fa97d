"""From a cloud to a mesh and its report: settings, and the whole way.

``reconstruct`` cleans the cloud, finds its normals and its surface, and measures the mesh.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.reconstruct.cloud import prepare_cloud
from pcgen.reconstruct.implicit_surface import NOISY, implicit_surface
from pcgen.reconstruct.level_set import RESOLUTION, check_resolution
from pcgen.reconstruct.mirror_images import with_mirror_images
from pcgen.reconstruct.normals import with_normals
from pcgen.reconstruct.report import MeshReport, measure
from pcgen.reconstruct.watertight import decimate
from pcgen.shapes.mesh_files import Mesh

AUTO, IMPLICIT = "auto", "implicit"
FIELD = "field"  # of a run, see pcgen.model.surfaces
METHODS = (AUTO, IMPLICIT, FIELD)
REMOVED = ("facets", "wrap", "poisson", "alpha", "pivoting")


@dataclass(frozen=True, kw_only=True)
class MeshSettings:
    """Settings of the reconstruction.

    Attributes:
        method: ``implicit``, ``field`` for samples of a run, or ``auto``, which is ``implicit``.
        faces: approximate maximum number of faces; None for no limit.
        thickness: of open sheets, at least, relative to the longest side of the box.
        resolution: cells along an axis.
        symmetry: whether ``implicit`` adds mirror images of noisy points of symmetric clouds.
    """

    method: str = "auto"
    faces: int | None = None
    thickness: float = 0.004
    resolution: int = RESOLUTION
    symmetry: bool = True

    def __post_init__(self) -> None:
        if self.method == "skin":
            warnings.warn("method skin is now implicit", DeprecationWarning, stacklevel=3)
            object.__setattr__(self, "method", IMPLICIT)
        if self.method not in METHODS:
            names = f"method must be one of {', '.join(METHODS)}, got {self.method!r}"
            if self.method in REMOVED:
                names += "; it was removed, as implicit makes better meshes of the same points"
            raise InputError(names)
        if self.faces is not None and self.faces < 4:
            raise InputError(f"faces must be at least 4, got {self.faces}")
        if not 0 < self.thickness < 0.1:
            raise InputError(f"thickness must be between 0 and 0.1, got {self.thickness}")
        check_resolution(self.resolution)

    @property
    def by_field(self) -> bool:
        """Whether samples of a run are meshed with its field."""
        return self.method == FIELD


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """A closed mesh in the unit of its points, and its report.

    Attributes:
        mesh: watertight, manifold, faces oriented outwards.
    """

    mesh: Mesh
    report: MeshReport


def reconstruct(
    points: NDArray[np.floating],
    normals: NDArray[np.floating] | None = None,
    settings: MeshSettings | None = None,
) -> Reconstruction:
    """Make a watertight, manifold mesh through points (P, 3).

    Args:
        normals: (P, 3) outward normals; estimated from the points if missing or zero.
    Raises:
        InputError: the cloud has no surface (too few distinct points, or all on a line).
        MeshError: the method found no surface.
    """
    settings = settings or MeshSettings()
    if settings.by_field:
        raise InputError(
            "method field meshes samples of a run, and these points have no latent of a run with a "
            "field; use auto, or train the run on data with solids"
        )
    start = time.perf_counter()
    given = prepare_cloud(points, normals)
    cloud = with_normals(given)
    # Clean points need no averaging, and unlike those of a run they may well be asymmetric.
    if settings.symmetry and given.normals is not None and cloud.noise > NOISY:
        cloud = with_mirror_images(cloud)
    vertices, faces = implicit_surface(cloud, settings.resolution, 2 * settings.thickness)
    if settings.faces is not None:
        vertices, faces = decimate(vertices, faces, settings.faces)
    vertices = vertices * cloud.scale + cloud.centre
    seconds = time.perf_counter() - start
    report = measure(
        vertices,
        faces,
        given.points * given.scale + given.centre,
        method=IMPLICIT,
        seconds=round(seconds, 4),
        notes=cloud.notes,
    )
    return Reconstruction(mesh=Mesh(vertices, faces), report=report)


def finished(
    mesh: Mesh, points: NDArray[np.floating], settings: MeshSettings, start: float
) -> Reconstruction:
    """Simplify a mesh that a run made of a latent to the face budget, and report on it.

    Args:
        points: (P, 3) sampled from the same latent, in the unit of the mesh.
        start: when the work began, by ``time.perf_counter``.
    """
    vertices, faces = mesh.vertices, mesh.faces
    if settings.faces is not None:
        vertices, faces = decimate(vertices, faces, settings.faces)
    seconds = round(time.perf_counter() - start, 4)
    report = measure(
        vertices,
        faces,
        np.asarray(points, np.float64),
        method=FIELD,
        seconds=seconds,
        notes=(),
    )
    return Reconstruction(mesh=Mesh(vertices, faces), report=report)
