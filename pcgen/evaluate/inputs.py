"""From what a user names to sets of clouds: samples of any tool, runs, data sets.

Real sets come from a data set, whose parts of a shape's points are independent draws: the last
third for the reference, the first two thirds for training, as in PointFlow's protocol. A file of
clouds has no parts; then the training set is one the user names, or absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import DataError, InputError
from pcgen.evaluate.clouds import CloudSet, RealSets
from pcgen.evaluate.protocol import Protocol

if TYPE_CHECKING:
    from pcgen.model import ShapeModel
    from pcgen.shapes.samples import Samples
    from pcgen.shapes.store import Dataset

Rows = NDArray[np.int64]
TRAINING_SPLIT = "train"


@dataclass(frozen=True, kw_only=True)
class Standardised:
    """PointFlow's frame, (x − mean) / std over all training points: what takes clouds back."""

    mean: NDArray[np.float64]
    std: float


def is_dataset(path: Path) -> bool:
    return (path / "dataset.json").is_file()


def is_run(path: Path) -> bool:
    return (path / "run.json").is_file()


def read_samples(path: Path) -> Samples:
    """Clouds of any origin as :class:`Samples`.

    Raises:
        InputError: nothing there, an unknown or damaged file, one that would need code to be
            unpickled, clouds of different sizes, NaN.
    """
    if not path.exists():
        raise InputError(f"nothing is at {path}")
    if path.suffix == ".npz":  # TEMP
        from pcgen.shapes.samples import Samples

        return Samples.load(path)
    from pcgen.shapes.cloud_files import read_clouds

    return read_clouds(path)


def read_generated(
    path: Path,
    protocol: Protocol,
    *,
    seed: int = 0,
    standardised: Standardised | None = None,
    categories: Sequence[str] | None = None,
) -> CloudSet:
    """Samples in the protocol's frame; more points than it compares are thinned out at random."""
    if is_dataset(path):
        raise InputError(
            f"{path} is a data set: name the generated shapes first and the data set after "
            "--reference"
        )
    return _from_samples(read_samples(path), str(path), protocol, seed, standardised, categories)


def draw_generated(
    model: ShapeModel,
    protocol: Protocol,
    count: int,
    *,
    seeds: Sequence[int],
    steps: int = 1,
    category: str | None = None,
) -> list[CloudSet]:
    """``count`` new shapes of a run for each sampling seed."""
    if protocol.frame == "own":
        raise InputError(
            f"{model.run_dir} generates shapes in their own box, without a size, and protocol "
            f"{protocol.based_on or protocol.name} compares sizes; use --protocol lion-box or box"
        )
    return [
        _from_samples(
            model.sample(count, seed=s, points=protocol.points, steps=steps, category=category),
            str(model.run_dir),
            protocol,
            s,
        )
        for s in seeds
    ]


def read_real(
    reference: Path,
    protocol: Protocol,
    *,
    training: Path | None = None,
    categories: Sequence[str] | None = None,
    normals: bool = False,
    seed: int = 0,
) -> RealSets:
    """The reference, and the training set where there is one.

    Args:
        training: a data set or a file of clouds that the generator learned from; by default the
            training split of the reference when that is a data set.
        categories: only these, by name.
        normals: read stored normals too.
    """
    if is_run(reference):
        raise InputError(
            f"{reference} is a run: name what is judged first, and a data set or a file of real "
            "shapes after --reference"
        )
    notes: list[str] = []
    if is_dataset(reference):
        from pcgen.shapes.store import Dataset

        data = Dataset.open(reference)
        rows = _select(data, protocol.split, categories)
        part, rule = _reference_part(data, protocol)
        notes.append(
            f"reference: {len(rows)} shapes of split {protocol.split!r} of {reference}, "
            f"{rule} of {data.points_per_shape} points"
        )
        refs = _from_dataset(data, rows, part, protocol, normals)
        if training is None and protocol.split == TRAINING_SPLIT:
            notes.append("the reference is the training split, so there is no ceiling or novelty")
        elif training is None and TRAINING_SPLIT not in {row.split for row in data.rows}:
            notes.append(f"the data set has no split {TRAINING_SPLIT!r}")
        elif training is None:
            training = reference
    else:
        samples = read_samples(reference)
        refs = _from_samples(samples, str(reference), protocol, seed, None, categories)
        if "run" in samples.meta:
            notes.append(
                f"{reference} says it was generated by {samples.meta['run']}: are generated and "
                "reference swapped?"
            )
    learned, again = _training(training, protocol, categories, seed, notes)
    return RealSets(
        reference=refs,
        training=learned,
        training_again=again,
        path=str(reference),
        notes=tuple(notes),
    )


def standardisation(dataset: Path, categories: Sequence[str] | None = None) -> Standardised:
    """PointFlow's mean (3,) and std over all points of the training shapes, in own units."""
    from pcgen.shapes.normalise import global_frame
    from pcgen.shapes.store import Dataset

    data = Dataset.open(dataset)
    rows = _select(data, TRAINING_SPLIT, categories)
    frame = global_frame(data.frame(rows).restore(data.points(rows)), count=1)
    return Standardised(mean=frame.centre[0], std=float(frame.scale[0]))


def _select(data: Dataset, split: str, categories: Sequence[str] | None) -> Rows:
    known = sorted({row.split for row in data.rows})
    if split not in known:
        raise DataError(
            f"the protocol's reference is split {split!r}, and {data.path} has "
            f"{', '.join(known)}; choose one with --split"
        )
    return data.select(split=split, categories=categories)


def _reference_part(data: Dataset, protocol: Protocol) -> tuple[slice, str]:
    """Which stored points the reference uses: a rule that depends on the data set alone."""
    total, wanted = data.points_per_shape, protocol.points
    if wanted > total:
        raise InputError(
            f"{data.path} has {total} points a shape and the protocol compares {wanted}; choose "
            f"--points {total} or fewer, or prepare it again with more"
        )
    if protocol.part == "all":
        return slice(0, wanted), f"the first {wanted}"
    start = min(total * 2 // 3, total - wanted)
    overlap = "" if start >= wanted else " (shared in part with the training draw)"
    return slice(start, start + wanted), f"points {start} to {start + wanted - 1}{overlap}"


def _from_dataset(
    data: Dataset, rows: Rows, part: slice, protocol: Protocol, normals: bool
) -> CloudSet:
    points = np.concatenate([data.points(chunk, part.stop)[:, part] for chunk in _chunks(rows)])
    if protocol.frame == "own":
        points = data.frame(rows).restore(points)
    directions = None
    if normals and data.has_normals:
        directions = np.concatenate(
            [data.normals(chunk, part.stop)[:, part] for chunk in _chunks(rows)]
        )
    chosen = [data.rows[int(row)] for row in rows]
    return CloudSet(
        points=protocol.normalise(points),
        names=np.array([row.id for row in chosen]),
        category=np.array([row.category for row in chosen]),
        normals=directions,
        source=str(data.path),
    )


def _chunks(rows: Rows) -> list[Rows]:
    # A data set copies whole windows of points out of its file: 256 shapes at a time.
    return np.array_split(rows, max(1, -(-len(rows) // 256)))


def _from_samples(
    samples: Samples,
    source: str,
    protocol: Protocol,
    seed: int,
    standardised: Standardised | None = None,
    categories: Sequence[str] | None = None,
) -> CloudSet:
    points, normals, category = samples.points, samples.normals, samples.category
    if points.ndim != 3 or 0 in points.shape:
        raise InputError(f"{source} holds no points: its shape is {points.shape}")
    if protocol.frame == "own" and "run" in samples.meta:
        raise InputError(
            f"{source} was generated in each shape's own box, without a size, and protocol "
            f"{protocol.based_on or protocol.name} compares sizes; use --protocol lion-box or box"
        )
    if points.shape[1] < protocol.points:
        raise InputError(
            f"{source} has {points.shape[1]} points a cloud and the protocol compares "
            f"{protocol.points}; choose --points {points.shape[1]} or fewer"
        )
    if points.shape[1] > protocol.points:
        pick = np.random.default_rng(seed).permutation(points.shape[1])[: protocol.points]
        points = points[:, pick]
        normals = None if normals is None else normals[:, pick]
    if standardised is not None:
        points = (points * standardised.std + standardised.mean).astype(np.float32)
    clouds = CloudSet(
        points=protocol.normalise(points), category=category, normals=normals, source=source
    )
    if categories is None or not clouds.categories:
        return clouds
    rows = np.flatnonzero(np.isin(clouds.category, list(categories)))
    if not len(rows):
        raise InputError(
            f"{source} has no shape of {', '.join(categories)}; it has "
            f"{', '.join(clouds.categories)}"
        )
    return clouds.take(rows)


def _training(
    path: Path | None,
    protocol: Protocol,
    categories: Sequence[str] | None,
    seed: int,
    notes: list[str],
) -> tuple[CloudSet | None, CloudSet | None]:
    """The training clouds and a second draw of the same shapes."""
    if path is None:
        return None, None
    wanted = protocol.points
    if is_dataset(path):
        from pcgen.shapes.store import Dataset

        data = Dataset.open(path)
        rows = _select(data, TRAINING_SPLIT, categories)
        first = _from_dataset(data, rows, slice(0, wanted), protocol, False)
        notes.append(f"training: {len(rows)} shapes of {path}, their first {wanted} points")
        second, _ = _reference_part(data, protocol)
        if second.start < wanted:  # the draws would share points: look for the room at the end
            second = slice(data.points_per_shape - wanted, data.points_per_shape)
        if second.start < wanted:
            return first, None
        return first, _from_dataset(data, rows, second, protocol, False)
    samples = read_samples(path)
    notes.append(f"training: {len(samples)} clouds of {path}")
    if samples.points.shape[1] < 2 * wanted:
        return _from_samples(samples, str(path), protocol, seed, None, categories), None
    from pcgen.shapes.samples import Samples

    order = np.random.default_rng(seed).permutation(samples.points.shape[1])
    halves = [
        Samples(points=samples.points[:, part], category=samples.category)
        for part in (order[:wanted], order[wanted : 2 * wanted])
    ]
    first, second_draw = (
        _from_samples(half, str(path), protocol, seed, None, categories) for half in halves
    )
    return first, second_draw
