"""How new generated shapes are: a method that replays its training set scores at the ceiling.

Both figures compare the generated shapes with real unseen ones, because real sets hold
near-duplicates too:

* the *novelty ratio*, the median CD of generated shapes to their nearest training shape over the
  same median of the test shapes;
* the *replay rate*, the share of shapes closer to a training shape than 1.2 times that training
  shape's own two-draw CD, the distance between two independent samplings of its surface.

A generator is as new as nature when its rate is no higher than the test shapes' and its ratio is
at least 0.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.evaluate.distances import chamfer_table, pick_backend
from pcgen.evaluate.matrix import Task, Work, run_tasks

REPLAY_FACTOR = 1.2
QUERIES = 8  # shapes of one resumable block of a search
ROWS = 64  # pairs of one resumable block of two draws
PART = 8192  # training shapes searched at a time: 200 MB of 2048 points each, in every process
COARSE_POINTS = 256  # of a cloud, to guess which training shapes are near

Clouds = NDArray[np.float32]
Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The nearest training shape of each query.

    Attributes:
        index: (n,) row of the training set; distance: (n,) CD to it.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float64]


def two_draw(first: Clouds, second: Clouds, work: Work) -> NDArray[np.float64]:
    """(n,) CD between two independent samplings of each shape, both (n, P, 3)."""
    backend = pick_backend("cd", first.shape[1], work.backend)
    tasks = [(start,) for start in range(0, len(first), ROWS)]
    kind = ("rows", "cd", backend)
    blocks = run_tasks(_row_block, kind, [first, second], tasks, work, "two draws")
    return np.concatenate([block for _, block in blocks])


def nearest_training(
    queries: Clouds,
    training: Clouds,
    work: Work,
    label: str = "nearest training",
    *,
    own: NDArray[np.int64] | None = None,
) -> Nearest:
    """Search the whole training set (N, P, 3) for each query (n, P, 3), exactly, in one frame.

    Args:
        own: (n,) a row of the training set that each query passes over; by default none.
    """
    backend = pick_backend("cd", queries.shape[1], work.backend)
    tasks = [(start,) for start in range(0, len(queries), QUERIES)]
    kind = ("nearest", "cd", backend)
    arrays: list[Array] = [queries, training]
    if own is not None:
        arrays.append(own.astype(np.float64))  # what a task is sent
    blocks = run_tasks(_nearest_block, kind, arrays, tasks, work, label)
    table = np.concatenate([block for _, block in blocks])
    return Nearest(index=table[:, 0].astype(np.int64), distance=table[:, 1])


def novelty_ratio(generated: Nearest, test: Nearest) -> float | None:
    """Median distance to the training set, generated over test; None when the latter is 0."""
    base = float(np.median(test.distance))
    return float(np.median(generated.distance)) / base if base > 0 else None


def replay_rate(found: Nearest, draws: NDArray[np.float64]) -> float:
    """Share of queries nearer to their training shape than its two draws are, times 1.2.

    Args:
        draws: (N,) two-draw CD of the training shapes.
    """
    return float((found.distance < REPLAY_FACTOR * draws[found.index]).mean())


def _nearest_block(
    arrays: Sequence[Array], kind: tuple[str, ...], task: Task
) -> NDArray[np.float64]:
    queries, training, *own = arrays
    rows = slice(task[0], task[0] + QUERIES)
    block = np.asarray(queries[rows])
    passed = [int(row) for row in own[0][rows]] if own else [-1] * len(block)
    search = _pruned_search if kind[2] == "native" else _whole_search
    found = search(block, training, passed, kind[2])
    return np.array([(row.argmin(), row.min()) for row in found], np.float64)


def _whole_search(
    block: Array, training: Array, passed: list[int], backend: str
) -> list[NDArray[np.float64]]:
    rows = list(chamfer_table(block, training, backend))
    for row, own in zip(rows, passed, strict=True):
        if own >= 0:
            row[own] = np.inf
    return rows


def _pruned_search(
    block: Array, training: Array, passed: list[int], backend: str
) -> list[NDArray[np.float64]]:
    """Rows of distances of which the least is exact: likely training shapes come first."""
    parts = [
        _search_part(block, training[start : start + PART], [own - start for own in passed])
        for start in range(0, len(training), PART)
    ]
    return [np.concatenate(rows) for rows in zip(*parts, strict=True)]


def _search_part(block: Array, training: Array, passed: list[int]) -> list[NDArray[np.float64]]:
    from pcgen.kernels import native

    first, second = native.prepare(block), native.prepare(training)
    coarse = [native.prepare(clouds[:, :COARSE_POINTS]) for clouds in (block, training)]
    rows = []
    for query, guess, own in zip(first, native.chamfer_table(*coarse), passed, strict=True):
        order = guess.argsort()
        row = native.chamfer_search(query, second, order[order != own])
        if 0 <= own < len(row):
            row[own] = np.inf
        rows.append(row)
    return rows


def _row_block(arrays: Sequence[Array], kind: tuple[str, ...], task: Task) -> NDArray[np.float64]:
    first, second = (np.asarray(array[task[0] : task[0] + ROWS]) for array in arrays)
    pairs = zip(first, second, strict=True)
    return np.array([chamfer_table(a[None], b[None], kind[2])[0, 0] for a, b in pairs])
