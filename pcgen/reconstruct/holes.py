"""Closes small holes in a set of facets with further facets of the same Delaunay complex.

A facet that the planes did not confirm (across a sharp edge, on a curved spot) still belongs to the
surface if facets around it are chosen and only it is missing: if three of its edges are rims, or
two are and it continues the facets beyond them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Faces = NDArray[np.int64]

_ROUNDS = 12


def close_holes(
    faces: Faces,
    chosen: NDArray[np.bool_],
    normal: NDArray[np.float64],
    radius: NDArray[np.float64],
    *,
    largest: float,
    bend: float,
) -> NDArray[np.bool_]:
    """Extend ``chosen`` (F,) over holes.

    Args:
        faces: (F, 3) candidate facets, corners ascending, without intersections.
        normal, radius: (F, 3) unit normals without orientation, (F,) circumradii.
        largest: largest circumradius of a filling facet.
        bend: smallest cosine between a facet of two rim edges and the facets beyond them.
    """
    edges, edge_of = facet_edges(faces)
    chosen = chosen.copy()
    allowed = radius < largest
    for _ in range(_ROUNDS):
        load = np.bincount(edge_of[chosen].reshape(-1), minlength=edges)
        rims = (load[edge_of] == 1).sum(axis=1)
        candidate = np.flatnonzero(allowed & ~chosen & (rims >= 2))
        if not len(candidate):
            break
        bent = _bend(candidate, chosen, edge_of, load, normal)
        fits = (rims[candidate] == 3) | (bent > bend)
        candidate, bent = candidate[fits], bent[fits]
        # Those that close most, and the flattest, first; one new facet per edge and round.
        candidate = candidate[np.lexsort((-bent, -rims[candidate]))]
        added = _first_on_each_edge(candidate, edge_of, load)
        if not len(added):
            break
        chosen[added] = True
    return chosen


def facet_edges(faces: Faces) -> tuple[int, NDArray[np.int64]]:
    """The number of edges, and the three of each face."""
    pairs = faces[:, [[0, 1], [1, 2], [0, 2]]].reshape(-1, 2)
    key = pairs[:, 0] * (int(faces.max()) + 1) + pairs[:, 1]
    unique, inverse = np.unique(key, return_inverse=True)
    return len(unique), inverse.reshape(-1, 3)


def _bend(
    candidate: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    edge_of: NDArray[np.int64],
    load: NDArray[np.int64],
    normal: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The smallest |cosine| between each candidate and the chosen facets at its rim edges."""
    owner = np.full(len(load), -1)
    faces = np.flatnonzero(chosen)
    owner[edge_of[faces].reshape(-1)] = np.repeat(faces, 3)  # unique where the load is 1
    result = np.ones(len(candidate))
    for corner in range(3):
        edge = edge_of[candidate, corner]
        cosine = np.abs((normal[candidate] * normal[owner[edge]]).sum(axis=1))
        result = np.where(load[edge] == 1, np.minimum(result, cosine), result)
    return result


def _first_on_each_edge(
    candidate: NDArray[np.int64], edge_of: NDArray[np.int64], load: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Candidates that share no rim edge with an earlier candidate."""
    order = np.arange(len(candidate))
    first = np.full(len(load), len(candidate))
    np.minimum.at(first, edge_of[candidate].reshape(-1), np.repeat(order, 3))
    mine = first[edge_of[candidate]] == order[:, None]
    return candidate[(mine | (load[edge_of[candidate]] != 1)).all(axis=1)]
