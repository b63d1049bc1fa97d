"""Generated shapes in the frame of a protocol, from files of any tool or sampled from a run."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pcgen.datatypes import Frame
from pcgen.distances.tables import Work
from pcgen.errors import InputError
from pcgen.evaluate.cloud_sets import CloudSet
from pcgen.evaluate.protocol import Protocol
from pcgen.runfile import is_run

if TYPE_CHECKING:
    from pcgen.model import ShapeModel
    from pcgen.shapes.cloud_files import CloudList
    from pcgen.shapes.store import Dataset

Rows = NDArray[np.int64]


def is_dataset(path: Path) -> bool:
    return (path / "dataset.json").is_file()


def open_shapes(path: Path) -> Dataset | None:
    """The data set at ``path``, prepared or in a published layout; None for anything else."""
    if is_dataset(path):
        from pcgen.shapes.store import Dataset

        return Dataset.open(path)
    from pcgen.evaluate.published_sets import open_published

    return None if is_run(path) else open_published(path)


def check_roles(samples: Path, reference: Path) -> None:
    """Refuse generated and real shapes that were passed in each other's place."""
    if not is_run(samples) and open_shapes(samples) is not None:
        raise InputError(
            f"{samples} is a data set: name the generated shapes first and the data set after "
            "--reference"
        )
    if is_run(reference):
        raise InputError(
            f"{reference} is a run: name the generated shapes first, and a data set or real "
            "shapes after --reference"
        )


def read_generated(
    path: Path,
    protocol: Protocol,
    *,
    seed: int = 0,
    standardised: Frame | None = None,
    categories: Sequence[str] | None = None,
) -> CloudSet:
    """Samples in the protocol's frame; of too many points, a random subset is used."""
    clouds = read_cloud_path(path)
    return from_clouds(clouds, str(path), protocol, seed, standardised, categories)


def draw_generated(
    model: ShapeModel,
    protocol: Protocol,
    count: int,
    *,
    seeds: Sequence[int],
    steps: int = 1,
    category: str | None = None,
    work: Work | None = None,
) -> list[CloudSet]:
    """``count`` new shapes of a run for each sampling seed."""
    _check_sizes(protocol, str(model.run_dir))
    from pcgen.generate import generate

    draw = model.sample
    if work is not None and work.ray is not None:
        draw = functools.partial(generate, model, workers=work.workers, ray=work.ray)
    sets = []
    for seed in seeds:
        made = draw(count, seed=seed, points=protocol.points, steps=steps, category=category)
        sets.append(
            CloudSet(
                points=protocol.normalise(made.points),
                names=np.array([f"seed {seed}, {number}" for number in range(count)]),
                category=made.category,
                normals=made.normals,
                source=str(model.run_dir),
            )
        )
    return sets


def read_cloud_path(path: Path) -> CloudList:
    """Read clouds; see ``read_clouds`` for formats and errors."""
    from pcgen.shapes.cloud_files import CLOUD_SUFFIXES, read_clouds
    from pcgen.shapes.formats import MESH_SUFFIXES

    if not path.exists():
        raise InputError(f"no file or folder at {path}")
    known = (*CLOUD_SUFFIXES, *MESH_SUFFIXES)
    if path.is_dir() and not any(file.suffix.lower() in known for file in path.iterdir()):
        inner = next((child for child in sorted(path.iterdir()) if child.is_dir()), None)
        hint = (
            f"name a folder that does, such as {inner}; for a collection of other files, make a "
            f"data set: pcgen prepare {path} --out DATASET"
            if inner
            else f"clouds are files ending in {', '.join(known)}"
        )
        raise InputError(f"{path} holds no clouds; {hint}")
    return read_clouds(path)


def from_clouds(
    clouds: CloudList,
    source: str,
    protocol: Protocol,
    seed: int,
    standardised: Frame | None = None,
    categories: Sequence[str] | None = None,
    *,
    by_rule: bool = False,
) -> CloudSet:
    """Clouds in the protocol's frame; of too many points, a subset is used.

    Args:
        standardised: mean and std over all training points, of a standardisation to invert.
        by_rule: choose points by the rule of a fixed protocol, as for a data set, not at random.
    """
    if "run" in clouds.meta:
        _check_sizes(protocol, source)
    picks, remarks = _thinned(clouds, source, protocol, seed, by_rule)
    points = np.stack([c.points[pick] for c, pick in zip(clouds.clouds, picks, strict=True)])
    if standardised is not None:
        points = np.asarray(standardised.restore(points), np.float64)
    whole = [
        c.normals[pick]
        for c, pick in zip(clouds.clouds, picks, strict=True)
        if c.normals is not None
    ]
    result = CloudSet(
        points=protocol.normalise(points),
        names=np.array(list(clouds.names)),
        category=np.array(list(clouds.categories)),
        normals=np.stack(whole).astype(np.float32) if len(whole) == len(clouds) else None,
        source=source,
        remarks=remarks,
    )
    if categories is None or not result.categories:
        return result
    rows = np.flatnonzero(np.isin(result.category, list(categories)))
    if not len(rows):
        raise InputError(
            f"{source} has no shape of {', '.join(categories)}; it has "
            f"{', '.join(result.categories)}"
        )
    return result.take(rows)


def _check_sizes(protocol: Protocol, source: str) -> None:
    """Refuse samples of a run in a protocol that compares sizes."""
    if protocol.frame == "own":
        raise InputError(
            f"the shapes of {source} are generated in their bounding box, without sizes, and "
            f"protocol {protocol.based_on or protocol.name} compares sizes; use --protocol "
            "lion-box or box"
        )


def _thinned(
    clouds: CloudList, source: str, protocol: Protocol, seed: int, by_rule: bool
) -> tuple[list[Rows], tuple[str, ...]]:
    """The points of each cloud to compare; the same choice for all clouds of a size."""
    sizes = np.array([len(cloud.points) for cloud in clouds.clouds])
    wanted = protocol.points
    if sizes.min() < wanted:
        short = int((sizes < wanted).sum())
        raise InputError(
            f"{source}: {short} of {len(sizes)} clouds have fewer than the {wanted} points that "
            f"the protocol compares, the smallest {sizes.min()}; "
            f"use --points {sizes.min()} or fewer"
        )
    chosen = {}
    for size in np.unique(sizes):
        if size == wanted or by_rule:
            start = protocol.first_point(int(size))
            chosen[size] = np.arange(start, start + wanted)
        else:
            chosen[size] = np.random.default_rng(seed).permutation(size)[:wanted]
    remarks: tuple[str, ...] = ()
    if len(chosen) > 1:
        remarks = (
            f"{source}: clouds have between {sizes.min()} and {sizes.max()} points; {wanted} of "
            "each are compared, chosen at random",
        )
    return [chosen[size] for size in sizes], remarks
