"""One map between two clouds: which point of B each point of A goes to.

Both methods move n points to n points at small mean squared distance. ``slabs`` starts from one
binary space partition of both clouds, cut at medians in random directions (as BSP-OT does), and
improves it: the points are cut into slabs across a random direction, and within each slab the
exact assignment replaces the one at hand, so that no step ever costs. On parts of ldraw with
2,048 points (CPU s a map, cost over the least):

=============  ======  =======
exact           1 to 2.5  1
24 sweeps       0.10   1.03
12 sweeps       0.05   1.05
8 sweeps        0.035  1.07
=============  ======  =======

POT's own BSP-OT is as fast and as good, but in POT 0.9.7 its random numbers go on from one call to
the next whatever the seed, so that its maps depend on what a process computed before.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pcgen.errors import InputError

METHODS = ("slabs", "exact")
SLAB = 32  # points that are assigned exactly; 64 cost twice the time for the same result

Cloud = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]


def match(a: Cloud, b: Cloud, method: str, sweeps: int, seed: int) -> NDArray[np.int16]:
    """(n,) rows of ``b``, each once, for the rows of ``a``.

    Args:
        a, b: (n, d) with the same n < 32,768; beyond positions, d may hold weighted normals.
        method: ``slabs``, O(n log n) a sweep, or ``exact``, O(n³) at worst.
        sweeps: that ``slabs`` makes; seed: of their directions.
    Raises:
        InputError: clouds of different sizes, or an unknown method.
    """
    from scipy.optimize import linear_sum_assignment

    if a.shape != b.shape:
        raise InputError(f"a map needs clouds of one size, got {a.shape} and {b.shape}")
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    if method == "exact":
        # |a - b|² but for what no assignment changes.
        return linear_sum_assignment(-(a @ b.T))[1].astype(np.int16)
    generator = np.random.default_rng(seed)
    to = partitioned(a, b, generator)
    for _ in range(sweeps):
        improve(a, b, to, generator)
    return to.astype(np.int16)


def partitioned(a: Cloud, b: Cloud, generator: Generator) -> Rows:
    """(n,) the map of one binary space partition: both clouds are halved across a random
    direction until each part is one point."""
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
    """Replace ``to`` (n,), in place, by the exact assignment within slabs across a direction.

    What is cut is the first cloud, the second, or half way between, at random: what has to change
    places need not be close on both sides.
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
