"""Several reconstruction methods with one interface, and the selection among them.

``reconstruct`` cleans the cloud, lets one method (or, for ``auto``, a few) make triangles, closes
them to a watertight manifold, transforms it back to its own unit and measures it.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError, PcgenError
from pcgen.reconstruct.cloud import JOGGLES, CleanCloud, prepare_cloud
from pcgen.reconstruct.denoise import denoise, noisy_with_normals
from pcgen.reconstruct.facets import planar_facets
from pcgen.reconstruct.implicit_surface import implicit_surface
from pcgen.reconstruct.level_set import RESOLUTION, check_resolution
from pcgen.reconstruct.mirror_images import with_mirror_images
from pcgen.reconstruct.open3d_methods import alpha_shape, pivoting, poisson
from pcgen.reconstruct.planes import estimate_normals
from pcgen.reconstruct.report import MeshReport, distance_to_mesh, harmonic, measure
from pcgen.reconstruct.self_intersections import crossing_faces
from pcgen.reconstruct.watertight import close, decimate
from pcgen.reconstruct.wrap import wrap
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.surface import sample_surface

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

METHODS: dict[str, Callable[[CleanCloud], tuple[Points, Faces]]] = {
    "facets": planar_facets,
    "wrap": wrap,
    "poisson": poisson,
    "alpha": alpha_shape,
    "pivoting": pivoting,
}
IMPLICIT = "implicit"  # closed by itself, of the points as they were given
FIELD = "field"  # of a run, see pcgen.model.surfaces
OF_CELLS = ("facets", "wrap", "alpha")  # methods whose triangles are Delaunay facets
# The methods that `auto` tries, in order; it stops at the first with this agreement.
AUTO = ("facets", "poisson", "alpha")
GOOD = 0.9
# Many noisy points with normals, as sampled from runs, get the implicit surface. Fewer get the
# first method that succeeds: any method that closes them leaves points inside, and a mesh that
# reaches all of them is torn. Without normals foliage looks like noise, 2 of 160 shapes, so there
# the method must agree.
AUTO_OF_NOISY = ("wrap", "facets")
_NEAR = 0.02  # 1 % of the box, whose side is 2


@dataclass(frozen=True, kw_only=True)
class MeshSettings:
    """Settings of the reconstruction.

    Attributes:
        method: a name of ``METHODS``, ``implicit``, ``field`` for samples of a run, or ``auto`` for
            the implicit surface of many noisy points and else the method with the best agreement.
        faces: approximate maximum number of faces; None for no limit.
        thickness: of open sheets, relative to the longest side of the box.
        resolution: cells along an axis, for ``implicit`` and ``field``.
        symmetry: whether ``implicit`` adds mirror images of the points of symmetric clouds.
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
        if self.method not in ("auto", IMPLICIT, FIELD) and self.method not in METHODS:
            names = ", ".join(["auto", IMPLICIT, FIELD, *METHODS])
            raise InputError(f"method must be one of {names}, got {self.method!r}")
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
    if settings.method == FIELD:
        raise InputError(
            "method field meshes samples of a run, and these points have no latent of a run with a "
            "field; use auto, or train the run on data with solids"
        )
    start = time.perf_counter()
    given = prepare_cloud(points, normals)
    candidates: dict[str, float] = {}
    method, cloud = IMPLICIT, given
    if settings.method == IMPLICIT or (settings.method == "auto" and noisy_with_normals(given)):
        cloud = with_mirror_images(given) if settings.symmetry else given
        vertices, faces = implicit_surface(cloud, settings.resolution)
    else:
        cloud = denoise(given)
        method, vertices, faces, candidates = _best(cloud, settings)
    if settings.faces is not None:
        vertices, faces = decimate(vertices, faces, settings.faces)
    vertices = vertices * cloud.scale + cloud.centre
    seconds = time.perf_counter() - start
    report = measure(
        vertices,
        faces,
        given.points * given.scale + given.centre,
        method=method,
        seconds=round(seconds, 4),
        candidates=candidates,
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
        candidates={},
        notes=(),
    )
    return Reconstruction(mesh=Mesh(vertices, faces), report=report)


def _best(cloud: CleanCloud, settings: MeshSettings) -> tuple[str, Points, Faces, dict[str, float]]:
    names: tuple[str, ...] = (settings.method,)
    if settings.method == "auto":
        names = AUTO_OF_NOISY if cloud.noisy else AUTO
    planes = cloud.planes if cloud.normals is None else cloud.normals
    if planes is None and len(names) > 1 and cloud.rank == 3:
        planes = estimate_normals(cloud.points, cloud.spacing)
    found: dict[str, tuple[Points, Faces]] = {}
    scores: dict[str, float] = {}
    failures = []
    for name in names:
        try:
            found[name] = _closed(name, cloud, settings)
        except PcgenError as error:
            failures.append(f"{name}: {error}")
            continue
        scores[name] = round(agreement(*found[name], cloud, planes), 4)
        if scores[name] >= GOOD or (cloud.noisy and cloud.planes is not None):
            break
    if not found:
        raise MeshError(failures[0].split(": ", 1)[1])
    best = max(found, key=lambda name: scores[name])
    return best, *found[best], scores


def _closed(name: str, cloud: CleanCloud, settings: MeshSettings) -> tuple[Points, Faces]:
    """The mesh of one method; joggled more if faces intersect because of flat cells."""
    of_cells = name in OF_CELLS and cloud.rank == 3
    least, best = np.inf, None
    for joggle in JOGGLES if of_cells else JOGGLES[:1]:
        triangles = METHODS[name](replace(cloud, joggle=joggle))
        mesh = close(*triangles, 2 * settings.thickness, full=cloud.noisy, delaunay=of_cells)
        crossings = len(crossing_faces(*mesh)) if of_cells else 0
        if crossings < least:
            least, best = crossings, mesh
        if not crossings:
            break
    assert best is not None
    return best


def agreement(vertices: Points, faces: Faces, cloud: CleanCloud, planes: Points | None) -> float:
    """How well a mesh in box units fits a cloud, 0 to 1: the criterion of ``auto``.

    The harmonic mean of two shares: of the points within 1 % of the box from the mesh, and of the
    mesh within two spacings of a point *and* within 1 % of the plane of one of its three nearest
    points. The plane matters: with sparse points, most of even a perfect mesh is farther than 1 %
    from each of them.
    """
    from scipy.spatial import cKDTree

    near = (distance_to_mesh(cloud.points, vertices, faces) < _NEAR).mean()
    surface, _ = sample_surface(Mesh(vertices, faces), 4096, np.random.default_rng(0))
    distance, index = cKDTree(cloud.points).query(surface, 3)
    supported = distance[:, 0] < 2 * cloud.spacing
    if planes is not None:
        arms = surface[:, None] - cloud.points[index]
        offset = np.abs((arms * planes[index]).sum(axis=2))
        supported &= (offset < _NEAR).any(axis=1)
    return harmonic(near, supported.mean())
