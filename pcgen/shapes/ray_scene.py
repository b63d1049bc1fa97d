"""Open3D's ray-casting scene over a mesh: distances, insides and hits, on one thread."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


class RayScene:
    """Faces (F, 3) over vertices (V, 3), in single precision about ``centre`` (3,)."""

    def __init__(self, vertices: Points, faces: NDArray[np.int64], centre: Points) -> None:
        import open3d as o3d

        self._centre = centre
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(self._local(vertices), _tensor(faces.astype(np.uint32)))

    def distance(self, points: Points) -> Points:
        """Of points (n, 3) to the nearest face (n,)."""
        found = self._scene.compute_distance(self._local(points), nthreads=1)
        return found.numpy().astype(np.float64)

    def closest(self, points: Points) -> tuple[Points, Points]:
        """The nearest point of the surface to each of ``points`` (n, 3), and its face's normal.

        Both are (n, 3); the normals have length one, and zero on faces without area.
        """
        found = self._scene.compute_closest_points(self._local(points), nthreads=1)
        foot, normal = (found[key].numpy() for key in ("points", "primitive_normals"))
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        unit = np.where(length > 0, normal / np.maximum(length, 1e-30), 0)
        return foot.astype(np.float64) + self._centre, unit.astype(np.float64)

    def blocked(self, starts: Points, ends: Points) -> NDArray[np.bool_]:
        """Which segments from ``starts`` (n, 3) to ``ends`` (n, 3) meet a face."""
        rays = self._rays(starts, ends - starts)
        found = self._scene.test_occlusions(rays, tnear=0.0, tfar=1.0, nthreads=1)
        return np.asarray(found.numpy())

    def first_hit(self, starts: Points, directions: Points) -> Points:
        """How far (n,) rays (n, 3) run before they meet a face, in lengths of ``directions``.

        Infinite where they meet none.
        """
        found = self._scene.cast_rays(self._rays(starts, directions), nthreads=1)["t_hit"]
        return found.numpy().astype(np.float64)

    def inside(self, points: Points) -> NDArray[np.bool_]:
        """Which points (n, 3) a closed mesh encloses, by the parity of rays' crossings."""
        found = self._scene.compute_occupancy(self._local(points), nthreads=1, nsamples=5)
        return found.numpy() > 0.5

    def _rays(self, starts: Points, directions: Points) -> Any:
        rays = np.concatenate([starts - self._centre, directions], axis=1)
        return _tensor(rays.astype(np.float32))

    def _local(self, points: Points) -> Any:
        return _tensor((points - self._centre).astype(np.float32))


def _tensor(array: NDArray[Any]) -> Any:
    import open3d as o3d

    tensor: Any = o3d.core.Tensor  # its stubs do not know numpy arrays
    return tensor(array)
