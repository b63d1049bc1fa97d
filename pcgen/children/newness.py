"""How new shapes are beside a training set, in a frame: the measure that reach is decided by.

A shape's *distance* is the Chamfer distance to the nearest training shape or its mirror image in
x. It is a *replay* if that is below 1.2 times the distance between two draws of that training
shape, since then sampling noise could make the difference. Distances of the training shapes
themselves, each to the others, say how new nature is.
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
COARSE_POINTS = 64  # of a cloud, to guess which training shapes are near
#: Without the compiled search, the nearest is looked for among so many that are near coarsely.
CANDIDATES = 64


@dataclass(frozen=True)
class Newness:
    """Of some shapes in one frame.

    Attributes:
        distance: (n,) to the nearest training shape. index: (n,) its row.
        replayed: (n,) whether that is within sampling noise.
    """

    distance: NDArray[np.float64]
    index: NDArray[np.int64]
    replayed: NDArray[np.bool_]


class Yardstick:
    """A training set in one frame, ready to be searched."""

    def __init__(self, points: Tensor, frame: str) -> None:
        """Take clouds (N, 2n, 3) in the box frame: n points to compare with, n for a second draw,
        which tells how far two draws of one surface are apart."""
        from pcgen.kernels import backends

        self._native = backends.native_usable()
        self.count = points.shape[1] // 2
        first, second = FRAMES[frame](points).split([self.count, points.shape[1] - self.count], 1)
        self.frame = frame
        self.clouds = np.ascontiguousarray(first.numpy())
        self.draws = np.array([_chamfer(a, b) for a, b in zip(first, second, strict=True)])
        self._coarse = np.ascontiguousarray(self.clouds[:, :COARSE_POINTS])

    def measure(self, points: Tensor, own: NDArray[np.int64] | None = None) -> Newness:
        """Compare clouds (n, m, 3) of any frame, of which the first ``count`` points are taken.

        Args:
            own: (n,) a training shape that each query passes over, mirrored too: itself.
        """
        turned = FRAMES[self.frame](points)[:, : self.count]
        sides = [np.ascontiguousarray(q.numpy()) for q in (turned, mirrored(turned))]
        passed = np.full(len(points), -1) if own is None else own
        tables = [self._search(queries, passed) for queries in sides]
        best = np.minimum(*tables)
        index = best.argmin(1)
        distance = best[np.arange(len(best)), index]
        return Newness(distance, index, distance < REPLAY_FACTOR * self.draws[index])

    def leave_one_out(self, rows: NDArray[np.int64]) -> Newness:
        """How new some of the training shapes are beside all others."""
        return self.measure(torch.from_numpy(self.clouds[rows]), rows)

    def _search(self, queries: NDArray[np.float32], passed: NDArray[np.int64]) -> NDArray:
        from pcgen.kernels import kdtree, native

        out = np.full((len(queries), len(self.clouds)), np.inf)
        coarse = np.ascontiguousarray(queries[:, :COARSE_POINTS])
        if self._native:
            training = native.prepare(self.clouds)
            guess = native.chamfer_table(native.prepare(coarse), native.prepare(self._coarse))
            for row, query in enumerate(native.prepare(queries)):
                order = guess[row].argsort()
                order = order[order != passed[row]]
                if len(order):
                    out[row] = native.chamfer_search(query, training, order)
                    if passed[row] >= 0:
                        out[row, passed[row]] = np.inf
            return out
        guess = kdtree.chamfer_table(coarse, self._coarse)
        for row, query in enumerate(queries):
            near = guess[row].argsort()
            near = near[near != passed[row]][:CANDIDATES]
            if len(near):
                out[row, near] = kdtree.chamfer_table(query[None], self.clouds[near])[0]
        return out


def _chamfer(x: Tensor, y: Tensor) -> float:
    from pcgen.kernels import kdtree

    return float(kdtree.chamfer_table(x[None].numpy(), y[None].numpy())[0, 0])
