"""Input for meshing: a samples file, a cloud file, or a folder of them, as named clouds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from pcgen import progress
from pcgen.errors import InputError
from pcgen.reconstruct import MESH_POINTS
from pcgen.reconstruct.batch import NamedCloud
from pcgen.shapes.category_frames import (
    BOX_FRAME,
    category_frames,
    frames_of_samples,
    stored_frames,
)
from pcgen.shapes.cloud_files import cloud_files, read_clouds
from pcgen.shapes.samples import Samples

_NONE = np.zeros((0, 3))


def named_clouds(
    path: Path | str, frames: Path | str | None = None, *, latents: bool = False
) -> list[NamedCloud]:
    """Read every cloud of ``path``; see :func:`pcgen.shapes.cloud_files.read_clouds`.

    In a folder, a file that cannot be read becomes a cloud with a ``fault``.

    Args:
        frames: a data set whose categories determine the real size of samples; by default the one
            their run was trained on, if it still exists.
        latents: also read the latents of a samples file.
    Raises:
        InputError: nothing is there, the suffix is unknown, or the file is damaged.
        DataError: ``frames`` is not a data set.
    """
    path = Path(path)
    files = [path]
    if path.is_dir():
        files = cloud_files(path)
    result: list[NamedCloud] = []
    for file in files:
        try:
            result += _of_file(file, frames, latents)
        except InputError as error:
            if len(files) == 1:
                raise
            result.append(NamedCloud(name=_safe(file.stem), points=_NONE, fault=str(error)))
    taken: dict[str, int] = {}
    for i, cloud in enumerate(result):
        count = taken[cloud.name] = taken.get(cloud.name, 0) + 1
        if count > 1:
            result[i] = replace(cloud, name=f"{cloud.name}-{count}")
    return result


def _of_file(path: Path, frames: Path | str | None, latents: bool) -> list[NamedCloud]:
    # A faulty cloud is described in its own report and does not affect the others.
    clouds = read_clouds(path, faulty="keep")
    most = max((len(cloud.points) for cloud in clouds.clouds), default=MESH_POINTS)
    if "run" in clouds.meta and most < MESH_POINTS // 2:
        progress.say(
            f"{path}: {most} points per shape are few for a mesh; a run can sample more, "
            f"for example: pcgen sample {clouds.meta['run']} --points {MESH_POINTS} ..."
        )
    run = str(clouds.meta.get("run", ""))
    drawn = latents and run and path.suffix.lower() == ".npz"
    known = Samples.load(path).latents if drawn else None
    own = stored_frames(clouds.meta, len(clouds)) if frames is None else ()
    of_categories = frames_of_samples(clouds.meta) if frames is None else category_frames(frames)
    result = []
    named = zip(clouds.clouds, clouds.names, clouds.categories, strict=True)
    for number, (cloud, name, category) in enumerate(named):
        frame = own[number] if own else of_categories.get(category, BOX_FRAME)
        unit = "of the data set" if not own and category in of_categories else "of the points"
        result.append(
            NamedCloud(
                name=_safe(f"{name}-{category}" if category else name),
                points=cloud.points,
                normals=cloud.normals,
                category=category,
                frame=replace(frame, unit=frame.unit or unit),
                run=run,
                latent=None if known is None else known[number],
            )
        )
    return result


def _safe(name: str) -> str:
    """A file name that is valid on every system."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._")[:100] or "cloud"
