"""Open what can be shown: a samples file, a data set, a mesh, clouds, or a folder of those.

Meshes and data sets are read shape by shape on demand; files of clouds are read in full by
:mod:`pcgen.shapes.reading`. Runs are sampled by the packages above.

Shapes are shown in the per-shape box frame. Samples with an origin are already in it, up to the
error of the generator, and stay unchanged.
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
from pcgen.shapes.category_frames import BOX_FRAME, SourceFrame, frames_of_samples, stored_frames
from pcgen.shapes.cloud_files import CLOUD_SUFFIXES, cloud_files, report_skipped
from pcgen.shapes.clouds import FileContent
from pcgen.shapes.formats import MESH_SUFFIXES, POINT_SUFFIXES, UNUSABLE
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.normalise import box_frame
from pcgen.shapes.reading import SUFFIXES, open_file, unreadable
from pcgen.shapes.samples import Samples, noted_given

if TYPE_CHECKING:
    from pcgen.shapes.store import Dataset

FOLDER_SUFFIXES = (*MESH_SUFFIXES, *POINT_SUFFIXES)  # files of one shape each
SURFACE_POINTS = 4096  # sampled from a mesh that is shown as points
DATASET_POINTS = 4096  # per shape of a data set

Kind = Literal["run", "dataset", "samples", "folder", "file"]


@dataclass(frozen=True, kw_only=True)
class LoadedShape:
    """One shape to show.

    Attributes:
        points: (n, 3) float32; normals: (n, 3) or None; mesh: in the frame of the points.
        frame: the frame of the file or, for samples of a run, of its data set.
        given: number of given points of a completed shape, which come first.
    """

    name: str
    points: NDArray[np.float32]
    normals: NDArray[np.float32] | None = None
    mesh: Mesh | None = None
    category: str = ""
    frame: SourceFrame = BOX_FRAME
    given: int = 0


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Shapes in order, each read on demand.

    Attributes:
        kind: of the path; names: one per shape.
        load: reads a shape by its number.
        meta: that of a samples file.
        files: the mesh file of each shape, or None.
        categories: one per shape, "" if unknown; empty if all are.
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
    """The kind of ``path``.

    Raises:
        InputError: no such path, an empty folder, or an unknown suffix.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist; name a run, data set, samples, mesh or folder")
    if path.is_dir():
        if is_run(path):
            return "run"
        if (path / "dataset.json").is_file():
            return "dataset"
        return "folder"
    suffix = path.suffix.lower()
    if suffix in UNUSABLE:
        raise InputError(f"cannot show {path}: {unreadable(suffix)}")
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise InputError(f"cannot show {path}: files end in {known}, got {suffix or 'no ending'!r}")
    return "samples" if suffix == ".npz" else "file"


def open_collection(path: Path | str) -> Collection:
    """Open anything but a run.

    Raises:
        InputError: see :func:`kind_of`; or the path is a run, or a folder without shapes.
    """
    path = Path(path)
    kind = kind_of(path)
    if kind == "run":
        raise InputError(f"{path} is a run; sample it with: pcgen sample {path}")
    if kind == "dataset":
        return _dataset(path)
    if kind == "folder":
        return _folder(path)
    # Points of samples that are not finite are errors of the generator, and reported.
    content = open_file(path, faulty="refuse" if kind == "samples" else "drop")
    return _of_content(content, path, kind)


def read_shape(path: Path) -> LoadedShape:
    """One mesh or one scan from a file, in the per-shape box frame."""
    return _of_content(open_file(path), path, "file").load(0)


def readable_shapes(
    collection: Collection, count: int | None = None
) -> tuple[Collection, list[str]]:
    """The first ``count`` shapes that can be read, and the errors of those before them.

    Raises:
        InputError: none can be read.
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
            progress.remark(f"left out: {error}")
    if not shapes:
        raise InputError(f"no shape of {collection.path} can be read: {'; '.join(faults[:3])}")
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


def from_mesh(name: str, mesh: Mesh, category: str = "") -> LoadedShape:
    """A mesh with sampled points, both in the per-shape box frame."""
    from pcgen.shapes.surface import sample_surface

    points, normals = sample_surface(mesh, SURFACE_POINTS, np.random.default_rng(0))
    used = mesh.used_vertices()
    frame = box_source_frame(used)
    return LoadedShape(
        name=name,
        points=frame.normalise(points).astype(np.float32),
        normals=normals.astype(np.float32),
        mesh=Mesh(frame.normalise(mesh.vertices), mesh.faces),
        category=category,
        frame=frame,
    )


def box_source_frame(points: NDArray[np.floating]) -> SourceFrame:
    """The frame of a shape with these points (n, 3) in original units."""
    frame = box_frame(points[None])
    x, y, z = frame.centre[0]
    return SourceFrame(float(frame.scale[0]), (float(x), float(y), float(z)))


def to_samples(collection: Collection, points: int) -> Samples:
    """All shapes as samples of ``points`` points, in the order of the collection.

    Of a shape with more points, the first ones are used; one with fewer repeats some.
    """
    shapes = [collection.load(number) for number in range(len(collection))]
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
    """A collection of shapes in memory. Several of one file are numbered, like samples."""
    for note in content.notes:
        progress.remark(f"{path}: {note}")
    many = len(content.shapes) > 1 and not path.is_dir()
    names = [str(k + 1) for k in range(len(content.shapes))] if many else list(content.names)
    own = stored_frames(content.meta, len(content.shapes))
    given = noted_given(content.meta, len(content.shapes))
    of_categories = frames_of_samples(content.meta)

    def load(number: int) -> LoadedShape:
        shape, category = content.shapes[number], str(content.categories[number])
        if isinstance(shape, Mesh):
            return from_mesh(names[number], shape, category)
        points, normals = shape
        frame = own[number] if own else of_categories.get(category, BOX_FRAME)
        if not content.meta:
            frame = box_source_frame(points)
            points = frame.normalise(points)
        return LoadedShape(
            name=names[number],
            points=points.astype(np.float32),
            normals=None if normals is None else normals.astype(np.float32),
            category=category,
            frame=frame,
            given=given[number] if given else 0,
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
        frame=SourceFrame(row.scale, row.centre, dataset.up, dataset.unit),
    )


def _folder(path: Path) -> Collection:
    """Meshes and scans of a folder and of its subfolders, whose names are categories.

    Of several formats of one shape, the first of :data:`FOLDER_SUFFIXES` is used. Without any, the
    arrays of clouds in the folder are used.
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
            progress.remark(fault)
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
            raise InputError(f"{path} holds nothing to show: {unreadable(other)}")
        raise InputError(
            f"{path} holds nothing to show: no run.json, dataset.json, mesh or cloud file "
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
    """Sort key that puts ``shape-10`` after ``shape-9``."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
