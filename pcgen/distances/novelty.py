"""Measure the novelty of generated shapes: their distances to the nearest training shapes.

There are two frames: ``box``, each shape's bounding box, and ``proportion_free``, with each axis
stretched to the full box, so that a stretched copy equals its original. In both, mirror images of
training shapes in x count as training shapes. There are two metrics, relative to real test shapes:

* the *novelty ratio*: median CD to the nearest training shape, generated over test shapes;
* the *replay rate*: share of shapes closer to a training shape than 1.2 times the two-draw CD of
  that shape, the distance between two independent samplings of its surface.

:func:`nearest_training` is exact: it computes distances in the order of their lower bounds
(:mod:`pcgen.distances.bounds`) until no bound is below the least distance.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from pcgen.distances.bounds import Sketches, lower_bounds, sketch
from pcgen.distances.pairwise import chamfer_table, pick_backend
from pcgen.distances.tables import Task, Work, run_tasks
from pcgen.errors import InputError
from pcgen.shapes.arrays import temporary_array
from pcgen.shapes.normalise import box_frame, proportion_free

REPLAY_FACTOR = 1.2
QUERIES = 8  # shapes per resumable block of a search
PART = 8192  # largest number of training shapes that are searched at a time, for memory
KEPT = 2**16  # largest number of training shapes whose sketches, 20 kB each, are kept
ROWS = 64  # pairs per resumable block of two-draw distances
FEW, MANY = 8, 64  # first and largest number of distances computed before bounds are checked again
MIRROR = np.array([-1, 1, 1], np.float32)

Clouds = NDArray[np.float32]
Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """The nearest training shape of each query.

    Attributes:
        index: (n,) row of the training set; distance: (n,) CD to it.
        mirrored: (n,) whether its mirror image in x is the nearest.
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
    *,
    own: NDArray[np.int64] | None = None,
    mirrors: bool = False,
    sketches: Callable[[int, int], Sketches] | None = None,
) -> Nearest:
    """The exact nearest training shape (N, P, 3) of each query (n, P, 3), in one frame.

    Of several at the same distance, a shape precedes a mirror image, and lower rows higher ones.

    Args:
        own: (n,) a row of the training set that each query ignores; by default none.
        mirrors: include mirror images of the training shapes in x.
        sketches: gives the sketches of some rows, start and stop, of the training set, if several
            searches share them.
    """
    if own is None:
        own = np.full(len(queries), -1)
    elif len(training) < 2:
        raise InputError("a query that ignores its own row needs a second training shape")
    starts = np.linspace(0, len(training), -(-len(training) // PART) + 1).astype(int)
    tables = []
    for start, stop in itertools.pairwise(starts.tolist()):
        part = training[start:stop]
        known = partial(sketches, start, stop) if sketches else None
        table = _nearest_part(queries, part, own - start, mirrors, known, work)
        tables.append(table + np.array([0, 0, start]))
    best = [min(map(tuple, rows)) for rows in zip(*tables, strict=True)]
    distance, mirrored, index = np.array(best).T
    return Nearest(index=index.astype(np.int64), distance=distance, mirrored=mirrored.astype(bool))


def sketched(training: Clouds) -> Sketches:
    """Sketches of a training set in any frame."""
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
        bounds: (N, 1) lower bounds of the distances, or (N, 2) with those of mirror images.
        passed: a row to ignore.
    """
    below, images = bounds.ravel(), bounds.shape[1]
    order = below.argsort(kind="stable")
    order = order[order // images != passed]
    # A mirrored query is as far from a shape as the query is from the mirrored shape.
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
    """Median distance to the training set, generated over test; None if the latter is 0."""
    base = float(np.median(test.distance))
    return float(np.median(generated.distance)) / base if base > 0 else None


def replays(found: Nearest, draws: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) whether each query is closer to its training shape than 1.2 times its two-draw CD.

    Args:
        draws: (N,) two-draw CD of the training shapes.
    """
    return found.distance < REPLAY_FACTOR * draws[found.index]


def as_given(clouds: Clouds) -> Clouds:
    """The clouds in their given frame."""
    return clouds


def in_box(clouds: Clouds) -> Clouds:
    """Each cloud in its bounding box, with one scale per shape."""
    return np.asarray(box_frame(clouds).apply(np.asarray(clouds, np.float64)), np.float32)


Frames = Mapping[str, Callable[[Clouds], Clouds]]
FRAMES: Frames = {"box": in_box, "proportion_free": proportion_free}


@dataclass(frozen=True, kw_only=True)
class Novelty:
    """The novelty of some shapes in one frame, with that of real test shapes.

    Attributes:
        found: the nearest training shape of each; reference: that of each real test shape.
        two_draws: (N,) two-draw CD of the training shapes, or None without a second sampling.
    """

    found: Nearest
    reference: Nearest
    two_draws: NDArray[np.float64] | None

    def only(self, rows: NDArray[np.bool_]) -> Novelty:
        """The novelty of some of the shapes (n,)."""
        found = self.found
        some = Nearest(
            index=found.index[rows], distance=found.distance[rows], mirrored=found.mirrored[rows]
        )
        return replace(self, found=some)

    @property
    def novelty_ratio(self) -> float | None:
        """The novelty ratio; None if real shapes are training shapes."""
        return novelty_ratio(self.found, self.reference)

    @property
    def replays(self) -> NDArray[np.bool_] | None:
        """(n,) whether each is a replay."""
        return None if self.two_draws is None else replays(self.found, self.two_draws)

    @property
    def reference_replays(self) -> NDArray[np.bool_] | None:
        """(m,) whether each real test shape is one, for comparison."""
        return None if self.two_draws is None else replays(self.reference, self.two_draws)

    @property
    def replay_rate(self) -> float | None:
        return None if self.replays is None else float(self.replays.mean())


class FrameIndex:
    """:class:`NoveltyIndex` in one frame.

    Args:
        frame: takes the clouds that are evaluated to the frame.
        training: (N, P, 3), in the frame; again: a second sampling of them, or None.
        real: (m, P, 3) real shapes to compare with, in the frame.
        own: (m,) rows of the training set that are those real shapes, to ignore; or None.
    """

    def __init__(
        self,
        frame: Callable[[Clouds], Clouds],
        training: Clouds,
        again: Clouds | None,
        real: Clouds,
        *,
        own: NDArray[np.int64] | None = None,
        work: Work | None = None,
    ) -> None:
        self._frame, self._work = frame, work or Work()
        self._training, self._again = training, again
        self._given, self._own = real, own
        self._sketches: dict[int, Sketches] = {}

    @cached_property
    def two_draws(self) -> NDArray[np.float64] | None:
        """(N,) two-draw CD of the training shapes, or None without a second sampling."""
        if self._again is None:
            return None
        again, self._again = self._again, None  # as large as the training set, and used once
        return two_draw_distances(self._training, again, self._work)

    @cached_property
    def reference(self) -> Nearest:
        """The nearest training shape of each real shape."""
        return self._nearest(self._given, self._own)

    def of(self, clouds: Clouds) -> Novelty:
        """The novelty of clouds (n, P, 3) in any frame."""
        found = self._nearest(framed(clouds, self._frame), None)
        return Novelty(found=found, reference=self.reference, two_draws=self.two_draws)

    def of_reference(self) -> Novelty:
        """The novelty of the real shapes."""
        return Novelty(found=self.reference, reference=self.reference, two_draws=self.two_draws)

    def _sketched(self, start: int, stop: int) -> Sketches:
        """Sketches of some training shapes, kept unless there are too many in all."""
        if len(self._training) > KEPT:
            return sketched(self._training[start:stop])
        if start not in self._sketches:
            self._sketches[start] = sketched(self._training[start:stop])
        return self._sketches[start]

    def _nearest(self, clouds: Clouds, own: NDArray[np.int64] | None) -> Nearest:
        return nearest_training(
            clouds,
            self._training,
            self._work,
            own=own,
            mirrors=True,
            sketches=self._sketched,
        )


class NoveltyIndex:
    """Measures the novelty of sets of shapes; data of the training set are computed once.

    Args:
        training: (N, P, 3), in any frame.
        again: a second, independent sampling of the same shapes, for replays; or None.
        real: (m, P, 3) real test shapes to compare with; by default the training shapes, each
            compared with all others, which approximates test shapes.
        frames: functions that normalise clouds, by name; by default ``box`` and
            ``proportion_free``.
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
        self._frames = {}
        for name, frame in frames.items():
            first, second, unseen = (
                None if clouds is None else framed(clouds, frame)
                for clouds in (training, again, real)
            )
            assert first is not None
            own = None
            if unseen is None:
                unseen = first if second is None else second
                own = np.arange(len(unseen))
            self._frames[name] = FrameIndex(frame, first, second, unseen, own=own, work=work)

    def of(self, clouds: Clouds) -> dict[str, Novelty]:
        """The novelty of clouds (n, P, 3), by the name of the frame."""
        return {name: known.of(clouds) for name, known in self._frames.items()}

    def of_reference(self) -> dict[str, Novelty]:
        """The novelty of the real test shapes."""
        return {name: known.of_reference() for name, known in self._frames.items()}


def framed(clouds: Clouds, frame: Callable[[Clouds], Clouds]) -> Clouds:
    """Clouds in a frame; a copy unless ``frame`` is :func:`as_given`."""
    if frame is as_given:
        return clouds
    out = temporary_array(clouds.shape)
    for start in range(0, len(clouds), 256):
        out[start : start + 256] = frame(clouds[start : start + 256])
    return out


def _nearest_part(
    queries: Clouds,
    training: Clouds,
    own: NDArray[np.int64],
    mirrors: bool,
    sketches: Callable[[], Sketches] | None,
    work: Work,
) -> NDArray[np.float64]:
    """(n, 3) distance, whether mirrored, and row of the nearest."""
    backend = pick_backend("cd", queries.shape[1], work.backend)
    tasks = [(start,) for start in range(0, len(queries), QUERIES)]
    kind = ("nearest", "cd", backend, "with mirrors" if mirrors else "as they are")

    def bounds() -> list[Array]:
        known = sketches() if sketches else sketched(training)
        return [lower_bounds(sketch(queries, known.scale), known, mirrors=mirrors)]

    arrays: list[Array] = [queries, training, own.astype(np.float64)]  # sent to the tasks
    blocks = run_tasks(_nearest_block, kind, arrays, tasks, work, "nearest training", bounds)
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
    """(n,) distances of a query to some clouds; above the limit, they may be wrong but above it."""
    if backend != "native":
        return chamfer_table(query[None], clouds, backend)[0]
    from pcgen.kernels import native

    one, all_ = native.prepare(query[None])[0], native.prepare(clouds)
    return native.chamfer_search(one, all_, np.arange(len(clouds)), limit)


def _row_block(arrays: Sequence[Array], kind: tuple[str, ...], task: Task) -> NDArray[np.float64]:
    first, second = (np.asarray(array[task[0] : task[0] + ROWS]) for array in arrays)
    pairs = zip(first, second, strict=True)
    return np.array([chamfer_table(a[None], b[None], kind[2])[0, 0] for a, b in pairs])
