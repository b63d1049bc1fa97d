"""What can be meshed: a samples file, a cloud file, or a folder of them, as named clouds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from pcgen.errors import DataError, InputError
from pcgen.reconstruct.batch import NamedCloud
from pcgen.shapes.samples import Samples
from pcgen.shapes.store import Dataset

SUFFIXES = (".npz", ".npy", ".ply", ".xyz", ".pcd", ".pts", ".xyzn")


def named_clouds(path: Path | str, frames: Path | str | None = None) -> list[NamedCloud]:
    """Read every cloud under ``path``.

    Args:
        frames: a data set whose categories give samples their real size back; by default the
            one named in the samples, when it is still there.
    Raises:
        InputError: nothing there, an unknown extension, or a damaged file.
        DataError: ``frames`` is no data set.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        if not files:
            raise InputError(f"{path} holds no cloud; files read are {', '.join(SUFFIXES)}")
    elif path.is_file():
        files = [path]
    else:
        raise InputError(f"{path} does not exist")
    clouds = [cloud for file in files for cloud in _read(file, frames)]
    return _distinct(clouds)


def _read(path: Path, frames: Path | str | None) -> list[NamedCloud]:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _from_samples(path, frames)
    if suffix not in SUFFIXES:
        raise InputError(f"cannot read {path}: clouds are {', '.join(SUFFIXES)}")
    raise InputError(f"{path}")


def _from_samples(path: Path, frames: Path | str | None) -> list[NamedCloud]:
    samples = Samples.load(path)
    sizes = _category_frames(samples, frames)
    width = max(3, len(str(len(samples) - 1)))
    clouds = []
    for i, category in enumerate(map(str, samples.category)):
        scale, centre = sizes.get(category, (1.0, (0.0, 0.0, 0.0)))
        clouds.append(
            NamedCloud(
                name=_safe(
                    f"{category}-{i:0{width}d}" if category else f"{path.stem}-{i:0{width}d}"
                ),
                points=samples.points[i],
                normals=None if samples.normals is None else samples.normals[i],
                category=category,
                scale=scale,
                centre=centre,
                unit="of the data set" if category in sizes else "box",
            )
        )
    return clouds


def _category_frames(
    samples: Samples, frames: Path | str | None
) -> dict[str, tuple[float, tuple[float, float, float]]]:
    """The median scale and centre of each category, for samples in the box frame."""
    named: Any = frames if frames is not None else samples.meta.get("dataset")
    if not named:
        return {}
    try:
        dataset = Dataset.open(named)
    except DataError:
        if frames is not None:
            raise
        return {}  # the data set of the run is gone: the box it is
    result = {}
    for category in dataset.categories:
        rows = [row for row in dataset.rows if row.category == category]
        centre = np.median([row.centre for row in rows], axis=0)
        scale = float(np.median([row.scale for row in rows]))
        result[category] = (scale, (float(centre[0]), float(centre[1]), float(centre[2])))
    return result


def _distinct(clouds: list[NamedCloud]) -> list[NamedCloud]:
    """Names must differ: a second ``a`` becomes ``a-2``."""
    from dataclasses import replace

    seen: dict[str, int] = {}
    result = []
    for cloud in clouds:
        count = seen[cloud.name] = seen.get(cloud.name, 0) + 1
        result.append(cloud if count == 1 else replace(cloud, name=f"{cloud.name}-{count}"))
    return result


def _safe(name: str) -> str:
    """A file name on every system."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:100] or "cloud"
