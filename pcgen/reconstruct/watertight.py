"""Makes any triangles a usable mesh: closed, filled, without small pieces, in a face budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.reconstruct.cell_complex import cell_complex_around
from pcgen.reconstruct.embedding import embedded, filled, side_components, walls_among
from pcgen.reconstruct.thicken import Layer, clean, compact, move_apart, thicken
from pcgen.reconstruct.topology import face_components, topology
from pcgen.shapes.ray_scene import RayScene

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

_CRUMB = 0.002  # components below this share of the total area are dropped
_BUBBLE = 0.01  # a piece with a smaller share of the largest one's volume is dropped
_FLAKE = 0.02  # components with a smaller share of the faces of the largest are flakes if
_SHARED = 0.5  # ... more than this share of their points belong to a larger one
_LOST = 0.1  # cavities are kept if this share of their points would vanish with them


def close(
    vertices: Points,
    faces: Faces,
    thickness: float,
    *,
    full: bool = False,
    delaunay: bool = False,
) -> tuple[Points, Faces]:
    """Make the surface of a solid from triangles.

    Sheets get ``thickness``. Cavities without a way out are filled, unless they have points that
    nothing outside shows (an inner wall). Small components are dropped.

    Args:
        full: fill every cavity: points inside are noise.
        delaunay: test whether the faces are Delaunay facets of ``vertices``, which must not be
            coplanar: faces of the result then do not intersect. Others are sewn, and may intersect
            at sheets.
    Raises:
        MeshError: no faces are left.
    """
    if not len(clean(faces)):
        raise MeshError("no surface was found between the points; try another method")
    if delaunay:
        space = cell_complex_around(vertices)
        walls = walls_among(space, faces)
        if walls is not None:
            pieces = side_components(space, walls)
            kept = _kept(pieces.sides.points, pieces.piece, pieces.volume, full)
            material = filled(space, walls, pieces, kept)
            vertices, faces, origin = embedded(space, walls, material, thickness)
            return compact(vertices, drop_crumbs(vertices, _without_flakes(faces, origin)))
    layer = thicken(vertices, faces)
    kept = _kept(layer.origin[layer.faces], layer.piece, layer.volume, full)
    kept &= ~_inside_filled(layer, kept)
    faces = drop_crumbs(layer.vertices, layer.faces[kept[layer.piece]])
    return compact(move_apart(layer.vertices, faces, thickness / 2), faces)


def _kept(
    points: Faces, piece: NDArray[np.int64], volume: NDArray[np.float64], full: bool
) -> NDArray[np.bool_]:
    """Mark outsides, sheets, and cavities that must be kept.

    Args:
        points: (F, 3) the corners of each face, -1 for none; piece: (F,); volume: (pieces,).
    """
    point, corner_piece = points.reshape(-1), np.repeat(piece, 3)
    pairs = np.unique(np.stack([point, corner_piece], 1)[point >= 0], axis=0)
    hollow = volume < -1e-12
    kept = ~hollow
    shown = np.zeros(int(point.max()) + 1, bool)
    shown[pairs[kept[pairs[:, 1]], 0]] = True
    size = np.bincount(pairs[:, 1], minlength=len(volume))
    lost = np.bincount(pairs[:, 1], ~shown[pairs[:, 0]], minlength=len(volume))
    if not full:
        kept |= lost > _LOST * size
    return kept


def _without_flakes(faces: Faces, origin: NDArray[np.int64]) -> Faces:
    """Remove small components and cavities that share most points with a larger component.

    Args:
        origin: (V,) the point of each vertex, -1 for none.
    """
    label = face_components(faces)
    size = np.bincount(label)
    pairs = np.unique(np.c_[np.repeat(label, 3), origin[faces.reshape(-1)]], axis=0)
    piece, point = pairs[pairs[:, 1] >= 0].T
    largest = np.zeros(int(origin.max()) + 1, np.int64)
    np.maximum.at(largest, point, size[piece])
    shared = np.bincount(piece, largest[point] > size[piece], minlength=len(size))
    flake = (shared > _SHARED * np.bincount(piece)) & (size < _FLAKE * size.max())
    return faces[~flake[label]]


def _inside_filled(layer: Layer, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Components that float inside a cavity that is filled."""
    result = np.zeros(len(kept), bool)
    first = np.unique(layer.piece, return_index=True)[1]
    low = np.full((len(kept), 3), np.inf)
    high = np.full((len(kept), 3), -np.inf)
    corners = layer.vertices[layer.faces]
    np.minimum.at(low, layer.piece, corners.min(axis=1))
    np.maximum.at(high, layer.piece, corners.max(axis=1))
    candidates = np.flatnonzero(kept)
    order = np.argsort(layer.piece, kind="stable")
    start = np.searchsorted(layer.piece[order], np.arange(len(kept) + 1))
    for hollow in np.flatnonzero(~kept):
        within = (low[candidates] > low[hollow]).all(1) & (high[candidates] < high[hollow]).all(1)
        inner = candidates[within]
        if len(inner):
            walls = layer.faces[order[start[hollow] : start[hollow + 1]]]
            used, numbered = compact(layer.vertices, walls)
            scene = RayScene(used, numbered, layer.vertices[walls[0, 0]])
            result[inner] |= scene.inside(corners[first[inner]].mean(1))
    return result


def drop_crumbs(vertices: Points, faces: Faces, share: float = _CRUMB) -> Faces:
    """Remove components whose area is below ``share`` of the largest one's."""
    if not len(faces):
        return faces
    label = face_components(faces)
    area = np.bincount(label, face_areas(vertices, faces))
    return faces[area[label] >= share * area.max()]


def without_bubbles(vertices: Points, faces: Faces) -> tuple[Points, Faces]:
    """Without crumbs, and without the shells of hollows."""
    piece = face_components(faces)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    volume = np.bincount(piece, (np.cross(a, b) * c).sum(axis=1))
    kept, faces = np.unique(faces[(volume > _BUBBLE * volume.max())[piece]], return_inverse=True)
    return vertices[kept], faces.reshape(-1, 3)


def face_areas(vertices: Points, faces: Faces) -> NDArray[np.float64]:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def decimate(vertices: Points, faces: Faces, budget: int) -> tuple[Points, Faces]:
    """Simplify to about ``budget`` faces, keeping the mesh manifold.

    Open3D's quadric edge collapse gives better shapes but may break a manifold; then manifold3d's
    simplification, which cannot, is used with an increasing tolerance.
    """
    import open3d as o3d

    if len(faces) <= budget:
        return vertices, faces
    mesh = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(vertices), o3d.utility.Vector3iVector(faces.astype(np.int32))
    )
    small = mesh.simplify_quadric_decimation(budget)
    result = compact(np.asarray(small.vertices), np.asarray(small.triangles, np.int64))
    if len(result[1]) and topology(*result).manifold:
        return result
    return _simplify(vertices, faces, budget)


def _simplify(vertices: Points, faces: Faces, budget: int) -> tuple[Points, Faces]:
    import manifold3d

    solid = manifold3d.Manifold(
        manifold3d.Mesh64(np.ascontiguousarray(vertices), faces.astype(np.uint64))
    )
    extent = float(np.ptp(vertices, axis=0).max())
    best = vertices, faces
    for tolerance in extent * np.geomspace(1e-4, 0.1, 16):
        mesh = solid.simplify(tolerance).to_mesh64()
        result = np.asarray(mesh.vert_properties)[:, :3], np.asarray(mesh.tri_verts, np.int64)
        if not len(result[1]) or not topology(*result).manifold:
            break
        best = result
        if len(best[1]) <= budget:
            break
    return best
