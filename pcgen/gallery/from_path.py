"""Make a gallery from a path: a run, a samples file, a data set, a mesh or a folder of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from pcgen import progress
from pcgen.errors import DataError, InputError
from pcgen.evaluate.neighbours import Neighbour, Neighbours
from pcgen.gallery.build import build
from pcgen.gallery.curves import Curves, read_curves
from pcgen.gallery.meshes import PREFERRED, MeshFiles, find_meshes
from pcgen.gallery.parents import find_parents, named_parents
from pcgen.overview import overview
from pcgen.render.inputs import Collection, kind_of, open_collection, readable_shapes, to_samples
from pcgen.render.renderer import Image
from pcgen.runfile import learned_from
from pcgen.shapes.samples import Samples
from pcgen.shapes.store import Dataset

FRAMES = 9  # of the interpolation
MANY = 64  # default number of shapes


@dataclasses.dataclass
class GalleryContent:
    """The arguments of :func:`pcgen.gallery.build`."""

    samples: Samples
    names: list[str] | None = None
    meshes: list[MeshFiles | None] = dataclasses.field(default_factory=list)
    interpolation: Samples | None = None
    curves: Curves = dataclasses.field(default_factory=dict)
    explained: Image | None = None
    training: Path | None = None
    categories: tuple[str, ...] = ()
    parents: list[list[str]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def gallery(
    source: Path | str,
    out: Path | str,
    *,
    count: int | None = None,
    meshes: Path | str | None = None,
    reference: Path | str | None = None,
    interpolation: Path | str | None = None,
    seed: int = 0,
    steps: int = 1,
    points: int = 2048,
    category: str | None = None,
    title: str = "",
    device: str = "cpu",
) -> dict[str, Any]:
    """Make the gallery of ``source``.

    Args:
        count: largest number of shapes; by default 64 for a run or a data set, and all otherwise.
        meshes: folder with the meshes of these shapes, in order.
        reference: data set of the training shapes to show beside the samples; by default that of
            the run, if it exists.
        interpolation: samples file with frames between two shapes; a run makes its own.
        seed, steps, points, category: of the samples of a run, on ``device``.
    Returns:
        the path of the page and counts of its content.
    """
    source, kind = Path(source), kind_of(source)
    if kind == "run":
        content = _from_run(source, count or MANY, seed, steps, points, category, device)
    else:
        if category is not None:
            raise InputError("--category is for runs; filter other shapes on the page")
        limit = MANY if kind == "dataset" and count is None else count
        content = _from_files(open_collection(source), limit, points)
    if meshes is not None:
        content.meshes = find_meshes(meshes)
    if interpolation is not None:
        content.interpolation = Samples.load(interpolation)
    if reference is not None:
        content.training = Path(reference)
    dataset = _training(content, required=reference is not None)
    near = _nearest(content, dataset)
    if missing := {id_ for ids in content.parents for id_ in ids} - set(
        dataset.ids if dataset else ()
    ):
        content.notes.append(f"Parents that are not in the training data: {len(missing)}.")
    path = build(
        content.samples,
        out,
        nearest=near,
        parents=find_parents(content.parents, dataset),
        meshes=content.meshes,
        interpolation=content.interpolation,
        curves=content.curves,
        explained=content.explained,
        names=content.names,
        title=title or f"Shapes of {source.stem}",
        notes=content.notes,
    )
    return {
        "page": str(path),
        "shapes": len(content.samples),
        "meshes": sum(entry is not None for entry in content.meshes[: len(content.samples)]),
        "nearest": len(near),
        "parents": sum(map(bool, content.parents)),
        "curves": list(content.curves),
    }


def _from_run(
    run: Path,
    count: int,
    seed: int,
    steps: int,
    points: int,
    category: str | None,
    device: str = "cpu",
) -> GalleryContent:
    from pcgen.editing import between
    from pcgen.model import ShapeModel

    model = ShapeModel.load(run, device)
    progress.say(f"sampling {count} shapes from {run}")
    samples = model.sample(count, seed=seed, points=points, steps=steps, category=category)
    ends = model.sample(2, seed=seed, points=between.POINTS, category=category).points
    return GalleryContent(
        samples=samples,
        interpolation=between.interpolate(
            model, ends[0], ends[1], FRAMES, points=points, seed=seed
        ),
        curves=read_curves(run),
        explained=overview(model, seed=seed, category=category, size=420),
        training=model.dataset_path,
        categories=model.categories,
        parents=named_parents(samples.meta, len(samples)),
    )


def _from_files(collection: Collection, count: int | None, points: int) -> GalleryContent:
    notes, parents = [], []
    try:
        parents = named_parents(collection.meta, len(collection))
    except InputError as error:
        notes.append(f"The parents that {collection.path.name} names are not shown: {error}.")
        progress.remark(notes[-1])
    collection, faults = readable_shapes(collection, count)
    samples = to_samples(collection, points=points)
    drawn = collection.kind == "samples"
    run = Path(str(collection.meta.get("run", "")))
    learned = learned_from(run) if drawn else None
    return GalleryContent(
        samples=samples,
        names=None if drawn else list(collection.names[: len(samples)]),
        meshes=_own_meshes(collection)[: len(samples)],
        curves=read_curves(run) if learned else {},
        training=learned.dataset if learned else None,
        categories=learned.categories if learned else (),
        # Every shape of a samples file can be read, so these are the first ones.
        parents=parents[: len(samples)],
        notes=[*notes, *(f"Left out, because it cannot be read: {fault}" for fault in faults)],
    )


def _own_meshes(collection: Collection) -> list[MeshFiles | None]:
    """The mesh files of shapes that are meshes, with all formats and reports."""
    listed: dict[tuple[Path, str], MeshFiles] = {}
    for folder in {file.parent for file in collection.files if file is not None}:
        for mesh in find_meshes(folder):
            if mesh is not None:
                listed[folder, mesh.name] = mesh
    return [
        None
        if file is None or file.suffix.lower() not in PREFERRED  # a scan
        else listed.get((file.parent, file.stem), MeshFiles(name=file.stem, files=(file,)))
        for file in collection.files
    ]


def _training(content: GalleryContent, *, required: bool) -> Dataset | None:
    """The data set of the training shapes; None, with a note, if it does not exist."""
    if content.training is None:
        return None
    try:
        return Dataset.open(content.training)
    except DataError as error:
        if required:
            raise
        progress.remark(f"no nearest training shapes: {error}")
        content.notes.append("The training data was not found, so no nearest shapes are shown.")
        return None


def _nearest(content: GalleryContent, dataset: Dataset | None) -> list[Neighbour]:
    """The nearest training shape of each shape; none without training shapes."""
    if dataset is None:
        return []
    training = Neighbours(dataset, categories=content.categories)
    found = progress.track(content.samples.points, "nearest", len(content.samples))
    return [training.nearest(np.asarray(cloud)) for cloud in found]
