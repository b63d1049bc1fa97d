"""Many clouds to mesh files: each with its report, one failure at a time, resumable.

Every cloud NAME leaves ``NAME.json`` (its report, or why it failed) beside its mesh files; a run
that was stopped goes on where it was, since a report made from the same points with the same
settings is kept. ``meshes.json`` lists them all at the end.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen import __version__, progress
from pcgen.config import digest, to_plain
from pcgen.errors import InputError, PcgenError, StorageError
from pcgen.files import lock, write_json
from pcgen.reconstruct.export import check_formats, write_checked
from pcgen.reconstruct.methods import MeshSettings, reconstruct

MANIFEST = "meshes.json"


@dataclass(frozen=True, kw_only=True)
class NamedCloud:
    """One cloud to mesh: ``name`` becomes its file name.

    Attributes:
        points, normals: (P, 3), in the frame the mesh shall have after ``scale`` and ``centre``.
        scale, centre: own units are ``points * scale + centre``.
        fault: why there are no points to mesh; becomes the error of its entry.
        unit: the name of the own unit where known ("mm"), else "".
    """

    name: str
    points: NDArray[np.floating]
    normals: NDArray[np.floating] | None = None
    category: str = ""
    scale: float = 1.0
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    unit: str = ""
    fault: str = ""


def mesh_all(
    clouds: Sequence[NamedCloud],
    out: Path | str,
    *,
    formats: Sequence[str] = ("glb",),
    settings: MeshSettings | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Mesh each cloud into the folder ``out``; gives what ``meshes.json`` holds.

    Raises:
        StorageError: ``out`` cannot be written, or another process writes it.
    """
    settings = settings or MeshSettings()
    kinds = check_formats(tuple(formats))
    out = Path(out)
    with lock(out):
        jobs, entries = [], {}
        for cloud in clouds:
            key = _key(cloud, settings, kinds)
            kept = _finished(out, cloud.name, key)
            if kept:
                entries[cloud.name] = kept
            else:
                jobs.append((cloud, out, kinds, settings, key))
        resumed = len(entries)
        with progress.bar("mesh", len(clouds), resumed) as bar:
            for entry in _run(jobs, workers):
                entries[entry["name"]] = entry
                bar.advance(note=entry["name"])
        ordered = [entries[cloud.name] for cloud in clouds]
        manifest = {
            "version": __version__,
            "settings": to_plain(settings),
            "formats": list(kinds),
            "resumed": resumed,
            "summary": summary(ordered),
            "meshes": ordered,
        }
        write_json(out / MANIFEST, manifest)
    return manifest


def summary(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts and means over the entries of a manifest."""
    reports = [entry["report"] for entry in entries if "report" in entry]
    result: dict[str, Any] = {
        "meshes": len(reports),
        "failed": len(entries) - len(reports),
        "watertight": sum(report["watertight"] for report in reports),
        "manifold": sum(report["manifold"] for report in reports),
    }
    for name in ("f_score", "faces", "seconds"):
        values = [report[name] for report in reports]
        result[f"mean_{name}"] = round(float(np.mean(values)), 4) if values else None
    return result


def mesh_one(
    cloud: NamedCloud, out: Path, kinds: Sequence[str], settings: MeshSettings, key: str
) -> dict[str, Any]:
    """Mesh, write and report one cloud; a known error becomes its entry."""
    entry: dict[str, Any] = {"name": cloud.name, "category": cloud.category, "key": key}
    try:
        if cloud.fault:
            raise InputError(cloud.fault)
        points = np.asarray(cloud.points, np.float64) * cloud.scale + np.asarray(cloud.centre)
        result = reconstruct(points, cloud.normals, settings)
        files = []
        for kind in kinds:
            path = out / f"{cloud.name}.{kind}"
            write_checked(path, result.mesh)
            files.append(path.name)
        entry |= {"files": files, "unit": cloud.unit, "report": to_plain(result.report)}
    except StorageError:
        raise  # a full disk is no fault of this shape
    except PcgenError as error:
        entry["error"] = str(error)
    except Exception as error:
        # One shape that meets a defect of ours or of a library must not stop the others.
        entry["error"] = f"unexpected {type(error).__name__}: {error}"
    write_json(out / f"{cloud.name}.json", entry)
    return entry


def _run(jobs: list[tuple[Any, ...]], workers: int) -> Iterator[dict[str, Any]]:
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield mesh_one(*job)
        return
    left = {job[0].name: job for job in jobs}
    while left:
        try:
            with _pool(min(workers, len(left))) as pool:
                futures = [pool.submit(mesh_one, *job) for job in left.values()]
                try:
                    for future in as_completed(futures):
                        entry = future.result()
                        del left[entry["name"]]
                        yield entry
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
        except BrokenProcessPool:
            # A library took a worker down; we cannot know with which shape. The rest goes on
            # one at a time, and the shape that kills its worker again is reported.
            job = left.pop(next(iter(left)))
            yield _alone(job)


def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes that leave Ctrl-C to their parent, who cancels what has not begun."""
    return ProcessPoolExecutor(
        workers,
        mp_context=get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )


def _alone(job: tuple[Any, ...]) -> dict[str, Any]:
    try:
        with _pool(1) as pool:
            return pool.submit(mesh_one, *job).result()
    except BrokenProcessPool:
        return {"name": job[0].name, "key": job[-1], "error": "the process died while meshing it"}


def _key(cloud: NamedCloud, settings: MeshSettings, kinds: Sequence[str]) -> str:
    """Equal only for equal points, settings, formats and version of the program."""
    content = hashlib.sha256()
    for array in (cloud.points, cloud.normals):
        if array is not None:
            content.update(np.ascontiguousarray(array).tobytes())
    place = (cloud.scale, list(cloud.centre), list(kinds), __version__, content.hexdigest())
    return digest([to_plain(settings), *place])


def _finished(out: Path, name: str, key: str) -> dict[str, Any] | None:
    """The entry of an earlier run, if it was made the same way and its files are there."""
    try:
        entry = json.loads((out / f"{name}.json").read_text())
        same = entry["key"] == key and "report" in entry
        present = same and all((out / file).is_file() for file in entry["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(entry) if present else None
