"""The novelty of shapes compared with a training set, in a frame: the criterion for the reach.

A shape's *distance* is the Chamfer distance to the nearest training shape or its mirror image in x.
It is a *replay* if that is below 1.2 times the distance between two samples of that training shape,
since sampling noise could explain the difference. Distances of the training shapes themselves,
each to the others, are the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pcgen.children.frames import box, cube, mirrored

FRAMES: dict[str, Callable[[Tensor], Tensor]] = {"box": box, "cube": cube}
REPLAY_FACTOR = 1.2
COARSE_POINTS = 64  # points per cloud, to find candidates for the nearest training shape
#: The nearest is searched among this many of the coarsely nearest, in a sixth of the time of a
#: whole search. With 128 of 1,401, 8 of 100 test shapes found one a little farther, 29 instead of
#: 28 replayed; children and nature are compared by the same search.
CANDIDATES = 256
BLOCK = 1024  # shapes transformed to a frame at a time
QUERIES = 64  # queries per table of coarse distances


@dataclass(frozen=True)
class Newness:
    """The novelty of some shapes in one frame.

    Attributes:
        distance: (n,) to the nearest training shape. index: (n,) row of that shape.
        replayed: (n,) whether the distance is within sampling noise.
    """

    distance: NDArray[np.float64]
    index: NDArray[np.int64]
    replayed: NDArray[np.bool_]


class Yardstick:
    """A training set in one frame, prepared for searches."""

    def __init__(self, points: Tensor, frame: str) -> None:
        """Take clouds (N, 2n, 3) in the box frame: n points for comparisons, and n for a second
        sample, which gives the distance between two samples of a surface."""
        from pcgen.kernels import backends, native

        self._native = backends.native_usable()
        self.count = points.shape[1] // 2
        self.frame = frame
        self._points = points
        self.clouds = np.concatenate([self._first(part) for part in points.split(BLOCK)])
        coarse = self.clouds[:, :COARSE_POINTS]
        self._coarse = native.prepare(coarse) if self._native else np.ascontiguousarray(coarse)
        self._draws = np.full(len(points), np.nan)

    def _first(self, points: Tensor) -> NDArray[np.float32]:
        # All points of a shape determine its frame.
        return np.ascontiguousarray(FRAMES[self.frame](points)[:, : self.count].numpy())

    def draws(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Distances (n,) between two samples of each of ``rows`` (n,)."""
        for row in np.unique(rows[np.isnan(self._draws[rows])]):
            whole = FRAMES[self.frame](self._points[row : row + 1])[0]
            self._draws[row] = _chamfer(whole[: self.count], whole[self.count :])
        return self._draws[rows]

    def measure(self, points: Tensor, own: NDArray[np.int64] | None = None) -> Newness:
        """Compare clouds (n, m, 3) of any frame, using their first ``count`` points.

        Args:
            own: (n,) the training shape that each query is; it and its mirror image are skipped.
        """
        turned = FRAMES[self.frame](points)[:, : self.count]
        passed = np.full(len(points), -1) if own is None else own
        distance, index = np.full(len(points), np.inf), np.zeros(len(points), np.int64)
        for side in (turned, mirrored(turned)):
            theirs, where = self._search(np.ascontiguousarray(side.numpy()), passed)
            nearer = (theirs < distance) | ((theirs == distance) & (where < index))
            distance, index = np.where(nearer, theirs, distance), np.where(nearer, where, index)
        return Newness(distance, index, distance < REPLAY_FACTOR * self.draws(index))

    def leave_one_out(self, rows: NDArray[np.int64]) -> Newness:
        """The novelty of some training shapes compared with all others."""
        return self.measure(torch.from_numpy(self.clouds[rows]), rows)

    def _search(
        self, queries: NDArray[np.float32], passed: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Distance (n,) to the nearest training shape, inf if there is none, and its row."""
        from pcgen.kernels import kdtree, native

        distance, index = np.full(len(queries), np.inf), np.zeros(len(queries), np.int64)
        table = native.chamfer_table if self._native else kdtree.chamfer_table
        ready = native.prepare if self._native else np.ascontiguousarray
        prepared, rough = ready(queries), ready(queries[:, :COARSE_POINTS])
        for start in range(0, len(queries), QUERIES):
            guesses = table(rough[start : start + QUERIES], self._coarse)
            for row, guess in enumerate(guesses, start):
                near = guess.argsort()
                near = near[near != passed[row]][:CANDIDATES]
                if not len(near):
                    continue
                there, order = ready(self.clouds[near]), np.arange(len(near))
                if self._native:
                    found = native.chamfer_search(prepared[row], there, order)
                else:
                    found = table(prepared[row : row + 1], there)[0]
                best = np.lexsort((near, found))[0]
                distance[row], index[row] = found[best], near[best]
        return distance, index


def _chamfer(x: Tensor, y: Tensor) -> float:
    from pcgen.kernels import kdtree

    return float(kdtree.chamfer_table(x[None].numpy(), y[None].numpy())[0, 0])
