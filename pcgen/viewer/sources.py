"""Where the viewer's shapes come from: files as they are, or a run that draws new ones."""

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
from pcgen.render.explain import stretch
from pcgen.render.inputs import Collection, kind_of, open_collection
from pcgen.runfile import learned_from
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.places import BOX, Place, places_of_run

if TYPE_CHECKING:
    from pcgen.children.drawing import Pairs
    from pcgen.model import ShapeModel

Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One shape on show.

    Attributes:
        points: (n, 3); normals: (n, 3), any sign, or None where nothing knows them.
        base, part, trace: (n, 3), (n,), (times, n, 3): how the points came to be, where known.
        latent: what the run decodes into it, or None; seed: that drew it, or None.
        steps: evaluations of the flow that brought it.
        place: takes points and mesh to the unit that exports have.
        origin: the origin that a samples file states.
        serial: another one for every shape; a copy that learned its mesh keeps it.
    """

    name: str
    points: Array
    normals: Array | None = None
    category: str = ""
    mesh: Mesh | None = None
    base: Array | None = None
    part: NDArray[np.int64] | None = None
    trace: Array | None = None
    latent: Any = None
    seed: int | None = None
    steps: int = 1
    place: Place = BOX
    origin: Mapping[str, Any] = field(default_factory=dict)
    serial: int = field(default_factory=itertools.count().__next__)

    def at(self, time: float) -> Array:
        """The points at flow time 0 (base) to 1 (shape), straight between two evaluations."""
        if self.trace is None or time >= 1:
            return self.points
        place = max(time, 0.0) * (len(self.trace) - 1)
        early = min(int(place), len(self.trace) - 2)
        share = np.float32(place - early)
        return (1 - share) * self.trace[early] + share * self.trace[early + 1]

    @functools.cached_property
    def way(self) -> float:
        """The mean distance from the base to the shape, 0 where no base is known."""
        if self.base is None:
            return 0.0
        return float(np.nanmean(np.linalg.norm(self.points - self.base, axis=1)))

    @functools.cached_property
    def times(self) -> int:
        """How many times as long the way from the base is drawn, which else no one could see."""
        if self.base is None:
            return 1
        return stretch(self.way, float(np.nanmax(np.ptp(self.points, axis=0))))

    def drawn(self, on_the_way: Array) -> Array:
        """Where points (..., n, 3) on the way are drawn, so that it is :attr:`times` as long."""
        return self.points + np.float32(self.times) * (on_the_way - self.points)


@dataclass(frozen=True)
class FileSource:
    """Shapes of a collection, one after the other."""

    collection: Collection
    draws: bool = False

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(sorted({name for name in self.collection.categories if name}))

    def __len__(self) -> int:
        return len(self.collection)

    def numbers(self, category: str | None) -> Sequence[int]:
        """The shapes of a category, in their order; all for None.

        Raises:
            InputError: no shape is of it.
        """
        if category is None:
            return range(len(self))
        if category not in self.categories:
            known = ", ".join(self.categories) or "none"
            raise InputError(
                f"no category {category!r} in {self.collection.path}; there are {known}"
            )
        return [k for k, name in enumerate(self.collection.categories) if name == category]

    def load(self, number: int) -> Item:
        shape, meta = self.collection.load(number), self.collection.meta
        return Item(
            name=shape.name,
            points=shape.points,
            normals=usable(shape.normals),
            category=shape.category,
            mesh=shape.mesh,
            place=shape.place,
            origin={key: meta[key] for key in ("run",) if key in meta},
        )


@dataclass(frozen=True)
class RunSource:
    """A run: every seed is a shape."""

    model: ShapeModel
    points: int = 2048
    draws: bool = True
    _ways: dict[tuple[int, int], Pairs] = field(default_factory=dict, compare=False, repr=False)

    @property
    def categories(self) -> tuple[str, ...]:
        return tuple(self.model.categories)

    def draw(self, seed: int, *, category: str | None, steps: int) -> Item:
        """The shape of a seed: one latent, then its points with every step of their flow."""
        drawn = self.model.draw(1, seed=seed, category=category, steps=steps)
        name = self.categories[int(drawn.category[0])] if self.categories else ""
        return self._decode(drawn.z, seed, steps, f"seed {seed}", name)

    @functools.cached_property
    def _places(self) -> dict[str, Place]:
        return places_of_run(self.model.run_dir)

    def between(self, first: Item, second: Item, share: float, *, steps: int) -> Item:
        """A shape on the way from one to another, from the base noise of the first.

        It goes along the transport map of their points, as ``pcgen interpolate`` does.
        """
        import torch

        from pcgen.editing.between import at_times

        if first.latent is None or second.latent is None:
            raise InputError("only shapes drawn from the run can be blended")
        if 0 < share < 1:
            latent = at_times(self.model, self._way(first, second), torch.tensor([share]))
        else:
            latent = first.latent if share <= 0 else second.latent
        name = f"{first.name} to {second.name}, {share:.0%}"
        category = first.category if first.category == second.category else ""
        return self._decode(latent, first.seed or 0, steps, name, category)

    def _way(self, first: Item, second: Item) -> Pairs:
        """The map between two shapes; the last one is kept, as a slider asks for many shares."""
        from pcgen.editing.between import paired

        key = first.serial, second.serial
        if key not in self._ways:
            self._ways.clear()
            self._ways[key] = paired(first.points, second.points)
        return self._ways[key]

    def denser(self, item: Item) -> Item:
        """The same shape with as many points as a good mesh wants."""
        points = max(self.points, MESH_POINTS)
        return self._decode(
            item.latent, item.seed or 0, item.steps, item.name, item.category, points
        )

    def _decode(
        self, latent: Any, seed: int, steps: int, name: str, category: str, points: int = 0
    ) -> Item:
        decoded = self.model.decode(
            latent, points=points or self.points, seed=seed, steps=steps, trace=True
        )
        trace = decoded.trace
        return Item(
            name=name,
            points=_plain(decoded.points)[0],
            normals=usable(None if decoded.normals is None else _plain(decoded.normals)[0]),
            category=category,
            base=_plain(decoded.base)[0],
            part=None if decoded.part is None else _plain(decoded.part)[0],
            trace=None if trace is None else _plain(trace)[:, 0],
            latent=latent,
            seed=seed,
            steps=steps,
            place=self._places.get(category, BOX),
            origin={"run": str(self.model.run_dir)},
        )


Source = FileSource | RunSource


def open_source(path: Path | str, *, points: int = 2048, device: str = "cpu") -> Source:
    """Open anything the viewer can show; a run is loaded, which takes seconds.

    Raises:
        InputError: nothing there that can be looked at. DataError: an unfinished run.
    """
    if kind_of(path) != "run":
        return FileSource(open_collection(path))
    from pcgen.model import ShapeModel

    return RunSource(ShapeModel.load(path, device), points)


def training_of(source: Source, reference: Path | str | None) -> Neighbours | None:
    """The training shapes to compare with: those of ``reference``, else of the run.

    Of the categories that the run learned, where one is known.
    """
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
        return None  # the data set is gone; the window says that nothing can be compared


def usable(normals: Array | None) -> Array | None:
    """None where normals are absent, or all of them zero or not finite."""
    if normals is None:
        return None
    kept = np.nan_to_num(normals)
    return kept if np.abs(kept).max(initial=0) > 1e-6 else None


def _plain(values: Any) -> NDArray[Any]:
    return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)


def reconstructed(item: Item) -> Mesh:
    """The mesh that ``pcgen mesh`` would make of the points, in their frame."""
    from pcgen.reconstruct.methods import reconstruct

    return reconstruct(item.points, item.normals).mesh
