"""Triangulate polygons, convex or concave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError

Faces = NDArray[np.int64]
#: Tolerated share of backward area in a polygon, for rounding and quads that are not quite flat.
_BACKWARDS = 1e-6
_MANY = 500  # triangles of one polygon


def check_range(corners: NDArray[np.int64], count: int) -> None:
    """Refuse corner numbers outside of ``count`` vertices."""
    if corners.size:
        low, high = int(corners.min()), int(corners.max())
        if low < 0 or high >= count:
            bad = low if low < 0 else high
            raise MeshError(f"face index {bad} is out of range: there are {count} vertices")


def joined(
    meshes: Sequence[tuple[NDArray[np.float64], Faces]],
) -> tuple[NDArray[np.float64], Faces]:
    """The vertices and faces of several meshes, in one."""
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in meshes)])
    faces = [own + start for (_, own), start in zip(meshes, starts[:-1], strict=True)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)


def triangles(
    vertices: NDArray[np.float64], corners: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[Faces, tuple[str, ...]]:
    """The triangles of all polygons, and notes on faulty ones.

    Polygons that a fan from the first corner covers, such as convex ones, become fans, in their
    order. The others follow, triangulated by manifold3d in the plane of their mean normal.

    Args:
        vertices: (V, 3). corners: (sum of sizes,) vertex numbers, polygon by polygon.
        sizes: (polygons,) corners of each; those with fewer than three are left out and counted.
    Raises:
        MeshError: no polygon has three corners, or a corner is out of range.
    """
    faces = fan(corners, sizes)
    if len(sizes) and not len(faces):
        raise MeshError("no faces: none of them has three corners")
    thin = int((sizes < 3).sum())
    notes = [f"{thin} faces have fewer than three corners; left out"] if thin else []
    if int(sizes.max(initial=0)) <= 3:
        return faces, tuple(notes)
    check_range(corners, len(vertices))
    owner = np.repeat(np.arange(len(sizes)), np.maximum(sizes - 2, 0))
    several = sizes[owner] > 3
    concave = _uncovered(vertices, faces[several], owner[several])
    if not len(concave):
        return faces, tuple(notes)
    starts = np.cumsum(sizes) - sizes
    cut, crossed = [], 0
    for number in concave:
        polygon = corners[starts[number] : starts[number] + sizes[number]]
        found = _cut(vertices[polygon])
        crossed += found is None
        cut.append(fan(polygon, sizes[[number]]) if found is None else polygon[found])
    if crossed:
        notes.append(f"{crossed} faces cross themselves; their surface is a guess")
    return np.concatenate([faces[~np.isin(owner, concave)], *cut]), tuple(notes)


def fan(corners: NDArray[np.int64], sizes: NDArray[np.int64]) -> Faces:
    """Triangles (first, i, i + 1) of each polygon, (F, 3) with F = sum of (size - 2)."""
    if len(sizes) and (sizes == 3).all():
        return corners.reshape(-1, 3)
    starts = np.cumsum(sizes) - sizes
    counts = np.maximum(sizes - 2, 0)
    first = np.repeat(starts, counts)
    step = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    return corners[np.stack([first, first + step + 1, first + step + 2], 1)]


def _uncovered(
    vertices: NDArray[np.float64], faces: Faces, owner: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Polygons whose fan has a triangle that faces against their mean normal.

    The signed areas of a fan sum to the polygon. If none is negative, the triangles do not overlap,
    and the fan covers the polygon.
    """
    x, y, z = np.ascontiguousarray(vertices.T)
    a, b, c = np.ascontiguousarray(faces.T)
    ux, uy, uz = x[b] - x[a], y[b] - y[a], z[b] - z[a]
    vx, vy, vz = x[c] - x[a], y[c] - y[a], z[c] - z[a]
    with np.errstate(all="ignore"):
        crosses = np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], 1)
        first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
        means = np.add.reduceat(crosses, first, axis=0)
        each = np.repeat(means, np.diff(np.r_[first, len(owner)]), axis=0)
        backward = np.einsum("ij,ij->i", crosses, each) < -_BACKWARDS * np.square(each).sum(1)
        # A polygon whose areas cancel has no mean normal.
        backward |= np.abs(each).max(1) < _BACKWARDS * np.abs(crosses).max(1)
        return np.unique(owner[backward])


def _cut(corners: NDArray[np.float64]) -> Faces | None:
    """Triangles of one polygon (n, 3) by corner number; None if it crosses itself."""
    import manifold3d

    arms = corners - corners[0]
    mean = np.cross(arms[1:-1], arms[2:]).sum(0)
    length = float(np.linalg.norm(mean))
    if not (np.isfinite(length) and length > 0):
        return None
    normal = mean / length
    axis = np.eye(3)[np.abs(normal).argmin()]
    right = np.cross(axis, normal)
    right /= np.linalg.norm(right)
    flat = np.stack([arms @ right, arms @ np.cross(normal, right)], 1)
    found = np.asarray(manifold3d.triangulate([flat]), np.int64).reshape(-1, 3)
    u, v = flat[found[:, 1]] - flat[found[:, 0]], flat[found[:, 2]] - flat[found[:, 0]]
    areas = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    covered = abs(float(np.abs(areas).sum()) - length) < 1e-6 * length
    return found if len(found) and covered and not _overlap(flat[found], length) else None


def _overlap(corners: NDArray[np.float64], area: float) -> bool:
    """Whether a triangle (T, 3, 2) has its centre in another one; not asked of very many."""
    if len(corners) > _MANY:
        return False
    centres = corners.mean(1)
    inside = np.ones((len(corners), len(corners)), bool)
    for k in range(3):
        start, side = corners[:, k], corners[:, (k + 1) % 3] - corners[:, k]
        arms = centres[:, None] - start
        inside &= side[:, 0] * arms[..., 1] - side[:, 1] * arms[..., 0] > _BACKWARDS * area
    return bool(inside.sum() > np.trace(inside))
