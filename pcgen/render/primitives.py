"""The primitives that can be drawn: a cloud of balls, or a triangle mesh, with one interface.

Input is checked here: rows with NaN are dropped, equal points become one ball, and faces with
invalid indices raise an error.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.render import palette, raster
from pcgen.render.simplification import simplify

Array = NDArray[np.float64]
Faces = NDArray[np.int64]

NEIGHBOURS = 8  # per point, to measure the spacing
COVER = 0.5  # ball radius over the distance to neighbours: closes surfaces, keeps gaps
BALL = 0.42  # share of the ball's normal in the shading of a cloud
CREASE = np.cos(np.radians(40))  # edges with larger angles are shaded sharp
MAX_FACES = 400_000


@dataclass(frozen=True)
class Balls:
    """A cloud of balls, shaded by the normals of their surface.

    Attributes:
        points: (n, 3) finite; normals: (n, 3), unit or zero, of unknown sign.
        albedo: (n, 3) linear; radii: (n,) world units; radius: their median.
    """

    points: Array
    normals: Array
    albedo: Array
    radii: Array

    @property
    def radius(self) -> float:
        return float(np.median(self.radii))

    def draw(self, x: Array, y: Array, depth: Array, scale: Array, size: tuple[int, int],
             perspective: bool) -> raster.Hits:  # fmt: skip
        """Rasterise at pixel x, y and depth (n,), with ``scale`` (n,) pixels per world unit."""
        if not perspective:
            return raster.discs(x, y, depth, self.radii * scale, self.radii, size)
        bulge = 1 / np.maximum(depth - self.radii, 0.05 * depth) - 1 / depth
        return raster.discs(x, y, -1 / depth, self.radii * scale, bulge, size)

    def surface(self, hits: Faces, position: Array, towards: Array) -> tuple[Array, Array]:
        """Shading normals facing the eye, and albedo, both (m, 3).

        Args:
            hits: (m,) primitives; position: (m, 3) on them; towards: (m, 3) unit, to the eye.
        """
        ball = (position - self.points[hits]) / self.radii[hits, None]
        normal = self.normals[hits]
        normal = _facing(normal, normal, towards)
        return normalised((1 - BALL) * normal + BALL * ball), self.albedo[hits]


@dataclass(frozen=True)
class Triangles:
    """A mesh, smooth except at creases, shaded on both sides.

    Attributes:
        points: (v, 3); faces: (f, 3); corners: (f, 3, 3) unit normals of the corners of faces.
        albedo: (v, 3) linear; radius: the length scale of the light bias.
    """

    points: Array
    faces: Faces
    corners: Array
    albedo: Array
    radius: float

    def draw(self, x: Array, y: Array, depth: Array, scale: Array, size: tuple[int, int],
             perspective: bool) -> raster.Hits:  # fmt: skip
        """See :meth:`Balls.draw`."""
        return raster.triangles(x, y, -1 / depth if perspective else depth, self.faces, size)

    def surface(self, hits: Faces, position: Array, towards: Array) -> tuple[Array, Array]:
        """See :meth:`Balls.surface`; the flat triangle determines the side."""
        origin, along, across, side = (table[hits] for table in self._planes)
        offset = position - origin
        s = np.clip(dot(offset, along), 0, 1)
        t = np.clip(dot(offset, across), 0, 1)
        weights = np.stack([np.clip(1 - s - t, 0, 1), s, t], 1)[:, None]
        normal = _facing(normalised((weights @ self.corners[hits])[:, 0]), side, towards)
        return normal, (weights @ self.albedo[self.faces[hits]])[:, 0]

    @functools.cached_property
    def _planes(self) -> tuple[Array, ...]:
        """Of each face: its first corner, the gradients of the weights of the two others, and its
        normal, of any length; each (f, 3)."""
        a, b, c = (self.points[self.faces[:, k]] for k in range(3))
        u, v = b - a, c - a
        uu, uv, vv = ((x * y).sum(1, keepdims=True) for x, y in ((u, u), (u, v), (v, v)))
        area = np.maximum(uu * vv - uv * uv, 1e-30)
        return a, (vv * u - uv * v) / area, (uu * v - uv * u) / area, np.cross(u, v)


Primitives = Balls | Triangles


def balls(points, normals=None, colour=None, point_size: float = 1.0) -> Balls:  # type: ignore[no-untyped-def]
    """The balls of a cloud.

    Args:
        points: (n, 3); rows that are not finite are ignored.
        normals: (n, 3) of any sign; None or all zero to estimate them from neighbours.
        colour: see :func:`pcgen.render.palette.resolve`.
        point_size: factor of the ball radius, which follows the spacing.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"a cloud must be (n, 3), got {points.shape}; render one shape at a time")
    if not (np.isfinite(point_size) and point_size > 0):
        raise InputError(f"point_size must be a positive number, got {point_size}")
    colours = palette.resolve(colour, len(points))
    finite = np.isfinite(points).all(1)
    if not finite.any():
        raise InputError(f"none of the {len(points)} points of the cloud is finite")
    given = None if normals is None else np.asarray(normals, dtype=np.float64)
    if given is not None and given.shape != points.shape:
        raise InputError(f"normals must be {points.shape} like the points, got {given.shape}")
    if given is not None and not np.nan_to_num(given).any():
        given = None
    points, colours = points[finite], colours[finite]
    spacing, estimated = _neighbourhood(points, estimate=given is None)
    unit = estimated if given is None else normalised(np.nan_to_num(given[finite]))
    radii = np.full(len(points), COVER * spacing * point_size)
    return Balls(points, unit, palette.to_linear(colours), radii)


def triangles(vertices, faces, colour=None) -> Triangles:  # type: ignore[no-untyped-def]
    """The triangles of a mesh, which is simplified above :data:`MAX_FACES` faces.

    Raises:
        MeshError: no faces, indices out of range, or a face with a vertex that is not finite.
    """
    vertices = np.asarray(vertices, dtype=np.float64)
    faces = np.asarray(faces, dtype=np.int64)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise MeshError(
            f"a mesh needs vertices (v, 3) and faces (f, 3), got {vertices.shape}, {faces.shape}"
        )
    if not len(faces):
        raise MeshError("the mesh has no faces; draw its vertices as a cloud")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise MeshError(f"a face refers to vertex {faces.max()} of {len(vertices)}")
    usable = np.isfinite(vertices).all(1)[faces].all(1)
    if not usable.any():
        raise MeshError("every face of the mesh has a vertex that is not finite")
    colour = palette.MESH if colour is None else colour
    albedo = palette.to_linear(palette.resolve(colour, len(vertices)))
    faces = faces[usable]
    if len(faces) > MAX_FACES:
        vertices, faces, kept = simplify(vertices, faces, MAX_FACES)
        albedo = albedo[kept]
    used, packed = np.unique(faces, return_inverse=True)
    faces, vertices, albedo = packed.reshape(-1, 3), vertices[used], albedo[used]
    size = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    return Triangles(
        vertices, faces, corner_normals(vertices, faces), albedo, max(size, 1e-9) / 200
    )


def corner_normals(vertices: Array, faces: Faces) -> Array:
    """Smooth normals per corner (f, 3, 3), or the face normal at creases.

    Vertices with equal coordinates are merged, so that meshes with split vertices look smooth.
    """
    corners = vertices[faces]
    forth = normalised(np.roll(corners, -1, axis=1) - corners)
    back = normalised(np.roll(corners, 1, axis=1) - corners)
    flat: Array = np.cross(forth[:, 0], back[:, 0])
    own = np.repeat(normalised(flat)[:, None], 3, axis=1)
    # Weighted by the angle of the corner (Thürmer and Wüthrich 1998), so that the triangulation of
    # a flat side does not matter.
    weighted = np.arccos(np.clip((forth * back).sum(2, keepdims=True), -1, 1)) * own
    _, same = np.unique(vertices, axis=0, return_inverse=True)
    place = same.reshape(-1)[faces]
    sums = [np.bincount(place.ravel(), weighted[:, :, c].ravel(), len(vertices)) for c in range(3)]
    total: Array = np.stack(sums, axis=1)
    smooth = normalised(total)[place]
    return np.where((smooth * own).sum(2, keepdims=True) >= CREASE, smooth, own)


def _facing(normal: Array, side: Array, towards: Array) -> Array:
    """``normal``, negated where ``side`` points away from the eye."""
    return np.where((dot(side, towards) < 0)[:, None], -normal, normal)


def dot(one: Array, other: Array) -> Array:
    """Products of vectors along the last axis; quicker than a sum over so short an axis."""
    product: Array = np.einsum("...i,...i->...", one, other)
    return product


def normalised(vectors: Array) -> Array:
    """Unit vectors along the last axis; zero stays zero."""
    length = np.sqrt(dot(vectors, vectors))[..., None]
    return vectors / np.where(length > 1e-12, length, 1.0)


def _neighbourhood(points: Array, estimate: bool) -> tuple[float, Array]:
    """Typical distance between neighbours, and PCA normals (zero if undefined)."""
    from scipy.spatial import cKDTree

    distinct = np.unique(points, axis=0)
    extent = float(np.linalg.norm(np.ptp(distinct, axis=0)))
    if len(distinct) < 3 or extent == 0:
        return (0.1 * extent or 1.0), np.zeros_like(points)
    tree = cKDTree(distinct)
    apart, index = tree.query(distinct, k=min(2 * NEIGHBOURS, len(distinct)))
    spacing = float(np.median(apart[:, min(NEIGHBOURS, apart.shape[1]) // 2]))
    spacing = float(np.clip(spacing, 1e-4 * extent, 0.2 * extent))
    if not estimate:
        return spacing, np.zeros_like(points)
    around = distinct[index] - distinct[index].mean(1, keepdims=True)
    _, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", around, around))
    _, row = tree.query(points)
    return spacing, vectors[row, :, 0]
