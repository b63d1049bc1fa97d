"""What can be looked at: a samples file, a data set, a mesh, clouds, or a folder of those.

Meshes and data sets are read shape by shape when asked for, so 50,000 open as fast as one; files
of clouds are read whole, by :mod:`pcgen.shapes.reading`. A run is looked at by drawing samples
from it, which is left to the rooms above.

Everything is shown in the per-shape box frame. Samples that say where they come from are in it
already, up to the generator's own error, and are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pcgen import progress
from pcgen.errors import InputError, PcgenError
from pcgen.runfile import is_run
from pcgen.shapes.category_frames import BOX_FRAME, SourceFrame, frames_of_samples
from pcgen.shapes.cloud_files import CLOUD_SUFFIXES, cloud_files, report_skipped
from pcgen.shapes.clouds import FileContent
from pcgen.shapes.formats import MESH_SUFFIXES, POINT_SUFFIXES, UNUSABLE
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.normalise import box_frame
from pcgen.shapes.reading import SUFFIXES, open_file, unreadable
from pcgen.shapes.samples import Samples

if TYPE_CHECKING:
    from pcgen.shapes.store import Dataset

FOLDER_SUFFIXES = (*MESH_SUFFIXES, *POINT_SUFFIXES)  # files of one shape each
SURFACE_POINTS = 4096  # drawn from a mesh that is shown as points
DATASET_POINTS = 4096  # of a data set's shape

Kind = Literal["run", "dataset", "samples", "folder", "file"]


@dataclass(frozen=True, kw_only=True)
class LoadedShape:
    """One thing to look at, as the file has it.

    Attributes:
        points: (n, 3) float32; normals: (n, 3) or None; mesh: in the frame of the points.
        place: takes them to the unit of the file or, of a run's samples, of its data set.
    """

    name: str
    points: NDArray[np.float32]
    normals: NDArray[np.float32] | None = None
    mesh: Mesh | None = None
    category: str = ""
    place: SourceFrame = BOX_FRAME


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Shapes in order, each read when asked for.

    Attributes:
        kind: what the path turned out to be; names: one a shape.
        load: number of a shape to the shape.
        meta: what a samples file says of itself.
        files: the mesh file of each shape, where it has one.
        categories: of each shape, "" where it has none; empty where nothing says.
    """

    path: Path
    kind: Kind
    names: Sequence[str]
    load: Callable[[int], LoadedShape]
    meta: dict[str, Any]
    files: Sequence[Path | None] = ()
    categories: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.names)


def kind_of(path: Path | str) -> Kind:
    """What stands at ``path``.

    Raises:
        InputError: nothing, an empty folder, or an unknown ending.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; give a run, data set, samples, mesh or folder")
    if path.is_dir():
        if is_run(path):
            return "run"
        if (path / "dataset.json").is_file():
            return "dataset"
        return "folder"
    suffix = path.suffix.lower()
    if suffix in UNUSABLE:
        raise InputError(f"cannot look at {path}: {unreadable(suffix)}")
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise InputError(
            f"cannot look at {path}: files end in {known}, got {suffix or 'no ending'!r}"
        )
    return "samples" if suffix == ".npz" else "file"


def open_collection(path: Path | str) -> Collection:
    """Open anything but a run.

    Raises:
        InputError: see :func:`kind_of`; or the path is a run, or a folder with nothing to see.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind == "run":
        raise InputError(f"{path} is a run; draw samples from it with: pcgen sample {path}")
    if kind == "dataset":
        return _dataset(path)
    if kind == "folder":
        return _folder(path)
    # Of samples, what is not finite is the generator's doing, and is told instead of mended.
    content = open_file(path, faulty="refuse" if kind == "samples" else "drop")
    return _of_content(content, path, kind)


def read_shape(path: Path) -> LoadedShape:
    """One mesh or one scan from a file, in the per-shape box frame."""
    return _of_content(open_file(path), path, "file").load(0)


def readable_shapes(
    collection: Collection, count: int | None = None
) -> tuple[Collection, list[str]]:
    """The first ``count`` shapes that can be read, and what is wrong with those before them.

    Raises:
        InputError: none can be.
    """
    shapes: dict[int, LoadedShape] = {}
    faults = []
    for number in range(len(collection)):
        if count is not None and len(shapes) == count:
            break
        try:
            shapes[number] = collection.load(number)
        except PcgenError as error:
            faults.append(str(error))
            progress.say(f"left out: {error}")
    if not shapes:
        raise InputError(f"nothing in {collection.path} can be read: {'; '.join(faults[:3])}")
    kept = list(shapes)
    return Collection(
        path=collection.path,
        kind=collection.kind,
        names=[collection.names[k] for k in kept],
        load=lambda number: shapes[kept[number]],
        meta=collection.meta,
        files=[collection.files[k] for k in kept] if collection.files else (),
        categories=[collection.categories[k] for k in kept] if collection.categories else (),
    ), faults


def from_mesh(
    name: str, mesh: Mesh, category: str = "", count: int = SURFACE_POINTS
) -> LoadedShape:
    """A mesh with points on its surface, both in the per-shape box frame."""
    from pcgen.shapes.surface import sample_surface

    points, normals = sample_surface(mesh, count, np.random.default_rng(0))
    used = mesh.used_vertices()
    place = box_source_frame(used)
    centre = np.asarray(place.centre)
    return LoadedShape(
        name=name,
        points=((points - centre) / place.scale).astype(np.float32),
        normals=normals.astype(np.float32),
        mesh=Mesh((mesh.vertices - centre) / place.scale, mesh.faces),
        category=category,
        place=place,
    )


def box_source_frame(points: NDArray[np.floating]) -> SourceFrame:
    """The place of the shape whose own points (n, 3) these are."""
    frame = box_frame(points[None])
    x, y, z = frame.centre[0]
    return SourceFrame(float(frame.scale[0]), (float(x), float(y), float(z)))


def to_samples(collection: Collection, count: int | None = None, points: int = 2048) -> Samples:
    """The first ``count`` shapes as samples of one size, in the order of the collection.

    A shape with more points gives the first ones, which are as random as all; one with fewer
    repeats some.
    """
    shapes = [collection.load(number) for number in range(min(count or 10**9, len(collection)))]
    clouds, sides = [], []
    for shape in shapes:
        index = np.arange(points) % len(shape.points)
        clouds.append(shape.points[index])
        sides.append(None if shape.normals is None else shape.normals[index])
    known = [side for side in sides if side is not None]
    return Samples(
        points=np.stack(clouds),
        category=np.array([shape.category for shape in shapes], dtype=np.str_),
        normals=np.stack(known) if len(known) == len(sides) else None,
        meta=dict(collection.meta),
    )


def _of_content(content: FileContent, path: Path, kind: Kind) -> Collection:
    """Shapes that are read already. Many of one file are numbered, as a run's samples are."""
    for note in content.notes:
        progress.say(f"{path}: {note}")
    many = len(content.shapes) > 1 and not path.is_dir()
    names = [str(k + 1) for k in range(len(content.shapes))] if many else list(content.names)
    places = frames_of_samples(content.meta)

    def load(number: int) -> LoadedShape:
        shape, category = content.shapes[number], str(content.categories[number])
        if isinstance(shape, Mesh):
            return from_mesh(names[number], shape, category)
        points, normals = shape
        place = places.get(category, BOX_FRAME)
        if not content.meta:
            place = box_source_frame(points)
            points = (points - np.asarray(place.centre)) / place.scale
        return LoadedShape(
            name=names[number],
            points=points.astype(np.float32),
            normals=None if normals is None else normals.astype(np.float32),
            category=category,
            place=place,
        )

    meshes = any(isinstance(shape, Mesh) for shape in content.shapes)
    return Collection(
        path=path, kind=kind, names=names, load=load, meta=dict(content.meta),
        files=[path] if meshes and not path.is_dir() else (),
        categories=[str(name) for name in content.categories],
    )  # fmt: skip


def _dataset(path: Path) -> Collection:
    from pcgen.shapes.store import Dataset

    dataset = Dataset.open(path)
    return Collection(
        path=path,
        kind="dataset",
        names=dataset.ids,
        load=lambda number: _stored(dataset, number),
        meta={},
        categories=[row.category for row in dataset.rows],
    )


def _stored(dataset: Dataset, number: int) -> LoadedShape:
    count = min(DATASET_POINTS, dataset.points_per_shape)
    row = dataset.rows[number]
    return LoadedShape(
        name=row.id,
        points=dataset.points([number], count)[0],
        normals=dataset.known_normals(number, count),
        category=row.category,
        place=SourceFrame(row.scale, row.centre, dataset.up, dataset.unit),
    )


def _folder(path: Path) -> Collection:
    """Meshes and scans of a folder and of those just below it, whose names are categories.

    Of several formats of one shape the first by :data:`FOLDER_SUFFIXES` counts. Where there are
    none, the arrays of clouds in the folder.
    """
    found: dict[tuple[str, str], Path] = {}
    every = sorted(f for f in (*path.glob("*"), *path.glob("*/*")) if f.is_file())
    for file in every:
        suffix = file.suffix.lower()
        if suffix not in FOLDER_SUFFIXES or file.name.startswith("."):
            continue
        category = "" if file.parent == path else file.parent.name
        best = found.setdefault((category, file.stem), file)
        if FOLDER_SUFFIXES.index(suffix) < FOLDER_SUFFIXES.index(best.suffix.lower()):
            found[category, file.stem] = file
    if not found and any(file.suffix.lower() in CLOUD_SUFFIXES for file in path.iterdir()):
        parts, faults = [], []
        for file in cloud_files(path):
            try:
                parts.append(open_file(file))
            except InputError as error:
                faults.append(f"left out: {error}")
        if not parts:
            raise InputError(faults[0].removeprefix("left out: "))
        for fault in faults:
            progress.say(fault)
        whole = FileContent(
            [shape for part in parts for shape in part.shapes],
            [name for part in parts for name in part.names],
            [category for part in parts for category in part.categories],
            notes=tuple(note for part in parts for note in part.notes),
        )
        return _of_content(whole, path, "folder")
    if not found:
        other = next(
            (f.suffix.lower() for f in path.rglob("*") if f.suffix.lower() in UNUSABLE), ""
        )
        if other:
            raise InputError(f"{path} holds nothing to look at: {unreadable(other)}")
        raise InputError(
            f"{path} holds nothing to look at: no run.json, dataset.json, mesh or cloud file "
            f"({', '.join(FOLDER_SUFFIXES)}) in it or one folder below"
        )
    keys = sorted(found, key=lambda key: (key[0], natural_order(key[1])))
    files = [found[key] for key in keys]
    report_skipped(path, every, files)

    def load(number: int) -> LoadedShape:
        shape = read_shape(files[number])
        return LoadedShape(**{**vars(shape), "category": keys[number][0]})

    names = [key[1] for key in keys]
    return Collection(
        path=path, kind="folder", names=names, load=load, meta={}, files=files,
        categories=[key[0] for key in keys],
    )  # fmt: skip


def natural_order(name: str) -> list[tuple[int, str]]:
    """Sort key in which ``shape-10`` comes after ``shape-9``."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
