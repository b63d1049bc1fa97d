"""Sets of clouds in the frame of a protocol, and subsets of equal size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError

Clouds = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class CloudSet:
    """Clouds in the protocol's frame.

    Attributes:
        points: (N, P, 3) float32, finite. normals: (N, P, 3) unit vectors, or None.
        names: (N,) for messages; category: (N,), ``""`` if unknown.
        source: of the clouds, for messages; remarks: sentences on how they were read.
    """

    points: Clouds
    names: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, "U1"))
    category: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, "U1"))
    normals: Clouds | None = None
    source: str = "clouds"
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        points = np.asarray(self.points)
        if points.ndim != 3 or points.shape[2] != 3 or 0 in points.shape:
            hint = "; add a batch axis with points[None]" if points.ndim == 2 else ""
            raise InputError(
                f"{self.source}: expected clouds (N, P, 3) that are not empty, got "
                f"{points.shape}{hint}"
            )
        bad = np.flatnonzero([not np.isfinite(cloud).all() for cloud in points])
        if len(bad):
            raise InputError(
                f"{self.source}: {len(bad)} clouds hold NaN or infinity, the first is number "
                f"{bad[0]}; metrics without them would favour the generator, so remove them only "
                "deliberately"
            )
        object.__setattr__(self, "points", np.ascontiguousarray(points, np.float32))
        if not self.names.size:
            object.__setattr__(self, "names", np.array([f"#{i}" for i in range(len(points))]))
        if not self.category.size:
            object.__setattr__(self, "category", np.full(len(points), ""))

    def __len__(self) -> int:
        return len(self.points)

    def take(self, rows: NDArray[np.int64]) -> CloudSet:
        return CloudSet(
            points=self.points[rows],
            names=self.names[rows],
            category=self.category[rows],
            normals=None if self.normals is None else self.normals[rows],
            source=self.source,
            remarks=self.remarks,
        )

    @property
    def categories(self) -> tuple[str, ...]:
        """The known category names, sorted; empty if none is known."""
        return tuple(sorted(set(self.category.tolist()) - {""}))


@dataclass(frozen=True, kw_only=True)
class ReferenceSets:
    """The real shapes of one evaluation.

    Attributes:
        reference: the set that the generated set is compared with.
        training: the training set of the generator; None gives no ceiling and no novelty.
        training_again: a second, independent sampling of the training shapes, or None.
        path: of the reference, as the user named it.
        reference_points: which points of each shape are used, as text.
        notes: sentences on what was done.
    """

    reference: CloudSet
    training: CloudSet | None = None
    training_again: CloudSet | None = None
    path: str = ""
    reference_points: str = "all"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trials:
    """Pairs of subsets of equal size, one per sampling seed, and the rule that chose them.

    Attributes:
        generated, reference: row numbers (size,) in the two pools, one array per trial.
    """

    generated: tuple[NDArray[np.int64], ...]
    reference: tuple[NDArray[np.int64], ...]
    size: int
    rule: str


def pair_trials(sizes: Sequence[int], reference: int, seeds: int, seed: int) -> Trials:
    """Choose the generated and reference shapes of each trial.

    Args:
        sizes: size of the pool of generated shapes; several numbers are separate samplings, each
            of which is one trial.
        reference: number of reference shapes.
        seeds: number of trials from one pool; seed: of the random choices.
    """
    generator = np.random.default_rng(seed)
    whole = np.arange(reference)
    if len(sizes) > 1:
        size = min(*sizes, reference)
        starts = np.cumsum([0, *sizes[:-1]])
        chosen = tuple(np.arange(size) + start for start in starts)
        refs = _subsets(generator, reference, size, len(sizes))
        rule = f"{len(sizes)} samplings of {size} shapes, one a seed"
        return Trials(generated=chosen, reference=refs, size=size, rule=rule)
    pool, size = sizes[0], min(sizes[0], reference)
    if pool == size == reference:
        rule = (
            f"one set of {size} generated shapes, so no sd over seeds; {seeds * size} shapes "
            f"would make {seeds} sets"
        )
        return Trials(generated=(whole,), reference=(whole,), size=size, rule=rule)
    if pool > size:
        parts, rule = _parts(generator, pool, size, seeds, "generated")
        return Trials(generated=parts, reference=(whole,) * seeds, size=size, rule=rule)
    refs = _subsets(generator, reference, size, seeds)
    rule = (
        f"all {size} generated shapes against {seeds} random subsets of {size} of the "
        f"{reference} reference shapes"
    )
    return Trials(generated=(np.arange(size),) * seeds, reference=refs, size=size, rule=rule)


def ceiling_trials(trials: Trials, pool: int, seeds: int, seed: int) -> Trials:
    """Trials of the training shapes, of equal size and with the same reference shapes.

    Args:
        pool: number of training shapes; if they are too few, fewer reference shapes are used.
    """
    generator = np.random.default_rng(seed)
    size = min(trials.size, pool)
    parts, rule = _parts(generator, pool, size, seeds, "training")
    chosen = [trials.reference[number % len(trials.reference)] for number in range(seeds)]
    if size < trials.size:
        chosen = [np.sort(generator.choice(refs, size, replace=False)) for refs in chosen]
        rule += f", against as many of the {trials.size} reference shapes"
    return Trials(generated=parts, reference=tuple(chosen), size=size, rule=rule)


def _parts(
    generator: np.random.Generator, pool: int, size: int, seeds: int, what: str
) -> tuple[tuple[NDArray[np.int64], ...], str]:
    """Subsets of a pool, disjoint if it is large enough, and a description of the rule."""
    if pool < seeds * size:
        return _subsets(generator, pool, size, seeds), (
            f"{seeds} overlapping subsets of {size} of the {pool} {what} shapes: the true sd is "
            f"larger; {seeds * size} shapes would make them disjoint"
        )
    order = generator.permutation(pool)
    parts = tuple(np.sort(order[t * size : (t + 1) * size]) for t in range(seeds))
    which = "a random subset" if seeds == 1 else f"{seeds} disjoint subsets"
    return parts, f"{which} of {size} of the {pool} {what} shapes"


def _subsets(
    generator: np.random.Generator, pool: int, size: int, count: int
) -> tuple[NDArray[np.int64], ...]:
    if size == pool:
        return (np.arange(pool),) * count
    return tuple(np.sort(generator.choice(pool, size, replace=False)) for _ in range(count))
