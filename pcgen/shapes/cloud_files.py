"""Read point clouds from files: samples of any program, scans, and surfaces of meshes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pcgen import progress
from pcgen.errors import InputError
from pcgen.shapes.clouds import Cloud, Faulty
from pcgen.shapes.formats import (
    ARRAY_SUFFIXES,
    LOOSE_SUFFIXES,
    MESH_SUFFIXES,
    POINT_SUFFIXES,
    UNUSABLE,
)
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.reading import SUFFIXES, open_file, unreadable
from pcgen.shapes.samples import Samples

#: Suffixes of files that usually hold clouds; meshes are read too, and their surface sampled.
CLOUD_SUFFIXES = (*ARRAY_SUFFIXES, ".ply", *POINT_SUFFIXES)
SURFACE_POINTS = 15_000  # sampled from each mesh


@dataclass(frozen=True)
class CloudList:
    """Clouds in the order of their files, possibly of different sizes.

    Attributes:
        clouds: points (P, 3) float64 and normals or None, each.
        names: one per cloud: the name of its file, numbered if a file holds many.
        categories: one per cloud; ``""`` if unknown.
        meta: that of a samples file; else empty.
    """

    clouds: Sequence[Cloud]
    names: Sequence[str]
    categories: Sequence[str]
    meta: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, samples: Samples) -> CloudList:
        """The clouds of samples, named by their number."""
        normals = [None] * len(samples) if samples.normals is None else samples.normals
        return cls(
            [
                Cloud(points.astype(np.float64), None if own is None else own.astype(np.float64))
                for points, own in zip(samples.points, normals, strict=True)
            ],
            [str(number) for number in range(len(samples))],
            samples.category.tolist(),
            samples.meta,
        )

    def __len__(self) -> int:
        return len(self.clouds)

    def samples(self) -> Samples:
        """All clouds as one array.

        Raises:
            InputError: they have different numbers of points.
        """
        sizes = sorted({len(cloud.points) for cloud in self.clouds})
        if len(sizes) != 1:
            raise InputError(
                f"the clouds have between {sizes[0]} and {sizes[-1]} points; here all must have "
                "the same number"
            )
        normals = [cloud.normals for cloud in self.clouds]
        whole = [array for array in normals if array is not None]
        return Samples(
            points=np.stack([cloud.points for cloud in self.clouds]).astype(np.float32),
            category=np.array(list(self.categories), np.str_),
            meta=self.meta,
            normals=np.stack(whole).astype(np.float32) if len(whole) == len(normals) else None,
        )


def read_clouds(path: Path | str, *, faulty: Faulty = "refuse") -> CloudList:
    """Read a file of one or many clouds, or all such files of a folder, in the order of names.

    A mesh gives ``SURFACE_POINTS`` points of its surface. :mod:`pcgen.shapes.reading` has the
    formats.

    Args:
        faulty: how points that are NaN or infinite are treated, see
            :func:`pcgen.shapes.reading.open_file`.
    Raises:
        InputError: no file, an unknown suffix, or a file that cannot be read; it is named.
    """
    path = Path(path)
    files = cloud_files(path) if path.is_dir() else [path]
    contents = [open_file(file, faulty=faulty) for file in files]
    meshes = sum(isinstance(shape, Mesh) for part in contents for shape in part.shapes)
    if meshes:
        several = f"{meshes} meshes" if meshes > 1 else "a mesh"
        progress.say(f"{path}: {several}; {SURFACE_POINTS} points of each surface are used")
    for file, part in zip(files, contents, strict=True):
        for note in part.notes:
            progress.remark(f"{file}: {note}")
    return CloudList(
        [_cloud_of(shape) for part in contents for shape in part.shapes],
        [name for part in contents for name in part.names],
        [category for part in contents for category in part.categories],
        dict(contents[0].meta) if len(contents) == 1 else {},
    )


def cloud_files(folder: Path) -> list[Path]:
    """The cloud files of a folder, sorted by name, or its mesh files if it has no cloud file.

    Hidden files, such as partly written ones, are ignored; other ignored files are reported.

    Raises:
        InputError: no such file.
    """
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    for suffixes in (CLOUD_SUFFIXES, MESH_SUFFIXES):
        found = [file for file in files if file.suffix.lower() in suffixes]
        if found:
            report_skipped(folder, files, found)
            return found
    known = dict.fromkeys((*CLOUD_SUFFIXES, *MESH_SUFFIXES))
    raise InputError(
        f"no file in {folder} ends in {', '.join(known)}; folders within it are not searched"
    )


def report_skipped(folder: Path, files: Sequence[Path], used: Sequence[Path]) -> None:
    """Report by suffix which shape files are not used, except versions of used ones."""
    names = {file.with_suffix("") for file in used}
    left = Counter(file.suffix.lower() for file in files if file.with_suffix("") not in names)
    for suffix, count in sorted(left.items()):
        if suffix in UNUSABLE:
            progress.remark(f"{folder}: {count} {unreadable(suffix)}")
        elif suffix in SUFFIXES and suffix not in LOOSE_SUFFIXES:
            kinds = ", ".join(sorted({file.suffix.lower() for file in used}))
            progress.remark(f"{folder}: {count} {suffix} ignored beside {kinds}; name it alone")


def _cloud_of(shape: Mesh | Cloud) -> Cloud:
    from pcgen.shapes.surface import sample_surface

    if isinstance(shape, Cloud):
        return shape
    return Cloud(*sample_surface(shape, SURFACE_POINTS, np.random.default_rng(0)))
