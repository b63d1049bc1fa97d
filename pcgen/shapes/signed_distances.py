"""Signed distances to the outer surface of any triangles: what is inside of a mesh.

Faces of common meshes are doubled or wound at random, sheets are open, parts and shells intersect,
so neither normals nor the parity of crossings decide. A place is **outside** if it sees open air:

1. Air is what a flood from the border of a grid reaches without touching a cell that the surface
   passes through, so gaps narrower than about two cells do not let it in.
2. A place sees air if the segment to one of the nearest cells of air, or several of a few long
   rays, meet no face. So narrow slots, which hold no free cell, are outside too.

Everything else is inside; inner walls do not count. Material thinner than :data:`SHEET`, an open
sheet included, is thickened outwards. The frame is that of
:func:`pcgen.shapes.normalise.proportion_free`, in which latents are coded.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.normalise import FLAT
from pcgen.shapes.ray_scene import RayScene
from pcgen.shapes.surface import sample_surface

Points = NDArray[np.float64]

SHEET = 0.024
"""Least thickness of material, in a frame of side 2."""
HALF_SIDE = 1.15
"""Half the side of the box in which distances are stored."""
NUMBERS = 4
"""Of a stored place: its position and its signed distance."""

CELLS = 64  # of the grid along an axis, 8 times a power of two
SEEN = 8  # cells of air that a place looks for
RAYS, FREE = 12, 2  # long rays of a place, and how many of them must be free
STEP = 2e-3  # beyond a face, to see what is on its other side
ON = 1e-4  # nearer than this, a place is on the surface
NEAR = ((0.0, 0.15), (0.012, 0.5), (0.04, 0.35))  # spread of places about the surface, and shares
IN_BOX = 0.2  # share of the places that are uniform in the box


class OuterSurface:
    """The outer surface of a mesh in the frame of this module, and what is inside of it.

    Attributes:
        mesh: its triangles, in that frame.
        centre, half: (3,) each; own units are ``vertices * half + centre``.
    """

    def __init__(self, mesh: Mesh) -> None:
        """
        Args:
            mesh: in any unit and frame.
        Raises:
            MeshError: it has no extent, or vertices that are not finite.
        """
        from scipy.spatial import cKDTree

        used = mesh.used_vertices()
        low, high = used.min(0), used.max(0)
        side = high - low
        longest = float(side.max())
        if not (np.isfinite(longest) and longest > 0):
            raise MeshError("the mesh has no extent, or vertices that are not finite")
        self.centre, self.half = (low + high) / 2, np.maximum(side, FLAT * longest) / 2
        vertices = (mesh.vertices - self.centre) / self.half
        self.mesh = Mesh(np.clip(vertices, -1, 1), mesh.faces)
        self._scene = RayScene(self.mesh.vertices, mesh.faces, np.zeros(3))
        self._air = self._cells_of_air()
        self._tree = cKDTree(self._air)
        self._rays = _directions(RAYS)

    def outside(self, points: Points) -> NDArray[np.bool_]:
        """Which of the points (n, 3) see open air."""
        near = self._tree.query(points, SEEN)[1]
        starts, ends = np.repeat(points[:, None], SEEN, 1), self._air[near]
        free = ~self._scene.blocked(starts.reshape(-1, 3), ends.reshape(-1, 3))
        found = np.asarray(free.reshape(-1, SEEN).any(1))
        hidden = np.flatnonzero(~found)
        starts = np.repeat(points[hidden][:, None], RAYS, 1)
        ends = starts + 4 * HALF_SIDE * self._rays
        free = ~self._scene.blocked(starts.reshape(-1, 3), ends.reshape(-1, 3))
        found[hidden] = free.reshape(-1, RAYS).sum(1) >= FREE
        return found

    def sample(
        self, count: int, generator: np.random.Generator
    ) -> tuple[Points, Points, NDArray[np.bool_]]:
        """Points (m, 3) of the outer surface, uniform by area, with outward unit normals.

        Of ``count`` points of the mesh those that air sees from a side; of all of them, where it
        sees hardly any.

        Returns:
            points, normals, and which of them (m,) lie on open sheets, seen from both sides.
        """
        points, normals = sample_surface(self.mesh, count, generator)
        front = self.outside(points + STEP * normals)
        back = self.outside(points - STEP * normals)
        seen = front | back
        if seen.mean() < 0.01:
            seen[:] = True
        outward = np.where((front | ~back)[:, None], normals, -normals)
        return points[seen], outward[seen], (front & back)[seen]

    def distances(self, points: Points, outer: Points) -> Points:
        """Signed distances (n,) of points (n, 3) to the outer surface, negative inside.

        Args:
            outer: (m, 3) points of the outer surface; they stand for it where an inner wall is
                nearer.
        """
        from scipy.spatial import cKDTree

        foot, normal = self._scene.closest(points)
        away = np.linalg.norm(points - foot, axis=1)
        # On the surface itself rounding would decide the side, so that of the face is taken.
        on = (away < ON)[:, None]
        onward = np.where(on, normal, (foot - points) / np.maximum(away, ON)[:, None])
        out = self.outside(np.where(on, foot - STEP * normal, points))
        beyond = self.outside(foot + STEP * onward)
        inward = np.where(out[:, None], onward, -onward)
        depth = STEP + self._scene.first_hit(foot + STEP * inward, inward)
        thickness = np.where(out & beyond, 0.0, depth)
        found = np.where(out, away, -away) - np.maximum(SHEET - thickness, 0) / 2
        inner = ~out & ~beyond
        if inner.any():
            found[inner] = -cKDTree(outer).query(points[inner])[0]
        return np.asarray(found)

    def _cells_of_air(self) -> Points:
        """The middles of cells that a flood from the border reaches, those near a face."""
        from scipy import ndimage

        cells, count = np.indices((8, 8, 8)).reshape(3, -1).T, 8
        while True:
            side = 2 * HALF_SIDE / count
            middle = _middles(cells, count)
            # No sphere about a cell's middle that holds the cell lets a face slip through.
            crossed = cells[self._scene.distance(middle) < side * 3**0.5 / 2]
            if count == CELLS:
                break
            halves = np.indices((2, 2, 2)).reshape(3, -1).T
            cells, count = (2 * crossed[:, None] + halves).reshape(-1, 3), 2 * count
        wall = np.zeros((CELLS,) * 3, bool)
        wall[tuple(crossed.T)] = True
        part = ndimage.label(~wall)[0]
        air = part == part[0, 0, 0]
        near = air & ndimage.binary_dilation(~air, iterations=2)
        return _middles(np.argwhere(near), CELLS)


def sample_signed_distances(
    mesh: Mesh, count: int, generator: np.random.Generator
) -> NDArray[np.float16]:
    """Places about the outer surface and in the box, with their signed distances.

    Args:
        mesh: in any unit; count: of places.
    Returns:
        (count, 4) float16 in the frame of this module: x, y, z and the distance, negative inside.
        The distance is that of the place as it is stored. The order is random.
    Raises:
        MeshError: the mesh has no surface.
    """
    outer_surface = OuterSurface(mesh)
    outer = outer_surface.sample(2 * count, generator)[0]
    free = round(IN_BOX * count)
    spread, share = np.array(NEAR).T
    width = generator.choice(spread, size=(count, 1), p=share)
    places = outer[generator.integers(len(outer), size=count)]
    places = places + width * generator.normal(size=places.shape)
    places[:free] = generator.uniform(-HALF_SIDE, HALF_SIDE, size=(free, 3))
    stored = np.clip(places, -HALF_SIDE, HALF_SIDE)[generator.permutation(count)].astype(np.float16)
    distance = outer_surface.distances(stored.astype(np.float64), outer)
    return np.concatenate([stored, distance[:, None].astype(np.float16)], 1)


def _middles(cells: NDArray[np.int64], count: int) -> Points:
    """Middles (n, 3) of cells (n, 3) of a grid of ``count`` cells along an axis."""
    return np.asarray((cells + 0.5) * (2 * HALF_SIDE / count) - HALF_SIDE, np.float64)


def _directions(count: int) -> Points:
    """Unit vectors (count, 3), evenly spread: points of a Fibonacci spiral on the sphere."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.pi * (3 - 5**0.5) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], 1)
