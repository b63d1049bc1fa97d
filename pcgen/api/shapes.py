"""Shapes, point clouds with normals in the box [-1, 1] with +Y up, and meshes of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from pcgen import pipeline
from pcgen.config import to_plain
from pcgen.errors import InputError
from pcgen.progress import shown
from pcgen.shapes.category_frames import BOX_FRAME, SourceFrame, frames_of_samples, stored_frames
from pcgen.shapes.cloud_writing import write_cloud
from pcgen.shapes.samples import Samples, noted_given

if TYPE_CHECKING:
    from pcgen.api.meshes import SurfaceMesh
    from pcgen.gallery.notebook import NotebookShape
    from pcgen.reconstruct.batch import NamedCloud
    from pcgen.reconstruct.methods import MeshSettings

SURFACE_POINTS = 4096  # points sampled from a mesh file


@dataclass(frozen=True, eq=False, repr=False)
class Shape:
    """A point cloud.

    Attributes:
        points: (P, 3) float32 in the box frame. normals: (P, 3) without meaningful signs, or None.
        category, name: of the shape; may be empty.
        frame: the transform to its own unit, for exports.
        given: (P,) bool, which points of a completed shape were given; else None.
        facts: further facts about it, such as the likelihood of a completion.
        run, latent: path of the run that sampled it, and the latent (D,) that was decoded; "" and
            None for other shapes.
    Raises:
        InputError: the points are not finite numbers (P, 3), or the normals do not match.
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float32] | None = None
    category: str = ""
    name: str = ""
    frame: SourceFrame = BOX_FRAME
    given: NDArray[np.bool_] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    run: str = ""
    latent: NDArray[np.float32] | None = None

    @property
    def place(self) -> SourceFrame:
        """The former name of ``frame``."""
        warnings.warn("Shape.place is now Shape.frame", DeprecationWarning, stacklevel=2)
        return self.frame

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", as_cloud(self.points))
        if self.normals is not None and self.normals.shape != self.points.shape:
            raise InputError(
                f"normals must have the shape of points {self.points.shape}, "
                f"got {self.normals.shape}"
            )

    @classmethod
    def read(cls, path: Path | str, *, points: int | None = None, seed: int = 0) -> Shape:
        """Read a shape from a mesh or cloud file, in its box.

        Args:
            points: number to sample; None for the whole cloud, and for 4,096 from a mesh.
            seed: of the sampling.
        Raises:
            InputError: there is no such file, or it cannot be read.
        """
        from pcgen.render.inputs import read_shape

        found = read_shape(Path(path))
        shape = cls(found.points, found.normals, found.category, found.name, found.frame)
        return shape if points is None else shape.drawn(points, seed=seed)

    def __len__(self) -> int:
        """The number of points."""
        return len(self.points)

    def drawn(self, count: int, *, seed: int = 0) -> Shape:
        """A random subset of ``count`` points, with repeats if it has fewer."""
        if count < 1:
            raise InputError(f"the number of points must be at least 1, got {count}")
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(self), count, replace=len(self) < count)
        return replace(
            self,
            points=self.points[rows],
            normals=None if self.normals is None else self.normals[rows],
            given=None if self.given is None else self.given[rows],
        )

    def mesh(
        self,
        *,
        method: str = "auto",
        faces: int | None = None,
        thickness: float = 0.004,
        resolution: int = 128,
        symmetry: bool = True,
    ) -> SurfaceMesh:
        """Reconstruct a closed mesh, like ``pcgen mesh``, in the shape's own unit.

        Args:
            method: ``auto``, ``implicit`` or ``field``.
            faces: approximate upper limit. resolution: cells along an axis.
            thickness: of open sheets, at least, relative to the size.
            symmetry: whether ``implicit`` adds mirror images of the points of symmetric shapes.
        Raises:
            InputError: an argument is wrong, or the points have no surface. MeshError: the method
                failed.
        """
        from pcgen.api.meshes import SurfaceMesh
        from pcgen.reconstruct.batch import reconstruct_cloud
        from pcgen.reconstruct.methods import MeshSettings

        settings = MeshSettings(
            method=method,
            faces=faces,
            thickness=thickness,
            resolution=resolution,
            symmetry=symmetry,
        )
        (cloud,) = _with_surfaces([self._named_cloud(self.name)], settings)
        made = reconstruct_cloud(cloud, settings)
        return SurfaceMesh(made.mesh, made.report, self.frame.unit, self.frame.up, self.name)

    def _file_name(self, number: int, stem: str = "shape") -> str:
        return f"{stem}-{number:03d}" + (f"-{self.category}" if self.category else "")

    def _named_cloud(self, name: str) -> NamedCloud:
        from pcgen.reconstruct.batch import NamedCloud

        return NamedCloud(
            name=name,
            points=self.points,
            normals=self.normals,
            category=self.category,
            frame=self.frame,
            run=self.run,
            latent=self.latent,
        )

    def save(self, path: Path | str) -> Path:
        """Write the cloud as ``.ply``, ``.xyz`` or ``.npy`` in its own unit, or as ``.npz`` in its
        box; returns the path."""
        path = Path(path)
        if path.suffix.lower() == ".npz":
            return Shapes.of([self]).save(path)
        normals = None if self.normals is None else self.frame.turn(self.normals)
        return write_cloud(path, self.frame.restore(self.points), normals)

    def summary(self) -> dict[str, Any]:
        """Name, category, number of points, and extents in the box and in its own unit."""
        extents = np.ptp(self.points, axis=0)
        own = np.ptp(self.frame.restore(self.points), axis=0)
        summary: dict[str, Any] = {
            "name": self.name,
            "category": self.category,
            "points": len(self),
            "normals": self.normals is not None,
            "extents": [round(float(value), 4) for value in extents],
            "own_extents": [float(f"{value:.4g}") for value in own],
            "unit": self.frame.unit,
        }
        if self.given is not None:
            summary["given"] = int(self.given.sum())
        return summary | self.facts

    def __repr__(self) -> str:
        what = " ".join(part for part in (self.category, self.name) if part)
        size = " × ".join(f"{value:.2f}" for value in np.ptp(self.points, axis=0))
        numbers = "".join(
            f", {name} {value:.3g}" for name, value in self.facts.items() if type(value) is float
        )
        return f"Shape({what + ': ' if what else ''}{len(self)} points, {size}{numbers})"

    def _repr_html_(self) -> str:
        from pcgen.gallery.notebook import notebook_view

        return notebook_view([self._exhibit(repr(self))])

    def _exhibit(self, caption: str) -> NotebookShape:
        from pcgen.gallery.notebook import NotebookShape

        first = self._given_first()
        given = 0 if self.given is None else int(self.given.sum())
        return NotebookShape(first.points, first.normals, caption=caption, given=given)

    def _given_first(self) -> Shape:
        """The shape with its given points first, if it was completed."""
        if self.given is None:
            return self
        order = (~self.given).argsort(kind="stable")
        normals = None if self.normals is None else self.normals[order]
        return replace(self, points=self.points[order], normals=normals, given=self.given[order])


def save_meshes(
    shapes: Shapes | Shape | Path | str,
    out: Path | str,
    *,
    formats: Sequence[str] = ("glb",),
    frames: Any = None,
    method: str = "auto",
    faces: int | None = None,
    thickness: float = 0.004,
    resolution: int = 128,
    symmetry: bool = True,
    unit: str = "",
    size: float | None = None,
    up: str = "",
    colour: str = "plain",
    workers: int | None = None,
    ray: str | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> dict[str, Any]:
    """Mesh shapes into the folder ``out``, each with a report; finished meshes are kept.

    Args:
        shapes: shapes, or the path of a samples file, a cloud file, or a folder of these.
        formats: some of ``glb``, ``ply``, ``obj``, ``stl`` and ``3mf``.
        frames: a data set, or its path, whose categories give samples in a file their size; None
            for the frame that the file stores, else for that of the run's data set.
        method, faces, thickness, resolution, symmetry: see :func:`mesh`.
        unit, size, up: see :meth:`pcgen.SurfaceMesh.save`.
        colour: of the vertices: ``plain``, ``height`` or ``normal``.
        workers: processes; None for this one. ray: address of a cluster to use.
        device: for the method ``field``.
        progress: show progress on stderr.
    Returns:
        the content of ``out/meshes.json``, with a report or an error for each shape.
    Raises:
        InputError: an argument is wrong, or there is nothing to mesh.
    """
    source: Path | list[NamedCloud]
    if isinstance(shapes, str | Path):
        source = Path(shapes)
    elif frames is None:
        source = read_shapes(shapes)._named_clouds()
    else:
        raise InputError("frames is for files; shapes in memory have frames of their own")
    with shown(progress):
        return pipeline.mesh(
            source,
            Path(out),
            frames=getattr(frames, "path", frames),
            formats=formats,
            method=method,
            faces=faces,
            thickness=thickness,
            resolution=resolution,
            symmetry=symmetry,
            unit=unit,
            size=size,
            up=up,
            colour=colour,
            workers=workers,
            ray=ray,
            device=device,
        )


@dataclass(frozen=True, eq=False, repr=False)
class Shapes(Sequence[Shape]):
    """Shapes with the same number of points, as sampled by a model or evaluated.

    Attributes:
        samples: the arrays, as in a samples file.
        names: of each shape; numbers by default.
        facts: of each shape, see :class:`Shape`; may be empty.
        given: (N, P) bool, see :class:`Shape`, or None.
        frames: of each shape, if known individually; else those of their categories.
    """

    samples: Samples
    names: tuple[str, ...] = ()
    facts: tuple[dict[str, Any], ...] = ()
    given: NDArray[np.bool_] | None = None
    frames: tuple[SourceFrame, ...] = ()

    @property
    def places(self) -> tuple[SourceFrame, ...]:
        """The former name of ``frames``."""
        warnings.warn("Shapes.places is now Shapes.frames", DeprecationWarning, stacklevel=2)
        return self.frames

    @classmethod
    def of(cls, shapes: Sequence[Shape], *, meta: dict[str, Any] | None = None) -> Shapes:
        """Join shapes with the same number of points.

        Raises:
            InputError: there are no shapes, or they have different numbers of points.
        """
        sizes = sorted({len(shape) for shape in shapes})
        if len(sizes) != 1:
            raise InputError(
                f"expected shapes with the same number of points, got {sizes or 'no shape'}; "
                "subsample each with shape.drawn(count)"
            )
        normals = [shape.normals for shape in shapes if shape.normals is not None]
        given = [shape.given for shape in shapes if shape.given is not None]
        runs = {shape.run for shape in shapes}
        latents = [shape.latent for shape in shapes if shape.latent is not None]
        together = len(runs) == 1 and len(latents) == len(shapes)
        samples = Samples(
            latents=np.stack(latents) if together else None,
            points=np.stack([shape.points for shape in shapes]),
            normals=np.stack(normals) if len(normals) == len(shapes) else None,
            category=np.array([shape.category for shape in shapes], np.str_),
            meta=({"run": runs.pop()} if together else {}) | (meta or {}),
        )
        return cls(
            samples,
            tuple(shape.name for shape in shapes),
            tuple(shape.facts for shape in shapes),
            np.stack(given) if len(given) == len(shapes) else None,
            tuple(shape.frame for shape in shapes),
        )

    @classmethod
    def load(cls, path: Path | str) -> Shapes:
        """Read a samples file, as written by :meth:`save` and ``pcgen sample``.

        Raises:
            InputError: the file is missing, damaged, or has no samples.
        """
        samples = Samples.load(path)
        count, points = samples.points.shape[:2]
        given = noted_given(samples.meta, count)
        return cls(
            samples,
            given=np.arange(points) < np.array(given)[:, None] if given else None,
            frames=stored_frames(samples.meta, count),
        )

    @property
    def points(self) -> NDArray[np.float32]:
        """Points (N, P, 3) float32, each in its shape's box."""
        return self.samples.points

    @property
    def normals(self) -> NDArray[np.float32] | None:
        """Normals (N, P, 3), or None."""
        return self.samples.normals

    @property
    def category(self) -> NDArray[np.str_]:
        """(N,) names."""
        return self.samples.category

    @property
    def meta(self) -> dict[str, Any]:
        """The origin of the shapes: run, seed, steps, parents."""
        return self.samples.meta

    @cached_property
    def _category_frames(self) -> dict[str, SourceFrame]:
        return frames_of_samples(self.samples.meta)

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, number: int) -> Shape: ...

    @overload
    def __getitem__(self, number: slice | Sequence[int] | NDArray[Any]) -> Shapes: ...

    def __getitem__(self, number: int | slice | Sequence[int] | NDArray[Any]) -> Shape | Shapes:
        """One shape; or some, by a slice, a list of numbers, or an array (N,) of truth values."""
        if isinstance(number, slice):
            return self._taken(range(len(self))[number])
        if not isinstance(number, SupportsIndex) or np.ndim(number):
            return self._taken(np.arange(len(self))[number].tolist())
        row = range(len(self))[number]
        category = str(self.category[row])
        return Shape(
            points=self.points[row],
            normals=None if self.normals is None else self.normals[row],
            category=category,
            name=self.names[row] if self.names else str(row),
            frame=self.frames[row]
            if self.frames
            else self._category_frames.get(category, BOX_FRAME),
            given=None if self.given is None else self.given[row],
            facts=self.facts[row] if self.facts else {},
            run=str(self.meta.get("run", "")),
            latent=None if self.samples.latents is None else self.samples.latents[row],
        )

    def __iter__(self) -> Iterator[Shape]:
        return (self[row] for row in range(len(self)))

    def _taken(self, rows: Sequence[int]) -> Shapes:
        chosen = list(rows)
        meta = dict(self.meta)
        if isinstance(meta.get("parents"), list) and len(meta["parents"]) == len(self):
            meta["parents"] = [meta["parents"][row] for row in chosen]
        samples = Samples(
            points=self.points[chosen],
            normals=None if self.normals is None else self.normals[chosen],
            category=self.category[chosen],
            meta=meta,
            latents=None if self.samples.latents is None else self.samples.latents[chosen],
        )
        return Shapes(
            samples,
            tuple(self.names[row] for row in chosen) if self.names else (),
            tuple(self.facts[row] for row in chosen) if self.facts else (),
            None if self.given is None else self.given[chosen],
            tuple(self.frames[row] for row in chosen) if self.frames else (),
        )

    def save(self, path: Path | str, *, stem: str = "shape") -> Path:
        """Write a samples file (``.npz``), or a folder of PLY files; return its path.

        In a samples file, ``meta`` holds the facts and frames of the shapes. The given points of a
        completed shape come first in its cloud, and ``meta`` has their number. Equal shapes give
        equal bytes. A folder receives ``shape-000-seat.ply`` and so on, each in its own unit.

        Args:
            stem: the beginning of the names in a folder.
        """
        path = Path(path)
        if not path.suffix:
            path.mkdir(parents=True, exist_ok=True)
            for number, shape in enumerate(self):
                shape.save(path / f"{shape._file_name(number, stem)}.ply")
            return path
        samples = self.samples
        if self.given is not None:
            first = Shapes.of([shape._given_first() for shape in self]).samples
            samples = replace(samples, points=first.points, normals=first.normals)
            samples = samples.with_meta(given=self.given.sum(1).tolist())
        if any(frame != BOX_FRAME for frame in self.frames):
            samples = samples.with_meta(places=[to_plain(frame) for frame in self.frames])
        if any(self.facts):
            samples = samples.with_meta(facts=[dict(fact) for fact in self.facts])
        return samples.save(path)

    mesh = save_meshes
    """Mesh all shapes into a folder; see :func:`save_meshes`."""

    def _named_clouds(self) -> list[NamedCloud]:
        return [shape._named_cloud(shape._file_name(row)) for row, shape in enumerate(self)]

    def summary(self) -> dict[str, Any]:
        """Counts and origin, as plain data."""
        names, counts = np.unique(self.category, return_counts=True)
        return {
            "shapes": len(self),
            "points": int(self.points.shape[1]),
            "normals": self.normals is not None,
            "categories": {
                str(name): int(count) for name, count in zip(names, counts, strict=True)
            },
            "meta": self.meta,
        }

    def __repr__(self) -> str:
        names = ", ".join(sorted({str(name) for name in self.category} - {""}))
        what = f" of {names}" if names else ""
        return f"Shapes({len(self)}{what}, {self.points.shape[1]} points each)"

    def _repr_html_(self) -> str:
        from pcgen.gallery.notebook import MOST, notebook_view

        shown_ = [shape._exhibit(f"{shape.name} {shape.category}".strip()) for shape in self[:MOST]]
        rest = len(self) - len(shown_)
        return notebook_view(shown_, repr(self) + (f"; {rest} more are not shown" if rest else ""))


def _with_surfaces(clouds: list[NamedCloud], settings: MeshSettings) -> list[NamedCloud]:
    if not settings.by_field:  # all other methods need no model
        return clouds
    from pcgen.model.meshing import with_surfaces

    return with_surfaces(clouds)


def as_cloud(points: Any) -> NDArray[np.float32]:
    """Points (P, 3) as finite float32.

    Raises:
        InputError: wrong shape, empty, or with NaN or infinity.
    """
    array = np.asarray(points)
    if array.ndim != 2 or array.shape[1] != 3 or not len(array) or array.dtype.kind not in "fiu":
        hint = "; give one cloud at a time" if array.ndim == 3 else ""
        raise InputError(
            f"a shape is an array of numbers (P, 3), got {array.shape} of {array.dtype}{hint}"
        )
    with np.errstate(
        over="ignore"
    ):  # values that are too large become infinite, which is refused below
        array = np.ascontiguousarray(array, np.float32)
    bad = int((~np.isfinite(array).all(1)).sum())
    if bad:
        raise InputError(f"{bad} of {len(array)} points are NaN or infinite; remove them")
    return array


def read_shape(shape: Any) -> Shape:
    """A shape given directly, as the path of a file, or as an array (P, 3) in any frame.

    An array is scaled to its box; ``frame`` reverses this.

    Raises:
        InputError: it is none of these.
    """
    from pcgen.render.inputs import box_source_frame

    if isinstance(shape, Shape):
        return shape
    if isinstance(shape, str | Path):
        return Shape.read(shape)
    if hasattr(shape, "detach"):
        shape = shape.detach().cpu().numpy()
    if not isinstance(shape, np.ndarray | list | tuple):
        raise InputError(
            f"expected a shape, the path of a file or an array (P, 3), got {type(shape).__name__}"
        )
    points = as_cloud(shape)
    frame = box_source_frame(points)
    return Shape(frame.normalise(points).astype(np.float32), frame=frame)


def read_shapes(shapes: Any) -> Shapes:
    """Shapes given directly, as a list, as a samples file, or as an array or tensor (N, P, 3).

    Raises:
        InputError: it is none of these.
    """
    if isinstance(shapes, Shapes):
        return shapes
    if isinstance(shapes, Shape):
        return Shapes.of([shapes])
    if isinstance(shapes, Samples):
        return Shapes(shapes)
    if isinstance(shapes, str | Path):
        return Shapes.load(shapes)
    if is_one_set(shapes):
        return Shapes.of([one if isinstance(one, Shape) else Shape(one) for one in shapes])
    if hasattr(shapes, "detach"):
        shapes = shapes.detach().cpu().numpy()
    if isinstance(shapes, np.ndarray):
        return Shapes(Samples(points=shapes))
    raise InputError(f"expected shapes, got {type(shapes).__name__}")


def is_one_set(shapes: Any) -> bool:
    """Whether it is a list of single shapes, and not one of several sets."""
    return (
        isinstance(shapes, list | tuple)
        and len(shapes) > 0
        and all(isinstance(one, Shape) or getattr(one, "ndim", 0) == 2 for one in shapes)
    )


def mesh(
    shape: Any,
    *,
    method: str = "auto",
    faces: int | None = None,
    thickness: float = 0.004,
    resolution: int = 128,
    symmetry: bool = True,
    progress: bool = False,
) -> SurfaceMesh:
    """Reconstruct a closed mesh from the points of a shape, in its own unit.

    Args:
        shape: a :class:`pcgen.Shape`, the path of a cloud or mesh file, or an array (P, 3).
        method: ``auto``, ``implicit`` or ``field``; see ``pcgen mesh --help``.
        faces: approximate upper limit.
        thickness: of open sheets, at least, relative to the size.
        resolution: cells per axis for ``implicit``, and for ``field``, which meshes samples of
            a run.
        symmetry: whether ``implicit`` adds mirror images of the points of symmetric shapes.
        progress: show progress on stderr.
    Raises:
        InputError: an argument is wrong, or the points have no surface. MeshError: the method
            failed.
    """
    with shown(progress):
        return read_shape(shape).mesh(
            method=method,
            faces=faces,
            thickness=thickness,
            resolution=resolution,
            symmetry=symmetry,
        )
