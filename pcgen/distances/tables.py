"""Compute tables of pair distances in blocks, over processes, with a cache by content.

Each finished block is written to the cache folder, so an interrupted evaluation resumes. A finished
table becomes one file, named by a hash of the clouds and of the computation. Blocks are
independent: any number of processes and any block size give the same values, bit for bit.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen import progress
from pcgen.distances import cache
from pcgen.distances.pairwise import DISTANCES, pick_backend
from pcgen.errors import InputError, StorageError
from pcgen.files import atomic_file
from pcgen.jobs import pool
from pcgen.jobs.workers import Announce
from pcgen.shapes.arrays import read_npy, read_npz, write_npy

# Increase this when the values of a distance change, so that older tables are not used.
VERSION = 1
POOL_SECONDS = 5.0  # of remaining work above which starting processes is worthwhile
Array = NDArray[np.floating]
Task = tuple[int, ...]
Compute = Callable[[Sequence[Array], tuple[str, ...], Task], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Work:
    """How tables are computed; no field changes a value.

    Attributes:
        workers: processes; 1 computes in this one, None uses one per core, or a whole cluster.
        ray: the address of a Ray cluster to use, see :mod:`pcgen.jobs.cluster`.
        cache: folder of finished tables and blocks, or None.
        backend: ``auto``, or the name of the backend of all distances but EMD.
    """

    workers: int | None = 1
    ray: str | None = None
    cache: Path | None = None
    backend: str = "auto"

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers must be at least 1, got {self.workers}")


def pair_matrix(
    first: Array,
    second: Array | None = None,
    *,
    distance: str = "cd",
    work: Work | None = None,
    label: str = "",
) -> NDArray[np.float64]:
    """Distances between all clouds of two sets, or within one.

    Args:
        first: (N, P, C) float32 clouds, C the distance's channels; second: (M, P', C), or None
            for the pairs within the first set, of which a symmetric distance computes half.
        distance: a name of :data:`pcgen.distances.pairwise.DISTANCES`.
        label: of the progress line, by default that name.
    Returns:
        (N, M) float64; within a set, the diagonal holds the distances of clouds to themselves.
    """
    work = work or Work()
    within = second is None
    other = first if second is None else second
    spec = DISTANCES.get(distance)
    if spec is not None:
        _check(first, spec.channels, distance)
        _check(other, spec.channels, distance)
    own = "auto" if distance.startswith("emd") else work.backend
    backend = pick_backend(distance, max(first.shape[1], other.shape[1]), own)
    spec = DISTANCES[distance]
    half = within and spec.symmetric
    rows, columns = (range(0, len(part), spec.block) for part in (first, other))
    tasks = [(r, c) for r in rows for c in columns if not half or c >= r]
    arrays = [first] if within else [first, other]
    kind = ("pairs", distance, backend, "half" if half else "full")
    out = np.empty((len(first), len(other)))
    for (r, c), block in run_tasks(_pair_block, kind, arrays, tasks, work, label or distance):
        out[r : r + spec.block, c : c + spec.block] = block
        if half:
            out[c : c + spec.block, r : r + spec.block] = block.T
    if half:  # diagonal blocks are computed in full: use their upper half
        upper = np.triu(out)
        out = upper + np.triu(out, 1).T
    return out


def run_tasks(
    compute: Compute,
    kind: tuple[str, ...],
    arrays: Sequence[Array],
    tasks: Sequence[Task],
    work: Work,
    label: str,
    helpers: Callable[[], Sequence[Array]] | None = None,
) -> Iterator[tuple[Task, NDArray[np.float64]]]:
    """Yield ``(task, compute(arrays, kind, task))`` for every task, from the cache if possible.

    Args:
        compute: a module-level function, for other processes to import.
        kind: names everything that the values depend on besides the arrays.
        helpers: gives further arrays, appended to the others, that save work but change no value;
            called only if something must be computed.
    """
    key = content_key(kind, arrays)
    with _folder(work.cache, key) as folder:
        finished = folder.with_suffix(".npz")
        done = _read_finished(finished, tasks) if work.cache else None
        if done is None:
            done = _compute_missing(compute, kind, arrays, tasks, work, label, folder, helpers)
            if work.cache:
                with atomic_file(finished) as temporary, temporary.open("wb") as handle:
                    blocks: dict[str, Any] = {_name(task): done[task] for task in tasks}
                    np.savez(handle, **blocks)
        if work.cache:  # also removes blocks of an interruption after the table was written
            shutil.rmtree(folder, ignore_errors=True)
    for task in tasks:
        yield task, done[task]


def content_key(kind: tuple[str, ...], arrays: Sequence[Array]) -> str:
    """A hash of the arrays, bit for bit, and of the computation."""
    digest = hashlib.sha256(repr((VERSION, kind)).encode())
    for array in arrays:
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).data.cast("B"))  # not a copy of it
    return digest.hexdigest()[:32]


def _pair_block(arrays: Sequence[Array], kind: tuple[str, ...], task: Task) -> NDArray[np.float64]:
    _, distance, backend, _ = kind
    spec, (r, c) = DISTANCES[distance], task
    return spec.table(arrays[0][r : r + spec.block], arrays[-1][c : c + spec.block], backend)


def _compute_missing(
    compute: Compute,
    kind: tuple[str, ...],
    arrays: Sequence[Array],
    tasks: Sequence[Task],
    work: Work,
    label: str,
    folder: Path,
    helpers: Callable[[], Sequence[Array]] | None,
) -> dict[Task, NDArray[np.float64]]:
    done = {task: found for task in tasks if (found := _read_block(folder, task)) is not None}
    missing = [task for task in tasks if task not in done]
    if helpers is not None and missing:
        arrays = [*arrays, *helpers()]
    keep = folder if work.cache else None
    with progress.bar(label, len(tasks), len(done)) as bar:
        start, here = time.monotonic(), 0
        while missing:  # in this process, until starting others is worthwhile
            left = (time.monotonic() - start) / max(1, here) * len(missing)
            worthwhile = work.ray is not None or (work.workers != 1 and left > POOL_SECONDS)
            if worthwhile and len(missing) > 1:
                break
            task = missing.pop(0)
            done[task] = _saved(_compute_one((compute, kind, task), None, arrays), task, keep)
            here += 1
            bar.advance()
        if not missing:
            return done
        with pool(
            _compute_one, len(missing), workers=work.workers, ray=work.ray, common=list(arrays)
        ) as working:
            for task in missing:
                working.submit((compute, kind, task))
            for outcome in working.outcomes():
                if outcome.death is not None:
                    raise StorageError(
                        f"a process that computed {label} died ({outcome.death.reason}); finished "
                        "blocks are kept: run the command again with fewer --workers"
                    )
                task = outcome.task[2]
                done[task] = _saved(outcome.result, task, keep)
                bar.advance()
    return done


def _compute_one(
    job: tuple[Compute, tuple[str, ...], Task], announce: Announce | None, arrays: Sequence[Array]
) -> NDArray[np.float64]:
    compute, kind, task = job
    block = compute(arrays, kind, task)
    if not np.isfinite(block).all():
        raise InputError(f"{kind[1]} gave a value that is not finite; are the coordinates huge?")
    return block


def _saved(block: NDArray[np.float64], task: Task, folder: Path | None) -> NDArray[np.float64]:
    if folder is not None:
        write_npy(folder / f"{_name(task)}.npy", block)
    return block


def _name(task: Task) -> str:
    return "-".join(str(number) for number in task)


def _read_block(folder: Path, task: Task) -> NDArray[np.float64] | None:
    try:
        return read_npy(folder / f"{_name(task)}.npy")
    except InputError:
        return None  # absent or damaged: compute it again


def _read_finished(path: Path, tasks: Sequence[Task]) -> dict[Task, NDArray[np.float64]] | None:
    try:
        file = read_npz(path)
        found = {task: file[_name(task)] for task in tasks}
        cache.touch(path)
        return found
    except (InputError, KeyError, OSError):
        return None


@contextmanager
def _folder(root: Path | None, key: str) -> Iterator[Path]:
    if root is None:
        with tempfile.TemporaryDirectory(prefix="pcgen-") as folder:
            yield Path(folder) / key
    else:
        yield root / key


def _check(clouds: Array, channels: int, distance: str) -> None:
    if clouds.ndim != 3 or clouds.shape[2] != channels or 0 in clouds.shape:
        hint = "; add a batch axis with clouds[None]" if clouds.ndim == 2 else ""
        raise InputError(
            f"{distance} needs clouds (N, P, {channels}) with N and P at least 1, got "
            f"{clouds.shape}{hint}"
        )
    row = next((k for k, cloud in enumerate(clouds) if not np.isfinite(cloud).all()), None)
    if row is not None:
        raise InputError(f"cloud {row} holds NaN or infinity; remove it before any metric")
