"""What can be looked at: a samples file, a data set, a mesh, a cloud, or a folder of those.

Nothing is read before it is asked for, so a data set of 50,000 shapes opens as fast as one mesh.
A run is looked at by drawing samples from it, which is left to the rooms above.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.runfile import is_run
from pcgen.shapes.mesh_files import MESH_SUFFIXES, Mesh, read_mesh
from pcgen.shapes.normalise import box_frame
from pcgen.shapes.samples import Samples

if TYPE_CHECKING:
    from pcgen.shapes.store import Dataset

CLOUD_SUFFIXES = (".npz", ".npy", ".ply")
SURFACE_POINTS = 4096  # drawn from a mesh that is shown as points
DATASET_POINTS = 4096  # of a data set's shape

Kind = Literal["run", "dataset", "samples", "folder", "mesh", "cloud"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One thing to look at, as the file has it.

    Attributes:
        points: (n, 3) float32; normals: (n, 3) or None; mesh: in the frame of the points.
    """

    name: str
    points: NDArray[np.float32]
    normals: NDArray[np.float32] | None = None
    mesh: Mesh | None = None
    category: str = ""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Shapes in order, each read when asked for.

    Attributes:
        kind: what the path turned out to be; names: one a shape.
        load: number of a shape to the shape.
        meta: what a samples file says of itself.
        files: the mesh file of each shape, where it has one.
    """

    path: Path
    kind: Kind
    names: Sequence[str]
    load: Callable[[int], Shape]
    meta: dict[str, Any]
    files: Sequence[Path | None] = ()

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
    if suffix == ".npz":
        return "samples"
    if suffix == ".ply":
        return "cloud" if _is_scan(path) else "mesh"
    if suffix in MESH_SUFFIXES:
        return "mesh"
    if suffix in CLOUD_SUFFIXES:
        return "cloud"
    known = ", ".join(dict.fromkeys((*CLOUD_SUFFIXES, *MESH_SUFFIXES)))
    raise InputError(f"cannot look at {path}: files end in {known}, got {suffix or 'no ending'!r}")


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
    if kind == "samples":
        return _samples(path)
    if kind == "folder":
        return _folder(path)
    if path.suffix.lower() == ".npy":
        return _array(path)
    return Collection(
        path=path, kind=kind, names=[path.stem], load=lambda _: read_shape(path), meta={},
        files=[path if kind == "mesh" else None],
    )  # fmt: skip


def read_shape(path: Path) -> Shape:
    """One mesh or one scan from a file, in the per-shape box frame."""
    if path.suffix.lower() == ".ply" and _is_scan(path):
        from pcgen.shapes.formats.ply import read_ply

        scan = read_ply(path.read_bytes())
        return _boxed(path.stem, scan.vertices, scan.normals)
    try:
        return from_mesh(path.stem, read_mesh(path))
    except MeshError as error:
        raise MeshError(f"{path}: {error}") from None


def from_mesh(name: str, mesh: Mesh, category: str = "", count: int = SURFACE_POINTS) -> Shape:
    """A mesh with points on its surface, both in the per-shape box frame."""
    from pcgen.shapes.surface import sample_surface

    points, normals = sample_surface(mesh, count, np.random.default_rng(0))
    used = mesh.used_vertices()
    frame = box_frame(used[None])
    scale, centre = float(frame.scale[0]), frame.centre[0]
    return Shape(
        name=name,
        points=((points - centre) / scale).astype(np.float32),
        normals=normals.astype(np.float32),
        mesh=Mesh((mesh.vertices - centre) / scale, mesh.faces),
        category=category,
    )


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


def from_samples(samples: Samples, path: Path, kind: Kind = "samples") -> Collection:
    """A collection of the clouds of a samples file, or of samples just drawn."""

    def load(number: int) -> Shape:
        return Shape(
            name=f"{number + 1}",
            points=samples.points[number],
            normals=None if samples.normals is None else samples.normals[number],
            category=str(samples.category[number]),
        )

    names = [f"{number + 1}" for number in range(len(samples))]
    return Collection(path=path, kind=kind, names=names, load=load, meta=dict(samples.meta))


def _samples(path: Path) -> Collection:
    samples = Samples.load(path)
    if not len(samples):
        raise InputError(f"{path} holds no shapes")
    return from_samples(samples, path)


def _array(path: Path) -> Collection:
    from pcgen.shapes.arrays import read_npy

    array = read_npy(path)
    clouds = array[None] if array.ndim == 2 else array
    return from_samples(Samples(points=clouds), path, "cloud")


def _dataset(path: Path) -> Collection:
    from pcgen.shapes.store import Dataset

    dataset = Dataset.open(path)
    return Collection(
        path=path,
        kind="dataset",
        names=dataset.ids,
        load=lambda number: _stored(dataset, number),
        meta={},
    )


def _stored(dataset: Dataset, number: int) -> Shape:
    count = min(DATASET_POINTS, dataset.points_per_shape)
    row = dataset.rows[number]
    return Shape(
        name=row.id,
        points=dataset.points([number], count)[0],
        normals=dataset.normals([number], count)[0] if dataset.has_normals else None,
        category=row.category,
    )


def _folder(path: Path) -> Collection:
    """Meshes and scans of a folder and of those just below it, whose names are categories.

    Of several formats of one mesh the first by :data:`MESH_SUFFIXES` counts.
    """
    found: dict[tuple[str, str], Path] = {}
    for file in sorted((*path.glob("*"), *path.glob("*/*"))):
        suffix = file.suffix.lower()
        if suffix not in MESH_SUFFIXES or not file.is_file() or file.name.startswith("."):
            continue
        category = "" if file.parent == path else file.parent.name
        best = found.setdefault((category, file.stem), file)
        if MESH_SUFFIXES.index(suffix) < MESH_SUFFIXES.index(best.suffix.lower()):
            found[category, file.stem] = file
    if not found:
        raise InputError(
            f"{path} holds nothing to look at: no run.json, dataset.json or mesh file "
            f"({', '.join(MESH_SUFFIXES)}) in it or one folder below"
        )
    keys = sorted(found, key=lambda key: (key[0], natural(key[1])))
    files = [found[key] for key in keys]

    def load(number: int) -> Shape:
        shape = read_shape(files[number])
        return Shape(**{**vars(shape), "category": keys[number][0]})

    names = [key[1] for key in keys]
    return Collection(path=path, kind="folder", names=names, load=load, meta={}, files=files)


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key in which ``shape-10`` comes after ``shape-9``."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _boxed(name: str, points: NDArray[Any], normals: NDArray[Any] | None) -> Shape:
    """A scan in the per-shape box frame, without its rows that are not finite."""
    finite = np.isfinite(points).all(1)
    if not finite.any():
        raise InputError(f"{name} has no finite point")
    kept = points[finite].astype(np.float64)
    low, high = kept.min(0), kept.max(0)
    scale = float((high - low).max()) / 2 or 1.0
    return Shape(
        name=name,
        points=((kept - (low + high) / 2) / scale).astype(np.float32),
        normals=None if normals is None else normals[finite].astype(np.float32),
    )


def _is_scan(path: Path) -> bool:
    """A PLY file whose header names no faces."""
    with path.open("rb") as handle:
        header = handle.read(65536).split(b"end_header")[0]
    return re.search(rb"element face\s+[1-9]", header) is None
