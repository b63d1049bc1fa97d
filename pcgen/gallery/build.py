"""Write the gallery of samples."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen import progress
from pcgen.errors import MeshError, StorageError
from pcgen.evaluate.neighbours import Neighbour
from pcgen.files import atomic_folder
from pcgen.gallery import page, web_geometry
from pcgen.gallery.curves import Curves
from pcgen.gallery.meshes import MeshFiles, find_meshes
from pcgen.gallery.parents import Parent
from pcgen.render import charts
from pcgen.render.image_files import webp_uri
from pcgen.render.renderer import Image
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.reading import read_mesh
from pcgen.shapes.samples import Samples, noted_given

STRIP_THUMBNAIL = 120
MATCHED = 0.5  # frames are blended if points move less than this share of a random pairing


def build(
    samples: Samples,
    out: Path | str,
    *,
    nearest: Sequence[Neighbour | None] | None = None,
    parents: Sequence[Sequence[Parent]] = (),
    meshes: Sequence[MeshFiles | None] | Path | str | None = None,
    interpolation: Samples | None = None,
    curves: Curves | None = None,
    explained: Image | None = None,
    names: Sequence[str] | None = None,
    title: str = "Generated shapes",
    notes: Sequence[str] = (),
) -> Path:
    """Write the gallery of ``samples`` into the folder ``out``; returns the path of its page.

    Args:
        out: a new or empty folder, or an earlier gallery, which is replaced.
        nearest: the nearest training shape of each sample, in the same order.
        parents: the training shapes that each sample descends from, in the same order.
        meshes: the mesh of each sample in the same order, or a folder of them.
        interpolation: frames between two shapes.
        curves: (step, loss) pairs by the name of a stage, see :func:`read_curves`.
        explained: a picture of :func:`pcgen.render.explain`.
        names: one per sample; numbers by default. notes: paragraphs under the title.
    Raises:
        StorageError: ``out`` cannot be written, or holds something other than a gallery.
        InputError: ``meshes`` is a folder without meshes.
    """
    belonging = find_meshes(meshes) if isinstance(meshes, Path | str) else list(meshes or ())
    count = len(samples)
    near = list(nearest or [])
    with _replaced(Path(out)) as folder, progress.bar("gallery", count) as bar:
        items, blobs = [], {}
        for number in range(count):
            neighbour = near[number] if number < len(near) else None
            files = belonging[number] if number < len(belonging) else None
            item, texts = _item(samples, number, neighbour, files, folder)
            item["name"] = names[number] if names is not None else ""
            items.append(item)
            blobs.update(texts)
            bar.advance()
        blobs.update(_add_parents(items, parents))
        data: dict[str, Any] = {**page.scene_data(), "items": items}
        frames = 0 if interpolation is None else len(interpolation)
        if interpolation is not None and frames > 1:
            data["path"], texts = _path(interpolation)
            blobs.update(texts)
        text = page.assemble(
            data,
            title=title,
            notes=[*_notes(samples), *notes],
            blobs=blobs,
            explained="" if explained is None else webp_uri(explained, 88),
            frames=frames if frames > 1 else 0,
            curves={
                name: charts.svg(charts.learning_curve(pairs), name)
                for name, pairs in (curves or {}).items()
                if len(pairs) > 1
            },
        )
        (folder / "index.html").write_text(text, encoding="utf-8")
    return Path(out) / "index.html"


def _item(
    samples: Samples,
    number: int,
    neighbour: Neighbour | None,
    files: MeshFiles | None,
    folder: Path,
) -> tuple[dict[str, Any], dict[str, str]]:
    """The data of one sample and its blobs; its files go into ``folder``."""
    normals = None if samples.normals is None else samples.normals[number]
    given = noted_given(samples.meta, len(samples))
    cloud = web_geometry.cloud(
        samples.points[number], normals, "generated", given=given[number] if given else 0
    )
    item: dict[str, Any] = {
        "category": str(samples.category[number]),
        "thumbnail": cloud.thumbnail,
        "cloud": cloud.header,
    }
    blobs = {f"cloud-{number}": cloud.data}
    if neighbour is not None:
        other = web_geometry.cloud(neighbour.points, None, "training", thumbnail=0)
        item["nearest"] = {
            "id": neighbour.id,
            "distance": neighbour.distance,
            "note": str(neighbour.relation),
            "cloud": other.header,
        }
        blobs[f"near-{number}"] = other.data
    if files is not None:
        item["report"] = page.report_rows(files.report)
        item["files"] = list(_copied(files, folder / "meshes"))
        with contextlib.suppress(MeshError):  # a mesh that cannot be drawn can still be downloaded
            mesh = _aligned(read_mesh(files.drawn_from), samples.points[number])
            packed = web_geometry.mesh(mesh.vertices, mesh.faces)
            (folder / "view").mkdir(exist_ok=True)
            source = f"view/mesh-{number}.js"
            (folder / source).write_text(f'Page.receiveMesh({number},"{packed.data}");\n')
            item["mesh"] = {"header": packed.header, "src": source}
    return item, blobs


def _add_parents(
    items: list[dict[str, Any]], parents: Sequence[Sequence[Parent]]
) -> dict[str, str]:
    """Add the parents of each sample to its data; returns their blobs, one a training shape."""
    packed: dict[str, tuple[str, web_geometry.PackedGeometry]] = {}
    for item, ones in zip(items, parents, strict=False):
        item["parents"] = []
        for one in ones:
            entry: dict[str, Any] = {"id": one.id}
            if one.points is not None:
                if one.id not in packed:
                    cloud = web_geometry.cloud(one.points, None, "training", thumbnail=0)
                    packed[one.id] = f"parent-{len(packed)}", cloud
                name, cloud = packed[one.id]
                entry |= {"blob": name, "cloud": cloud.header}
            item["parents"].append(entry)
    return {name: cloud.data for name, cloud in packed.values()}


def _path(frames: Samples) -> tuple[dict[str, Any], dict[str, str]]:
    packed = [
        web_geometry.cloud(
            points,
            None if frames.normals is None else frames.normals[k],
            "generated",
            STRIP_THUMBNAIL,
        )
        for k, points in enumerate(frames.points)
    ]
    headers = [{**one.header, "thumbnail": one.thumbnail} for one in packed]
    blobs = {f"frame-{k}": one.data for k, one in enumerate(packed)}
    return {"matched": _matched(frames.points), "frames": headers}, blobs


def _matched(points: NDArray[np.float32]) -> bool:
    """Whether points of successive frames correspond, so that blending is meaningful."""
    apart = np.linalg.norm(np.diff(points, axis=0), axis=2).mean()
    shuffled = np.roll(points[1:], points.shape[1] // 2, axis=1)
    return bool(apart < MATCHED * np.linalg.norm(shuffled - points[:-1], axis=2).mean())


def _copied(files: MeshFiles, folder: Path) -> Iterator[dict[str, str]]:
    folder.mkdir(exist_ok=True)
    for path in files.files:
        shutil.copyfile(path, folder / path.name)
        size = path.stat().st_size
        yield {
            "label": path.suffix[1:].upper(),
            "href": f"meshes/{_quoted(path.name)}",
            "size": f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3))} kB",
        }


def _aligned(mesh: Mesh, points: NDArray[np.float32]) -> Mesh:
    """The mesh moved to the frame of its points, if it is in original units."""
    used = mesh.used_vertices()
    own, wanted = (np.stack([a.min(0), a.max(0)]) for a in (used, points.astype(np.float64)))
    size, target = np.ptp(own, axis=0).max(), np.ptp(wanted, axis=0).max()
    shift = np.abs(own.mean(0) - wanted.mean(0)).max()
    if 0.8 * target < size < 1.25 * target and shift < 0.2 * target:
        return mesh
    scale = target / size if size > 0 else 1.0
    return Mesh((mesh.vertices - own.mean(0)) * scale + wanted.mean(0), mesh.faces)


def _notes(samples: Samples) -> list[str]:
    """A sentence on the number of samples and their origin."""
    meta = samples.meta
    facts = [f"{len(samples)} shapes of {samples.points.shape[1]:,} points"]
    if "seed" in meta:
        facts.append(f"seed {meta['seed']}")
    if "steps" in meta:
        facts.append(f"{meta['steps']} step{'' if meta['steps'] == 1 else 's'} of the flow")
    return [", ".join(facts) + ". In the order sampled, without selection."]


def _quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name)


@contextlib.contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """A folder to fill, which finally becomes ``out`` and replaces an earlier gallery."""
    above = next(parent for parent in out.absolute().parents if parent.exists())
    if not above.is_dir():
        raise StorageError(f"cannot write {out}: {above} is a file, not a folder")
    filled = out.exists() and not (out.is_dir() and not any(out.iterdir()))
    if filled and not _is_gallery(out):
        raise StorageError(f"{out} exists and is not a gallery; choose another folder with --out")
    with atomic_folder(out, replace=filled) as folder:
        yield folder


def _is_gallery(folder: Path) -> bool:
    try:
        with (folder / "index.html").open(encoding="utf-8", errors="replace") as handle:
            return page.GENERATOR in handle.read(2000)
    except OSError:
        return False
