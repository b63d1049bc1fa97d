"""Meshes many clouds to files: each with a report, tolerating failures, resumable.

Every cloud NAME gets ``NAME.json`` (its report, or why it failed) next to its mesh files. An
interrupted job resumes, since a report made from the same points with the same settings is kept.
``meshes.json`` lists them all at the end.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen import __version__, progress
from pcgen.config import digest, to_plain
from pcgen.errors import InputError, PcgenError
from pcgen.files import atomic_file, lock, parse_json, read_text, write_json
from pcgen.jobs import pool
from pcgen.jobs.workers import Announce
from pcgen.reconstruct.export import Export, check_formats, checked_bytes
from pcgen.reconstruct.methods import MeshSettings, Reconstruction, finished, reconstruct
from pcgen.reconstruct.report import OPEN
from pcgen.shapes.category_frames import BOX_FRAME, SourceFrame
from pcgen.shapes.mesh_files import COLOURED, Mesh

MANIFEST = "meshes.json"
Surface = Callable[[NDArray[np.floating], int], Mesh]
Painter = Callable[[NDArray[np.float64], NDArray[np.int64], str], NDArray[np.uint8]]
"""Maps vertices, faces and the up axis to colours (V, 3) of 0-255; its text is part of the key."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """Which files are written for a mesh, and how."""

    formats: tuple[str, ...]
    export: Export
    paint: Painter | None

    def files(self, mesh: Mesh, name: str, unit: str, up: str) -> dict[str, bytes]:
        """The content of each file by its suffix; ``unit`` and ``up`` are those of the mesh."""
        colours = None if self.paint is None else self.paint(mesh.vertices, mesh.faces, up)
        found = {}
        for kind in self.formats:
            placed, stated = self.export.placed(mesh, kind, unit=unit, up=up)
            kept = colours if f".{kind}" in COLOURED else None
            found[kind] = checked_bytes(placed, f".{kind}", name, unit=stated, colours=kept)
        return found


@dataclass(frozen=True, kw_only=True)
class NamedCloud:
    """A cloud to mesh; ``name`` becomes its file name.

    Attributes:
        points, normals: (P, 3) in the box frame, with +Y up.
        frame: from there to the unit and the axes of the mesh.
        fault: why there are no points to mesh; becomes the error of its entry.
        latent: (D,) from which the run ``run`` decoded the points, or None.
        surface: makes a mesh in the frame of ``points`` from the latent and a resolution, if the
            run can; picklable.
    """

    name: str
    points: NDArray[np.floating]
    normals: NDArray[np.floating] | None = None
    category: str = ""
    frame: SourceFrame = BOX_FRAME
    fault: str = ""
    run: str = ""
    latent: NDArray[np.floating] | None = None
    surface: Surface | None = None


def mesh_all(
    clouds: Sequence[NamedCloud],
    out: Path | str,
    *,
    formats: Sequence[str] = ("glb",),
    settings: MeshSettings | None = None,
    export: Export | None = None,
    paint: Painter | None = None,
    workers: int | None = None,
    ray: str | None = None,
) -> dict[str, Any]:
    """Mesh each cloud into the folder ``out``; returns the content of ``meshes.json``.

    Args:
        export: unit, size and axis of the files; reports use the own unit of each cloud.
        paint: returns vertex colours, for the formats that support them.
        workers: processes; by default only this one, or all of a cluster.
        ray: address of a Ray cluster; see :mod:`pcgen.jobs.cluster`.
    Raises:
        InputError: the format is unknown, or a unit cannot be converted.
        StorageError: ``out`` is not writable, or another process writes it.
    """
    settings = settings or MeshSettings()
    written = Written(formats=check_formats(tuple(formats)), export=export or Export(), paint=paint)
    for cloud in clouds:
        written.export.check(cloud.frame.unit)
    out = Path(out)
    with lock(out):
        jobs, entries = [], {}
        for cloud in clouds:
            key = _key(cloud, settings, written)
            kept = _finished(out, cloud.name, key)
            if kept:
                entries[cloud.name] = kept
            else:
                jobs.append((cloud, key))
        resumed = len(entries)
        with progress.bar("mesh", len(clouds), resumed) as bar:
            for made in _run(jobs, (written, settings), workers, ray):
                _write(out, made)
                entries[made.entry["name"]] = made.entry
                bar.advance(note=made.entry["name"])
        ordered = [entries[cloud.name] for cloud in clouds]
        manifest = {
            "version": __version__,
            "settings": to_plain(settings),
            "formats": list(written.formats),
            "export": to_plain(written.export),
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
        "open": [note for report in reports for note in report["notes"] if note.startswith(OPEN)],
    }
    for name in ("f_score", "faces", "seconds"):
        values = [report[name] for report in reports]
        result[f"mean_{name}"] = round(float(np.mean(values)), 4) if values else None
    return result


def reconstruct_cloud(cloud: NamedCloud, settings: MeshSettings) -> Reconstruction:
    """Mesh a cloud in its own unit; with the field of its run if requested.

    Raises:
        InputError: the points have no surface, or there is no field. MeshError: the method failed.
    """
    frame = cloud.frame
    points = frame.restore(cloud.points)
    if cloud.surface is not None and cloud.latent is not None and settings.by_field:
        start = time.perf_counter()
        mesh = cloud.surface(cloud.latent, settings.resolution)
        return finished(frame.restored(mesh), points, settings, start)
    normals = None if cloud.normals is None else frame.turn(cloud.normals)
    return reconstruct(points, normals, settings)


@dataclass(frozen=True)
class Made:
    """A cloud's entry in the manifest, and its mesh files by suffix (``glb``)."""

    entry: dict[str, Any]
    files: dict[str, bytes]


def mesh_one(
    job: tuple[NamedCloud, str], announce: Announce, common: tuple[Written, MeshSettings]
) -> Made:
    """Mesh and report one cloud; a known error is recorded in its entry."""
    (cloud, key), (written, settings) = job, common
    entry: dict[str, Any] = {"name": cloud.name, "category": cloud.category, "key": key}
    try:
        if cloud.fault:
            raise InputError(cloud.fault)
        result = reconstruct_cloud(cloud, settings)
        files = written.files(result.mesh, cloud.name, cloud.frame.unit, cloud.frame.up)
    except PcgenError as error:
        return Made(entry | {"error": str(error)}, {})
    except Exception as error:
        # A shape that triggers a bug in pcgen or a library must not stop the others.
        return Made(entry | {"error": f"unexpected {type(error).__name__}: {error}"}, {})
    names = [f"{cloud.name}.{kind}" for kind in files]
    entry |= {"files": names, "unit": cloud.frame.unit, "report": to_plain(result.report)}
    return Made(entry, files)


def _run(
    jobs: list[tuple[NamedCloud, str]],
    common: tuple[Written, MeshSettings],
    workers: int | None,
    ray: str | None,
) -> Iterator[Made]:
    if not jobs or (ray is None and (workers in (None, 1) or len(jobs) == 1)):
        for job in jobs:
            yield mesh_one(job, lambda _: None, common)
        return
    with pool(mesh_one, len(jobs), workers=workers, ray=ray, common=common) as working:
        for job in jobs:
            working.submit(job)
        for outcome in working.outcomes():
            if outcome.death is None:
                yield outcome.result
                continue
            # A library crashed the process; the others continue, and this shape is reported.
            cloud, key = outcome.task
            error = f"its process died while meshing it: {outcome.death.reason}"
            yield Made({"name": cloud.name, "key": key, "error": error}, {})


def _write(out: Path, made: Made) -> None:
    """Write the files of a mesh, then the report that marks them complete."""
    for kind, data in made.files.items():
        with atomic_file(out / f"{made.entry['name']}.{kind}") as temporary:
            temporary.write_bytes(data)
    write_json(out / f"{made.entry['name']}.json", made.entry)


def _key(cloud: NamedCloud, settings: MeshSettings, written: Written) -> str:
    """A key that is equal only for equal points, settings, formats, exports and pcgen version."""
    content = hashlib.sha256()
    by_field = cloud.surface is not None and settings.by_field
    for array in (cloud.points, cloud.normals, cloud.latent if by_field else None):
        if array is not None:
            content.update(np.ascontiguousarray(array).tobytes())
    to = cloud.frame
    more: list[Any] = [to.up] if to.up != "y" else []
    if written.export != Export() or written.paint:
        more += [to_plain(written.export), repr(written.paint), to.unit]
    key = (
        to.scale, list(to.centre), list(written.formats), __version__, content.hexdigest(),
        *more,
    )  # fmt: skip
    return digest([to_plain(settings), *key])


def _finished(out: Path, name: str, key: str) -> dict[str, Any] | None:
    """The entry of an earlier job, if it was made in the same way and its files exist."""
    try:
        entry = parse_json(read_text(out / f"{name}.json"))
        same = entry["key"] == key and "report" in entry
        present = same and all((out / file).is_file() for file in entry["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(entry) if present else None
