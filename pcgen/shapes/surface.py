"""Sample points uniformly by area from a mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.shapes.mesh_files import Mesh, face_crosses


def sample_surface(
    mesh: Mesh, count: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample independent points, uniform by area, with the normals of their faces.

    Duplicate faces count twice; degenerate faces get no points.

    Args:
        mesh: triangles in any length unit; the points share it.
        count: at least 1.
        generator: the only source of randomness; equal states give equal points.
    Returns:
        points (count, 3) and unit normals (count, 3), oriented like the faces.
    Raises:
        MeshError: no face has positive area.
    """
    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    # Scaled to unit size first: squares of very small or large coordinates overflow float64.
    used = mesh.used_vertices()
    low, high = used.min(0), used.max(0)
    size = float((high - low).max())
    if not (np.isfinite(size) and size > 0):
        raise MeshError("the mesh has no extent, or vertices that are not finite")
    crosses = face_crosses(Mesh((mesh.vertices - low) / size, mesh.faces))
    doubled = np.sqrt(np.einsum("ij,ij->i", crosses, crosses))
    edges = np.cumsum(doubled)
    if not edges[-1] > 0:
        raise MeshError("the area of the surface is zero")
    drawn = generator.random((count, 3))
    # side="right" never selects a face without area, whose edge equals the previous one.
    face = np.searchsorted(edges, drawn[:, 0] * edges[-1], side="right")
    face = np.minimum(face, int(np.flatnonzero(doubled)[-1]))
    # The square root makes the draw uniform in the triangle (Osada et al. 2002, eq. 1).
    root, along = np.sqrt(drawn[:, 1, None]), drawn[:, 2, None]
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces[face]], 1, 0)
    points = (1 - root) * a + root * (1 - along) * b + root * along * c
    return points, crosses[face] / doubled[face, None]
