"""The sources of the viewer's shapes: files, or a run that samples new ones."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import DataError, InputError
from pcgen.evaluate.neighbours import Neighbours
from pcgen.reconstruct import MESH_POINTS
from pcgen.render.explain import display_factor, to_numpy
from pcgen.render.inputs import Collection, kind_of, open_collection
from pcgen.runfile import learned_from
from pcgen.shapes.category_frames import BOX_FRAME, SourceFrame, frames_of_run
from pcgen.shapes.mesh_files import Mesh

if TYPE_CHECKING:
    from pcgen.children.drawing import MatchedClouds
    from pcgen.model import ShapeModel

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ViewedShape:
    """One shape to show.

    Attributes:
        points: (n, 3); normals: (n, 3), any sign, or None if unknown.
        mesh, sketch: in the frame of the points, the second coarse and only shown until the first
            is there; or None.
        base, part, trace: (n, 3), (n,), (times, n, 3): base points, their parts, and the path of
            the flow, or None.
        latent, symmetry, seed: of a sample of a run, or None.
        steps: evaluations of the flow.
        frame: of exports.
        given: number of given points of a completed shape, which come first.
        origin: entries of a samples file on its origin.
        serial: unique per shape; a copy with a mesh keeps it.
    """

    name: str
    points: Array
    normals: Array | None = None
    category: str = ""
    mesh: Mesh | None = None
    sketch: Mesh | None = None
    base: Array | None = None
    part: NDArray[np.int64] | None = None
    trace: Array | None = None
    latent: Any = None
    symmetry: Any = None
    seed: int | None = None
    steps: int = 1
    frame: SourceFrame = BOX_FRAME
    given: int = 0
    origin: Mapping[str, Any] = field(default_factory=dict)
    serial: int = field(default_factory=itertools.count().__next__)

    def at(self, time: float) -> Array:
        """The points at flow time 0 (base) to 1 (shape), linear between two evaluations."""
        if self.trace is None or time >= 1:
            return self.points
        place = max(time, 0.0) * (len(self.trace) - 1)
        early = min(int(place), len(self.trace) - 2)
        share = np.float32(place - early)
        return (1 - share) * self.trace[early] + share * self.trace[early + 1]

    @functools.cached_property
    def way(self) -> float:
        """The mean distance from base to points; 0 without a base."""
        if self.base is None:
            return 0.0
        return float(np.nanmean(np.linalg.norm(self.points - self.base, axis=1)))

    @functools.cached_property
    def times(self) -> int:
        """The factor by which paths from the base are drawn longer, to be visible."""
        if self.base is None:
            return 1
        return display_factor(self.way, float(np.nanmax(np.ptp(self.points, axis=0))))

    def drawn(self, on_the_way: Array) -> Array:
        """The drawn positions of points (..., n, 3) on paths that are :attr:`times` as long."""
        return self.points + np.float32(self.times) * (on_the_way - self.points)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to show of a path.

    Attributes:
        number: of the first shape in a file; seed, steps, points: of the samples of a run.
        category: only its shapes.
        reference: data set of the training shapes to compare with; by default that of the run.
        device: to sample a run on.
    """

    number: int = 0
    seed: int = 0
    steps: int = 1
    points: int = 2048
    category: str | None = None
    reference: str | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class FileSource:
    """The shapes of a collection."""

    collection: Collection

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(sorted({name for name in self.collection.categories if name}))

    def __len__(self) -> int:
        return len(self.collection)

    def numbers(self, category: str | None) -> Sequence[int]:
        """The numbers of the shapes of a category, in order; all for None.

        Raises:
            InputError: an unknown category.
        """
        if category is None:
            return range(len(self))
        if category not in self.categories:
            known = ", ".join(self.categories) or "none"
            raise InputError(
                f"no category {category!r} in {self.collection.path}; there are {known}"
            )
        return [k for k, name in enumerate(self.collection.categories) if name == category]

    def load(self, number: int) -> ViewedShape:
        shape, meta = self.collection.load(number), self.collection.meta
        return ViewedShape(
            name=shape.name,
            points=shape.points,
            normals=usable_normals(shape.normals),
            category=shape.category,
            mesh=shape.mesh,
            frame=shape.frame,
            given=shape.given,
            origin={key: meta[key] for key in ("run",) if key in meta},
        )


@dataclass(frozen=True)
class RunSource:
    """The samples of a run, one per seed."""

    model: ShapeModel
    points: int = 2048
    _maps: dict[tuple[int, int], MatchedClouds] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(self.model.categories)

    def draw(self, seed: int, *, category: str | None, steps: int) -> ViewedShape:
        """The sample of a seed, with the path of its flow."""
        drawn = self.model.draw(1, seed=seed, category=category, steps=steps)
        name = self.categories[int(drawn.category[0])] if self.categories else ""
        return self._decode(drawn.z, drawn.symmetry, seed, steps, f"seed {seed}", name)

    @functools.cached_property
    def _places(self) -> dict[str, SourceFrame]:
        return frames_of_run(self.model.run_dir)

    def between(
        self, first: ViewedShape, second: ViewedShape, share: float, *, steps: int
    ) -> ViewedShape:
        """A shape between two others, with the base points of the first.

        It is on the transport map of their points, as in ``pcgen interpolate``.
        """
        import torch

        from pcgen.editing.between import at_times

        if first.latent is None or second.latent is None:
            raise InputError("only samples of the run can be interpolated")
        if 0 < share < 1:
            latent = at_times(self.model, self._pairs(first, second), torch.tensor([share]))
            symmetry = first.symmetry & second.symmetry
        else:
            end = first if share <= 0 else second
            latent, symmetry = end.latent, end.symmetry
        name = f"{first.name} to {second.name}, {share:.0%}"
        category = first.category if first.category == second.category else ""
        return self._decode(latent, symmetry, first.seed or 0, steps, name, category)

    def _pairs(self, first: ViewedShape, second: ViewedShape) -> MatchedClouds:
        """The map between two shapes; the last one is cached, as a slider asks for many shares."""
        from pcgen.editing.between import paired

        key = first.serial, second.serial
        if key not in self._maps:
            self._maps.clear()
            self._maps[key] = paired(first.points, second.points)
        return self._maps[key]

    def denser(self, item: ViewedShape) -> ViewedShape:
        """The same shape with enough points for a good mesh."""
        points = max(self.points, MESH_POINTS)
        return self._decode(
            item.latent,
            item.symmetry,
            item.seed or 0,
            item.steps,
            item.name,
            item.category,
            points,
        )

    def _decode(
        self,
        latent: Any,
        symmetry: Any,
        seed: int,
        steps: int,
        name: str,
        category: str,
        points: int = 0,
    ) -> ViewedShape:
        decoded = self.model.decode(
            latent,
            points=points or self.points,
            seed=seed,
            steps=steps,
            trace=True,
            symmetry=symmetry,
        )
        trace = decoded.trace
        return ViewedShape(
            name=name,
            points=to_numpy(decoded.points)[0],
            normals=usable_normals(
                None if decoded.normals is None else to_numpy(decoded.normals)[0]
            ),
            category=category,
            base=to_numpy(decoded.base)[0],
            part=None if decoded.part is None else to_numpy(decoded.part)[0],
            trace=None if trace is None else to_numpy(trace)[:, 0],
            latent=latent,
            symmetry=symmetry,
            seed=seed,
            steps=steps,
            frame=self._places.get(category, BOX_FRAME),
            origin={"run": str(self.model.run_dir)},
        )


Source = FileSource | RunSource


def open_source(path: Path | str, *, points: int = 2048, device: str = "cpu") -> Source:
    """Open anything that the viewer can show; loading a run takes seconds.

    Raises:
        InputError: nothing that can be shown. DataError: an unfinished run.
    """
    if kind_of(path) != "run":
        return FileSource(open_collection(path))
    from pcgen.model import ShapeModel

    return RunSource(ShapeModel.load(path, device), points)


def training_shapes(source: Source, reference: Path | str | None) -> Neighbours | None:
    """The training shapes of ``reference``, else of the run; only the categories of the run."""
    from pcgen.shapes.store import Dataset

    path: Any = None
    categories: Sequence[str] = ()
    if isinstance(source, RunSource):
        path, categories = source.model.dataset_path, source.categories
    elif learned := learned_from(Path(str(source.collection.meta.get("run", "")))):
        path, categories = learned
    if reference is not None:
        return Neighbours(Dataset.open(reference), categories=categories)
    if not path:
        return None
    try:
        return Neighbours(Dataset.open(path), categories=categories)
    except DataError:
        return None  # no data set; the window says so


def usable_normals(normals: Array | None) -> Array | None:
    """Normals with zeros for invalid ones; None if none is valid."""
    if normals is None:
        return None
    kept = np.nan_to_num(normals)
    return kept if np.abs(kept).max(initial=0) > 1e-6 else None


def reconstruct_mesh(item: ViewedShape) -> Mesh:
    """Reconstruct a mesh from the points as ``pcgen mesh`` does, in their frame."""
    from pcgen.reconstruct.methods import reconstruct

    return reconstruct(item.points, item.normals).mesh
