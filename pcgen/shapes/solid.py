"""What is inside of a mesh, and which of its faces are seen from outside.

Meshes of the field are soups: faces are doubled or wound at random, sheets are open, parts run
through each other, shells lie in shells. So neither normals nor the parity of crossings tell what
is inside. Here a place is **outside** if it sees open air:

1. Air is what a flood from the border of a grid reaches without touching a cell that the surface
   passes through, so gaps narrower than about two cells do not let it in.
2. A place sees air if the segment to one of the nearest cells of air, or several of a few long
   rays, meet no face. So narrow slots, which hold no free cell, are outside too.

Everything else is inside. Faces that air sees from neither side are inner walls, and do not count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.ray_scene import RayScene
from pcgen.shapes.surface import sample_surface

Points = NDArray[np.float64]

REACH = 1.15  # half the side of the grid
CELLS = 64  # of the grid along an axis, 8 times a power of two
SEEN = 8  # cells of air that a place looks for
RAYS, FREE = 12, 2  # long rays of a place, and how many of them must be free
STEP = 2e-3  # off a face, to see what is on its other side
HIDDEN = 0.01  # a surface of which air sees a smaller share counts as seen


class Solid:
    """A mesh in the box [-1, 1] and what is inside of it."""

    def __init__(self, mesh: Mesh) -> None:
        """
        Args:
            mesh: in the box.
        Raises:
            MeshError: it is not in the box.
        """
        from scipy.spatial import cKDTree

        furthest = float(np.abs(mesh.used_vertices()).max())
        if not furthest <= 1 + 1e-6:
            raise MeshError(
                f"a solid is known of a mesh in the box [-1, 1], got coordinates up to "
                f"{furthest:.3g}; scale it first"
            )
        self._mesh = mesh
        self._scene = RayScene(mesh.vertices, mesh.faces, np.zeros(3))
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
        ends = starts + 4 * REACH * self._rays
        free = ~self._scene.blocked(starts.reshape(-1, 3), ends.reshape(-1, 3))
        found[hidden] = free.reshape(-1, RAYS).sum(1) >= FREE
        return found

    def surface(
        self, count: int, generator: np.random.Generator
    ) -> tuple[Points, Points, NDArray[np.bool_]]:
        """Points (m, 3) of the outer surface, uniform by area, with outward unit normals.

        Of ``count`` points of the mesh those that air sees from a side; of all of them, where it
        sees hardly any.

        Returns:
            points, normals, and which of them (m,) lie on open sheets, seen from both sides.
        """
        points, normals = sample_surface(self._mesh, count, generator)
        front = self.outside(points + STEP * normals)
        back = self.outside(points - STEP * normals)
        seen = front | back
        if seen.mean() < HIDDEN:
            seen[:] = True
        outward = np.where((front | ~back)[:, None], normals, -normals)
        return points[seen], outward[seen], (front & back)[seen]

    def _cells_of_air(self) -> Points:
        """The middles of cells that a flood from the border reaches, those near a face."""
        from scipy import ndimage

        cells, count = np.indices((8, 8, 8)).reshape(3, -1).T, 8
        while True:
            side = 2 * REACH / count
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


def _middles(cells: NDArray[np.int64], count: int) -> Points:
    """Middles (n, 3) of cells (n, 3) of a grid of ``count`` cells along an axis."""
    return np.asarray((cells + 0.5) * (2 * REACH / count) - REACH, np.float64)


def _directions(count: int) -> Points:
    """Unit vectors (count, 3), evenly spread: points of a Fibonacci spiral on the sphere."""
    height = 1 - (2 * np.arange(count) + 1) / count
    turn = np.pi * (3 - 5**0.5) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), height, radius * np.sin(turn)], 1)
