"""How new generated shapes are: a method that replays its training set scores at the ceiling.

Newness is judged in two frames. In ``box``, each shape's own box, a training shape with other
proportions passes for a new one. In ``proportion_free`` each axis is stretched to the full box, so
that a stretched copy falls onto its original. In both, mirror images of the training shapes in x
count as training shapes: a mirrored copy is no new shape either.

Both figures compare the generated shapes with real unseen ones, because real sets hold
near-duplicates too:

* the *novelty ratio*, the median CD of generated shapes to their nearest training shape over the
  same median of the test shapes;
* the *replay rate*, the share of shapes closer to a training shape than 1.2 times that training
  shape's own two-draw CD, the distance between two independent samplings of its surface.

A generator is as new as nature when in both frames its rate is no higher than the test shapes' and
its ratio is at least 0.9.

:func:`nearest_training` finds the nearest training shape exactly: lower bounds of all
distances come first (:mod:`pcgen.evaluate.distance_bounds`), then pairs are compared in full, in
the order of their bounds, until no bound is below the least distance found.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.evaluate.distance_bounds import Sketches, lower_bounds, sketch
from pcgen.evaluate.distances import chamfer_table, pick_backend
from pcgen.evaluate.matrix import Task, Work, run_tasks
from pcgen.shapes.arrays import temporary_array
from pcgen.shapes.normalise import box_frame, proportion_free

REPLAY_FACTOR = 1.2
QUERIES = 8  # shapes of one resumable block of a search
PART = 8192  # training shapes, at most, that are searched at a time, for memory
ROWS = 64  # pairs of one resumable block of two draws
FEW, MANY = 8, 64  # pairs that a search compares before it looks at the bounds again: first, last
MIRROR = np.array([-1, 1, 1], np.float32)

Clouds = NDArray[np.float32]
Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The nearest training shape of each query.

    Attributes:
        index: (n,) row of the training set; distance: (n,) CD to it.
        mirrored: (n,) whether its mirror image in x was the nearest; never, where not searched.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float64]
    mirrored: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        if len(self.mirrored) != len(self.index):
            object.__setattr__(self, "mirrored", np.zeros(len(self.index), bool))


def two_draw_distances(first: Clouds, second: Clouds, work: Work) -> NDArray[np.float64]:
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
    mirrors: bool = False,
    sketches: Callable[[], Sketches] | None = None,
) -> Nearest:
    """Search the whole training set (N, P, 3) for each query (n, P, 3), exactly, in one frame.

    Of several at the same distance, the shape itself comes before a mirror image, then the first.

    Args:
        own: (n,) a row of the training set that each query passes over; by default none.
        mirrors: search the mirror images in x of the training shapes too.
        sketches: gives those of the training set, where several searches share them.
    """
    if own is None:
        own = np.full(len(queries), -1)
    elif len(training) < 2:
        raise InputError("a query that passes over its own row needs a second training shape")
    starts = np.linspace(0, len(training), -(-len(training) // PART) + 1).astype(int)
    shared = sketches if len(starts) == 2 else None
    tables = []
    for start, stop in itertools.pairwise(starts.tolist()):
        part = training[start:stop]
        table = _nearest_part(queries, part, own - start, mirrors, shared, work, label)
        tables.append(table + np.array([0, 0, start]))
    best = [min(map(tuple, rows)) for rows in zip(*tables, strict=True)]
    distance, mirrored, index = np.array(best).T
    return Nearest(index=index.astype(np.int64), distance=distance, mirrored=mirrored.astype(bool))


def sketched(training: Clouds) -> Sketches:
    """Sketches of a training set in any frame, for its searches."""
    sizes = [float(np.abs(cloud).max()) for cloud in training]
    return sketch(training, max(float(np.quantile(sizes, 0.99)), 1e-30))


def search(
    query: Clouds,
    fetch: Callable[[NDArray[np.int64]], Clouds],
    bounds: NDArray[np.float32],
    backend: str,
    passed: int = -1,
) -> tuple[float, bool, int]:
    """The nearest shape of a query (P, 3): the distance, whether mirrored, and its row.

    Args:
        fetch: gives the clouds of some rows, in the frame of the query.
        bounds: (N, 1) lower bounds of the distances, or (N, 2) with those of the mirror images.
        passed: a row to pass over.
    """
    below, images = bounds.ravel(), bounds.shape[1]
    order = below.argsort(kind="stable")
    order = order[order // images != passed]
    # The mirrored query beside a shape is as far as the query beside the mirrored shape.
    faces = (query, query * MIRROR)
    best = (math.inf, 0, -1)
    start, size = 0, FEW
    while start < len(order) and below[order[start]] <= best[0]:
        some = order[start : start + size]
        some = some[below[some] <= best[0]]
        start, size = start + size, min(2 * size, MANY)
        for image in range(images):
            rows = some[some % images == image] // images
            if len(rows):
                found = _distances(faces[image], fetch(rows), backend, best[0])
                least = found.min()
                best = min(best, (float(least), image, int(rows[found == least].min())))
    return best[0], bool(best[1]), best[2]


def novelty_ratio(generated: Nearest, test: Nearest) -> float | None:
    """Median distance to the training set, generated over test; None when the latter is 0."""
    base = float(np.median(test.distance))
    return float(np.median(generated.distance)) / base if base > 0 else None


def replays(found: Nearest, draws: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) whether each query is nearer to its training shape than 1.2 times its two draws are.

    Args:
        draws: (N,) two-draw CD of the training shapes.
    """
    return found.distance < REPLAY_FACTOR * draws[found.index]


def replay_rate(found: Nearest, draws: NDArray[np.float64]) -> float:
    """Share of queries that are :func:`replays`."""
    return float(replays(found, draws).mean())


def as_given(clouds: Clouds) -> Clouds:
    """The frame that the clouds are in."""
    return clouds


def in_box(clouds: Clouds) -> Clouds:
    """Each cloud in its own box: one scale a shape, as the field does."""
    return np.asarray(box_frame(clouds).apply(np.asarray(clouds, np.float64)), np.float32)


Frames = Mapping[str, Callable[[Clouds], Clouds]]
FRAMES: Frames = {"box": in_box, "proportion_free": proportion_free}


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """How new some shapes are in one frame, beside real unseen shapes.

    Attributes:
        found: the nearest training shape of each; real: that of each real shape.
        draws: (N,) two-draw CD of the training shapes, or None where there is no second draw.
    """

    found: Nearest
    real: Nearest
    draws: NDArray[np.float64] | None

    @property
    def novelty_ratio(self) -> float | None:
        """The novelty ratio; None where real shapes are training shapes."""
        return novelty_ratio(self.found, self.real)

    @property
    def replays(self) -> NDArray[np.bool_] | None:
        """(n,) whether each is a replay."""
        return None if self.draws is None else replays(self.found, self.draws)

    @property
    def replay_rate(self) -> float | None:
        return None if self.draws is None else replay_rate(self.found, self.draws)

    @property
    def replay_rate_real(self) -> float | None:
        """The share of replays among the real shapes, for comparison."""
        return None if self.draws is None else replay_rate(self.real, self.draws)


class NoveltyIndex:
    """Judges how new shapes are; what it knows of the training set serves every call.

    Args:
        training: (N, P, 3), in any frame.
        again: a second, independent sampling of the same shapes, for replays; or None.
        real: (m, P, 3) unseen real shapes to compare with. By default the training shapes stand
            for them, each compared with all others: near what unseen shapes would show.
        frames: by name, what takes clouds into each; by default ``box`` and ``proportion_free``.
    """

    def __init__(
        self,
        training: Clouds,
        again: Clouds | None = None,
        real: Clouds | None = None,
        *,
        frames: Frames = FRAMES,
        work: Work | None = None,
    ) -> None:
        work = work or Work()
        self._frames = {
            name: _InFrame(frame, training, again, real, work) for name, frame in frames.items()
        }

    def of(self, clouds: Clouds) -> dict[str, Novelty]:
        """How new clouds (n, P, 3) are, by the name of the frame."""
        return {name: known.of(clouds) for name, known in self._frames.items()}

    def of_real(self) -> dict[str, Novelty]:
        """How new the real shapes are."""
        return {name: known.of_real() for name, known in self._frames.items()}


def measure_novelty(
    clouds: Clouds,
    training: Clouds,
    again: Clouds | None = None,
    real: Clouds | None = None,
    *,
    work: Work | None = None,
) -> dict[str, Novelty]:
    """How new clouds are in the frames ``box`` and ``proportion_free``, mirror images included.

    Use :class:`NoveltyIndex`, which takes the same arguments, to judge many sets by one training
    set.

    Args:
        clouds: (n, P, 3); all arrays float32, of one number of points and in any frame.
    """
    return NoveltyIndex(training, again, real, work=work).of(clouds)


def _framed(clouds: Clouds, frame: Callable[[Clouds], Clouds]) -> Clouds:
    """Clouds in a frame; a copy unless it is the one they are in."""
    if frame is as_given:
        return clouds
    framed = temporary_array(clouds.shape)
    for start in range(0, len(clouds), 256):
        framed[start : start + 256] = frame(clouds[start : start + 256])
    return framed


class _InFrame:
    def __init__(
        self,
        frame: Callable[[Clouds], Clouds],
        training: Clouds,
        again: Clouds | None,
        real: Clouds | None,
        work: Work,
    ) -> None:
        self._frame, self._work = frame, work
        self._training = _framed(training, frame)
        self._again = None if again is None else _framed(again, frame)
        self._given = None if real is None else _framed(real, frame)

    @cached_property
    def draws(self) -> NDArray[np.float64] | None:
        return (
            None
            if self._again is None
            else two_draw_distances(self._training, self._again, self._work)
        )

    @cached_property
    def real(self) -> Nearest:
        if self._given is not None:
            return self._nearest(self._given, None)
        others = self._training if self._again is None else self._again
        return self._nearest(others, np.arange(len(others)))

    def of(self, clouds: Clouds) -> Novelty:
        found = self._nearest(_framed(clouds, self._frame), None)
        return Novelty(found=found, real=self.real, draws=self.draws)

    def of_real(self) -> Novelty:
        return Novelty(found=self.real, real=self.real, draws=self.draws)

    @cached_property
    def _sketches(self) -> Sketches:
        return sketched(self._training)

    def _nearest(self, clouds: Clouds, own: NDArray[np.int64] | None) -> Nearest:
        return nearest_training(
            clouds,
            self._training,
            self._work,
            own=own,
            mirrors=True,
            sketches=lambda: self._sketches,
        )


def _nearest_part(
    queries: Clouds,
    training: Clouds,
    own: NDArray[np.int64],
    mirrors: bool,
    sketches: Callable[[], Sketches] | None,
    work: Work,
    label: str,
) -> NDArray[np.float64]:
    """(n, 3) distance, whether mirrored, and row of the nearest."""
    backend = pick_backend("cd", queries.shape[1], work.backend)
    tasks = [(start,) for start in range(0, len(queries), QUERIES)]
    kind = ("nearest", "cd", backend, "with mirrors" if mirrors else "as they are")

    def bounds() -> list[Array]:
        known = sketches() if sketches else sketched(training)
        return [lower_bounds(sketch(queries, known.reach), known, mirrors=mirrors)]

    arrays: list[Array] = [queries, training, own.astype(np.float64)]  # what a task is sent
    blocks = run_tasks(_nearest_block, kind, arrays, tasks, work, label, bounds)
    return np.concatenate([block for _, block in blocks])


def _nearest_block(
    arrays: Sequence[Array], kind: tuple[str, ...], task: Task
) -> NDArray[np.float64]:
    queries, training, own, bounds = arrays
    rows = range(task[0], min(task[0] + QUERIES, len(queries)))

    def fetch(chosen: NDArray[np.int64]) -> Clouds:
        return np.asarray(training[chosen], np.float32)

    return np.array([
        search(np.asarray(queries[k]), fetch, bounds[k], kind[2], int(own[k])) for k in rows
    ], np.float64)  # fmt: skip


def _distances(query: Clouds, clouds: Clouds, backend: str, limit: float) -> NDArray[np.float64]:
    """(n,) distances of a query to some clouds; above the limit, something above it may stand."""
    if backend != "native":
        return chamfer_table(query[None], clouds, backend)[0]
    from pcgen.kernels import native

    one, all_ = native.prepare(query[None])[0], native.prepare(clouds)
    return native.chamfer_search(one, all_, np.arange(len(clouds)), limit)


def _row_block(arrays: Sequence[Array], kind: tuple[str, ...], task: Task) -> NDArray[np.float64]:
    first, second = (np.asarray(array[task[0] : task[0] + ROWS]) for array in arrays)
    pairs = zip(first, second, strict=True)
    return np.array([chamfer_table(a[None], b[None], kind[2])[0, 0] for a, b in pairs])
