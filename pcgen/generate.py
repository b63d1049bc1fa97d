"""New shapes of a run, decoded by several processes or machines, with identical results.

The latents are sampled here, all at once. Each shape has its own seed, so any process decodes it to
the same points. The whole model is sent to the processes: they read no run.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
import torch

from pcgen import progress
from pcgen.errors import InputError, StorageError
from pcgen.jobs import pool
from pcgen.jobs.workers import Announce
from pcgen.model import ShapeModel
from pcgen.shapes.arrays import ARRAY_LIMIT
from pcgen.shapes.samples import Samples

TASK_SIZE = 8  # shapes per task: a fraction of a second
POINT_BYTES = 24  # bytes of a point and its normal
COPIES = 3  # copies of all shapes in memory while they are joined and written


def generate(
    model: ShapeModel,
    count: int,
    *,
    seed: int,
    points: int = 2048,
    steps: int = 1,
    category: str | None = None,
    solver: str = "student",
    even: bool = True,
    symmetric: bool = True,
    workers: int | None = None,
    ray: str | None = None,
) -> Samples:
    """The result of :meth:`ShapeModel.sample`, computed by several processes.

    Args:
        workers: processes; by default only this one, or all of a cluster.
        ray: address of a Ray cluster; see :mod:`pcgen.jobs.cluster`.
    Raises:
        InputError: more shapes than fit into memory or a samples file; raised before any work.
        StorageError: a process died repeatedly, most likely for lack of memory.
    """
    _check_size(count, points)
    if model.device != "cpu" and (ray is not None or workers not in (None, 1)):
        raise InputError(
            f"{model.device} is used by one process, in batches; omit --workers and --ray, or use "
            "--device cpu"
        )
    drawn = model.draw(count, seed=seed, category=category, steps=steps, solver=solver, even=even)
    names = [model.categories[int(label)] for label in drawn.category]
    symmetry = drawn.symmetry if symmetric else torch.zeros_like(drawn.symmetry)
    options: dict[str, Any] = {"points": points, "seed": seed, "steps": steps, "solver": solver}
    if ray is None and (workers in (None, 1) or count <= TASK_SIZE):
        samples = model.decode_samples(drawn.z, category=names, symmetry=symmetry, **options)
        return samples.with_meta(parents=drawn.parent_ids)
    starts = range(0, count, TASK_SIZE)
    common = (model, options, torch.get_num_threads())
    parts: dict[int, Samples] = {}
    with (
        pool(_decode, len(starts), workers=workers, ray=ray, common=common) as working,
        progress.bar("sample", count) as bar,
    ):
        for start in starts:
            chosen = slice(start, start + TASK_SIZE)
            task = drawn.z[chosen].numpy(), names[chosen], symmetry[chosen].numpy()
            working.submit((start, *task))
        for outcome in working.outcomes():
            if outcome.death is not None:
                raise StorageError(
                    f"a process that decoded shapes died ({outcome.death.reason}); sample fewer "
                    "--points, or with fewer --workers"
                )
            parts[outcome.task[0]] = outcome.result
            bar.advance(len(outcome.result))
    return _joined([parts[start] for start in starts]).with_meta(parents=drawn.parent_ids)


def most_points() -> int:
    """The maximum total number of points of samples on this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(ARRAY_LIMIT, memory // COPIES) // POINT_BYTES


def _check_size(count: int, points: int) -> None:
    most = most_points()
    if count * points > most:
        fitting = max(1, most // max(1, points))
        raise InputError(
            f"{count} shapes of {points} points are {count * points * POINT_BYTES / 2**30:.1f} GB "
            f"with their normals; one samples file can hold {most * POINT_BYTES / 2**30:.1f} GB "
            f"on this machine. Sample at most --count {fitting} at a time, each with another --seed"
        )


def _decode(
    task: tuple[int, np.ndarray[Any, Any], list[str], np.ndarray[Any, Any]],
    announce: Announce,
    common: tuple[ShapeModel, dict[str, Any], int],
) -> Samples:
    (start, latents, names, axes), (model, options, threads) = task, common
    # As many as in the calling process: sums over threads differ in their last bits.
    torch.set_num_threads(threads)
    z, symmetry = (torch.from_numpy(np.array(values)) for values in (latents, axes))
    return model.decode_samples(z, first=start, category=names, symmetry=symmetry, **options)


def _joined(parts: list[Samples]) -> Samples:
    whole = [part.normals for part in parts if part.normals is not None]
    return dataclasses.replace(
        parts[0],
        points=np.concatenate([part.points for part in parts]),
        category=np.concatenate([part.category for part in parts]),
        latents=np.concatenate([part.latents for part in parts if part.latents is not None]),
        normals=np.concatenate(whole) if len(whole) == len(parts) else None,
    )
