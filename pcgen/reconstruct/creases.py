"""Points on the sharp edges and corners of a shape, where its planes meet.

A sample hits an edge with probability zero, so triangles between samples cut off every edge by
about half the spacing. Where two well-supported planes meet within reach of their points, a point
on their line is added to the cloud; where three meet, their corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Normals = NDArray[np.float64]

_PARTNERS = 16  # number of neighbours whose planes are tried
_APART = np.cos(np.radians(35.0))  # planes at a smaller angle form no edge
_ALIKE = np.cos(np.radians(10.0))  # angle between a supporter's normal and the plane
_REACH = 1.2  # reach of a plane beyond its points, in spacings
_SUPPORT = 4  # points near the edge that must lie on each plane
_BESIDE = 1.8  # distance of supporters, in spacings
_MERGE = 0.4  # edge points closer than this, in spacings, become one


@dataclass(frozen=True, kw_only=True)
class Creases:
    """Attributes:
    points: (E, 3) on edges and corners.
    normals: (E, 3, 3) normals of the planes that meet there; for an edge the second is repeated.
    """

    points: Points
    normals: Normals


def find_creases(points: Points, normals: Normals, spacing: float, width: float) -> Creases:
    """Find edges and corners of the planes (points, normals).

    Args:
        normals: (P, 3) unit vectors without orientation.
        width: distance from a plane up to which points count as on it.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    on_edge, pair = _meetings(points, normals, tree, spacing)
    planes = np.concatenate([pair, pair[:, 1:]], axis=1)
    reach = _BESIDE * spacing
    on_edge, planes = _supported(on_edge, planes, points, normals, tree, reach, width, _SUPPORT)
    on_edge, planes = _merged(on_edge, planes, points, normals, spacing)
    corner, triple = _corners(on_edge, planes, points, normals, tree, spacing)
    # Each plane fills only a quarter of the area around a corner.
    corner, triple = _supported(corner, triple, points, normals, tree, 1.3 * reach, width, 3)
    corner, triple = _merged(corner, triple, points, normals, spacing)
    if len(corner):
        # The corner replaces the edge points around it.
        free = cKDTree(corner).query(on_edge)[0] > _MERGE * spacing
        on_edge, planes = on_edge[free], planes[free]
    return Creases(
        points=np.concatenate([corner, on_edge]),
        normals=normals[np.concatenate([triple, planes])],
    )


def _meetings(
    points: Points,
    normals: Normals,
    tree,
    spacing: float,  # type: ignore[no-untyped-def]
) -> tuple[Points, NDArray[np.int64]]:
    """Points (M, 3) where planes (M, 2) of neighbouring points meet, close to both."""
    count = min(_PARTNERS, len(points) - 1)
    neighbour = tree.query(points, count + 1)[1][:, 1:]
    one = np.repeat(np.arange(len(points)), count)
    two = neighbour.reshape(-1)
    bent = np.abs((normals[one] * normals[two]).sum(axis=1)) < _APART
    one, two = one[bent], two[bent]
    foot_one = _foot(points[one], normals[one], points[two], normals[two])
    foot_two = _foot(points[two], normals[two], points[one], normals[one])
    near = (
        (np.linalg.norm(foot_one - points[one], axis=1) < _REACH * spacing)
        & (np.linalg.norm(foot_two - points[two], axis=1) < _REACH * spacing)
        & (np.linalg.norm(foot_one - foot_two, axis=1) < _REACH * spacing)
    )
    return ((foot_one + foot_two) / 2)[near], np.stack([one, two], 1)[near]


def _foot(here: Points, normal: Normals, there: Points, other: Normals) -> Points:
    """The point on both planes nearest to ``here``, which lies on the first."""
    along = other - (other * normal).sum(1, keepdims=True) * normal
    height = ((there - here) * other).sum(1) / (along * other).sum(1)
    return here + height[:, None] * along


def _supported(
    places: Points,
    planes: NDArray[np.int64],
    points: Points,
    normals: Normals,
    tree,  # type: ignore[no-untyped-def]
    reach: float,
    width: float,
    least: int,
) -> tuple[Points, NDArray[np.int64]]:
    """Those with at least so many points of each of their planes within ``reach``."""
    if not len(places):
        return places, planes
    distance, index = tree.query(places, min(24, len(points)))
    near = distance < reach
    enough = np.ones(len(places), bool)
    for column in planes.T:
        offset = ((points[index] - points[column][:, None]) * normals[column][:, None]).sum(2)
        alike = np.abs((normals[index] * normals[column][:, None]).sum(2)) > _ALIKE
        enough &= (near & alike & (np.abs(offset) < 2 * width)).sum(axis=1) >= least
    return places[enough], planes[enough]


def _merged(
    places: Points,
    planes: NDArray[np.int64],
    points: Points,
    normals: Normals,
    spacing: float,
) -> tuple[Points, NDArray[np.int64]]:
    """One per cluster: greedily, in order of the distance to their points."""
    from scipy.spatial import cKDTree

    if not len(places):
        return places, planes
    reach = np.linalg.norm(places[:, None] - points[planes], axis=2).max(axis=1)
    order = np.argsort(reach)
    places, planes = places[order], planes[order]
    near = cKDTree(places).query_ball_point(places, _MERGE * spacing)
    kept = np.zeros(len(places), bool)
    taken = np.zeros(len(places), bool)
    for i, group in enumerate(near):
        if not taken[i]:
            kept[i] = True
            taken[group] = True
    return places[kept], planes[kept]


def _corners(
    on_edge: Points,
    planes: NDArray[np.int64],
    points: Points,
    normals: Normals,
    tree,  # type: ignore[no-untyped-def]
    spacing: float,
) -> tuple[Points, NDArray[np.int64]]:
    """Points where a third plane near an edge intersects it."""
    if not len(on_edge):
        return on_edge, planes
    count = min(_PARTNERS, len(points))
    third = tree.query(on_edge, count)[1].reshape(-1)
    edge = np.repeat(np.arange(len(on_edge)), count)
    triple = np.stack([planes[edge, 0], planes[edge, 1], third], axis=1)
    matrix = normals[triple]
    solvable = np.abs(np.linalg.det(matrix)) > 0.3
    triple, matrix, edge = triple[solvable], matrix[solvable], edge[solvable]
    # Relative to the edge point, so that the planes' offsets are small.
    offset = ((points[triple] - on_edge[edge][:, None]) * matrix).sum(2)
    arm = np.linalg.solve(matrix, offset[..., None])[..., 0]
    place = on_edge[edge] + arm
    near = (np.linalg.norm(arm, axis=1) < spacing) & (
        np.linalg.norm(place - points[triple[:, 2]], axis=1) < 1.5 * spacing
    )
    return place[near], triple[near]
