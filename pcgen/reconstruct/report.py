"""The report of a mesh, compared with the points it was made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.reconstruct.self_intersections import crossing_faces
from pcgen.reconstruct.topology import open_edges, topology
from pcgen.reconstruct.watertight import face_areas
from pcgen.shapes.mesh_files import Mesh, far_offset
from pcgen.shapes.ray_scene import RayScene
from pcgen.shapes.surface import sample_surface
from pcgen.shapes.writer import as_point

SAMPLES = 20_000
OPEN = "not watertight"  # begins the note that says why


@dataclass(frozen=True, kw_only=True)
class MeshReport:
    """Measurements of a mesh. Lengths, areas and volumes are in the unit of the input.

    Attributes:
        method: of reconstruction.
        watertight, manifold, components, genus: see :class:`~pcgen.reconstruct.topology.Topology`.
        crossings: pairs of faces that intersect or touch without a common vertex.
        points_to_mesh: mean distance from the points to the surface.
        mesh_to_points: mean distance from the surface (20,000 points on it) to the nearest point;
            at least about half the spacing of the points, even for a perfect mesh.
        f_score: harmonic mean of the shares of points and of surface closer than ``threshold``,
            which is 1 % of the longest side of the box of the points.
        seconds: from points to finished mesh.
        offset: subtracted where single precision would lose the shape: in STL files, and to test
            watertightness; zero unless the shape is far from the origin.
    """

    method: str
    points: int
    vertices: int
    faces: int
    watertight: bool
    manifold: bool
    components: int
    genus: int | None
    crossings: int
    area: float
    volume: float
    points_to_mesh: float
    mesh_to_points: float
    f_score: float
    threshold: float
    seconds: float
    notes: tuple[str, ...] = ()
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)


def measure(
    vertices: NDArray[np.float64],
    faces: NDArray[np.int64],
    points: NDArray[np.float64],
    *,
    method: str,
    seconds: float,
    notes: tuple[str, ...],
) -> MeshReport:
    from scipy.spatial import cKDTree

    offset = far_offset(vertices)
    shape = topology(vertices - offset, faces)
    if offset.any():
        place = ", ".join(f"{x + 0.0:.12g}" for x in offset)
        notes = (*notes, f"far from the origin; STL files have ({place}) subtracted")
    if not shape.watertight:
        notes = (*notes, f"{OPEN}: {open_edges(vertices - offset, faces)}")
    to_mesh = distance_to_mesh(points, vertices, faces)
    surface, _ = sample_surface(Mesh(vertices, faces), SAMPLES, np.random.default_rng(0))
    to_points = cKDTree(points).query(surface)[0]
    threshold = 0.01 * float(np.ptp(points, axis=0).max())
    return MeshReport(
        method=method,
        points=len(points),
        vertices=len(vertices),
        faces=len(faces),
        watertight=shape.watertight,
        manifold=shape.manifold,
        components=shape.components,
        genus=shape.genus,
        crossings=len(crossing_faces(vertices, faces)),
        area=float(face_areas(vertices, faces).sum()),
        volume=volume(vertices, faces),
        points_to_mesh=float(to_mesh.mean()),
        mesh_to_points=float(to_points.mean()),
        f_score=harmonic((to_mesh < threshold).mean(), (to_points < threshold).mean()),
        threshold=threshold,
        seconds=seconds,
        notes=notes,
        offset=as_point(offset),
    )


def harmonic(precision: float, recall: float) -> float:
    total = float(precision) + float(recall)
    return 2 * float(precision) * float(recall) / total if total > 0 else 0.0


def volume(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    """The enclosed volume, positive for faces oriented outwards."""
    centred = vertices - vertices.mean(axis=0)  # limits rounding far from the origin
    a, b, c = (centred[faces[:, i]] for i in range(3))
    return float((np.cross(a, b) * c).sum() / 6)


def distance_to_mesh(
    points: NDArray[np.float64], vertices: NDArray[np.float64], faces: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Exact distance (n,) to the nearest face, by Open3D's ray-casting scene."""
    return RayScene(vertices, faces, points.mean(axis=0)).distance(points)
