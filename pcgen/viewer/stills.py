"""Write pictures, contact sheets and turntables of shapes without a window."""

from __future__ import annotations

from pathlib import Path

from pcgen import progress, render
from pcgen.errors import InputError, PcgenError
from pcgen.evaluate.neighbours import Neighbour
from pcgen.overview import overview
from pcgen.render import palette, primitives
from pcgen.render.camera import AZIMUTH, ELEVATION
from pcgen.render.renderer import Image
from pcgen.viewer.drawing import cloud_colours
from pcgen.viewer.sources import (
    FileSource,
    RunSource,
    Selection,
    Source,
    ViewedShape,
    open_source,
    reconstruct_mesh,
    training_shapes,
)

COLUMNS = 6  # of a contact sheet
FRAMES = 48  # of a turntable


def stills(
    path: Path | str,
    selection: Selection,
    *,
    png: Path | str | None = None,
    gif: Path | str | None = None,
    explained: Path | str | None = None,
    count: int = 1,
    drawn_as: str = "auto",
    colour: str = "plain",
    size: int = 640,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
) -> list[Path]:
    """Write pictures of the shapes of ``path``; returns the files.

    Args:
        png: a picture; of several shapes, a contact sheet. gif: a turntable of the first shape.
        explained: how the first sample of a run is generated, see :func:`pcgen.render.explain`.
        count: of shapes in order; for a run, the seeds from that of the selection on.
        drawn_as: ``points``, ``mesh``, or ``auto``: the mesh if the file has one.
        colour: ``plain``, ``height``, ``normal`` or ``part``.
        size: side of a picture in pixels.
    """
    source = open_source(path, points=selection.points, device=selection.device)
    items = _items(source, selection, count)
    written = []
    if png is not None:
        small = size if len(items) == 1 else max(96, size // 2)
        pictures = [
            render.still(_body(source, item, drawn_as, colour), small, azimuth, elevation)
            for item in progress.track(items, "picture", len(items))
        ]
        near = _neighbours(source, items, selection.reference)
        written.append(render.save(_page(items, pictures, near, small, azimuth, elevation), png))
    if gif is not None:
        frames = render.turntable(
            _body(source, items[0], drawn_as, colour), frames=FRAMES, size=min(size, 480),
            elevation=elevation,
        )  # fmt: skip
        tracked = progress.track(frames, "turntable", FRAMES)
        written.append(render.save_gif(tracked, gif, seconds=4.0))
    if explained is not None:
        if isinstance(source, FileSource):
            raise InputError(f"only samples of a run can be explained, and {path} is not a run")
        picture = overview(
            source.model, seed=selection.seed, category=selection.category,
            steps=selection.steps, points=selection.points, size=max(96, size // 2),
            azimuth=azimuth, elevation=elevation,
        )  # fmt: skip
        written.append(render.save(picture, explained))
    return written


def _items(source: Source, selection: Selection, count: int) -> list[ViewedShape]:
    category, first = selection.category, selection.number
    if not isinstance(source, FileSource):
        seeds = range(selection.seed, selection.seed + count)
        return [source.draw(k, category=category, steps=selection.steps) for k in seeds]
    numbers = source.numbers(category)
    if first >= len(numbers):
        raise InputError(
            f"there is no shape {first} in {source.collection.path}; the last is {len(numbers) - 1}"
        )
    if (count == 1 and first) or source.collection.kind != "folder":
        return [source.load(number) for number in numbers[first : first + count]]
    items: list[ViewedShape] = []
    for number in numbers[first:]:
        if len(items) == count:
            break
        try:
            items.append(source.load(number))
        except PcgenError as error:
            progress.remark(f"left out: {error}")
    if not items:
        raise InputError(f"no shape of {source.collection.path} can be read")
    return items


def _body(source: Source, item: ViewedShape, drawn_as: str, colour: str) -> primitives.Primitives:
    if drawn_as == "mesh" and item.mesh is None:
        mesh = reconstruct_mesh(source.denser(item) if isinstance(source, RunSource) else item)
        return primitives.triangles(mesh.vertices, mesh.faces)
    if item.mesh is not None and drawn_as != "points":
        return primitives.triangles(item.mesh.vertices, item.mesh.faces)
    return primitives.balls(item.points, item.normals, cloud_colours(item, colour))


def _neighbours(
    source: Source, items: list[ViewedShape], reference: str | None
) -> list[Neighbour] | None:
    """The nearest training shape of each shape, if requested."""
    if reference is None:
        return None
    training = training_shapes(source, reference)
    return None if training is None else [training.nearest(item.points) for item in items]


def _relation(found: Neighbour) -> str:
    """The proportion-free distance, and the transformation of the training shape."""
    note = str(found.relation)
    return f"CD {found.distance:.4g}" + (f"\n{note}" if note else "")


def _page(
    items: list[ViewedShape],
    pictures: list[Image],
    near: list[Neighbour] | None,
    size: int,
    azimuth: float,
    elevation: float,
) -> Image:
    if len(items) == 1 and near is None:
        return pictures[0]
    captions = [f"{item.name} {item.category}".strip() for item in items]
    if near is not None:
        sides = [
            render.cloud(
                found.points, size=size, azimuth=azimuth, elevation=elevation,
                colour=palette.TRAINING,
            )
            for found in near
        ]  # fmt: skip
        pictures = [render.pair(*two) for two in zip(pictures, sides, strict=True)]
        captions = [
            f"{text}\nnearest: {found.id.split('/')[-1]}\n{_relation(found)}"
            for text, found in zip(captions, near, strict=True)
        ]
    columns = COLUMNS if near is None else COLUMNS // 2
    starts = range(0, len(pictures), columns)
    return render.sheet(
        [pictures[k : k + columns] for k in starts], [captions[k : k + columns] for k in starts]
    )
