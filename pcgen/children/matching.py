"""A map between two clouds: the point of B that each point of A moves to.

Both methods match n points with n points at a small mean squared distance. ``slabs`` starts from a
binary space partition of both clouds, cut at medians in random directions (as in BSP-OT), and
improves it: the points are cut into slabs across a random direction, and within each slab the exact
assignment replaces the current one, so no step increases the cost. docs/notes/children.md has the
time and cost of both.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pcgen.errors import InputError

METHODS = ("slabs", "exact")
SLAB = 32  # points per exact assignment; 64 take twice the time for the same result

Cloud = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]


def match(a: Cloud, b: Cloud, method: str, sweeps: int, seed: int) -> NDArray[np.int16]:
    """Match the rows of ``a`` with rows (n,) of ``b``, each used once.

    Args:
        a, b: (n, d) with the same n < 32,768; the columns are positions and perhaps weighted
            normals.
        method: ``slabs``, O(n log n) per sweep, or ``exact``, O(n³) at worst.
        sweeps: of ``slabs``; seed: of their directions.
    Raises:
        InputError: the clouds have different sizes, or the method is unknown.
    """
    from scipy.optimize import linear_sum_assignment

    if a.shape != b.shape:
        raise InputError(f"a map needs clouds of the same size, got {a.shape} and {b.shape}")
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    if method == "exact":
        # |a - b|² without the terms that no assignment changes.
        return linear_sum_assignment(-(a @ b.T))[1].astype(np.int16)
    generator = np.random.default_rng(seed)
    to = partitioned(a, b, generator)
    for _ in range(sweeps):
        improve(a, b, to, generator)
    return to.astype(np.int16)


def partitioned(a: Cloud, b: Cloud, generator: Generator) -> Rows:
    """The map (n,) of one binary space partition: both clouds are halved across a random direction
    until each part is one point."""
    order = [np.arange(len(cloud)) for cloud in (a, b)]
    edges = np.array([0, len(a)])
    while (sizes := np.diff(edges)).max(initial=0) > 1:
        part = np.repeat(np.arange(len(sizes)), sizes)
        direction = generator.normal(size=(len(sizes), a.shape[1]))[part]
        for side, cloud in enumerate((a, b)):
            along = (cloud[order[side]] * direction).sum(1)
            order[side] = order[side][np.lexsort((along, part))]
        edges = np.unique(np.concatenate([edges, (edges[:-1] + edges[1:] + 1) // 2]))
    to = np.empty(len(a), np.int64)
    to[order[0]] = order[1]
    return to


def improve(a: Cloud, b: Cloud, to: Rows, generator: Generator) -> None:
    """Improve ``to`` (n,) in place by exact assignment within slabs across a direction.

    Slabs cut the first cloud, the second, or their midpoints, at random: points that should be
    swapped need not be close in both clouds.
    """
    from scipy.optimize import linear_sum_assignment

    seen = (a, b[to], a + b[to])[generator.integers(3)]
    order = np.argsort(seen @ generator.normal(size=a.shape[1]), kind="stable")
    begin = int(generator.integers(SLAB))
    edges = [0, *range(begin, len(a), SLAB), len(a)]
    for start, stop in pairwise(edges):
        if stop - start > 1:
            rows = order[start:stop]
            there = to[rows]
            to[rows] = there[linear_sum_assignment(-(a[rows] @ b[there].T))[1]]
