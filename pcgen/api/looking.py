""":func:`view`: a window, a web page, or pictures; :func:`save_gallery`: a static page."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from pcgen.api.data import Data
from pcgen.api.shapes import Shape, Shapes, read_shapes
from pcgen.errors import BackendError, InputError
from pcgen.progress import shown
from pcgen.render.camera import AZIMUTH, ELEVATION
from pcgen.shapes.remote_datasets import local_folder


def view(
    what: Any,
    *,
    png: Path | str | None = None,
    gif: Path | str | None = None,
    explain: Path | str | None = None,
    reference: Data | Path | str | None = None,
    number: int = 0,
    count: int = 1,
    category: str | None = None,
    drawn_as: str = "auto",
    colour: str = "plain",
    size: int = 640,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
    seed: int = 0,
    steps: int = 1,
    points: int = 2048,
    device: str = "auto",
    web: bool = False,
    host: str = "127.0.0.1",
    port: int = 8080,
    progress: bool = False,
) -> list[Path]:
    """Open a window and return when it is closed. With ``web``, serve a page for a browser until
    Ctrl-C; with ``png``, ``gif`` or ``explain``, write pictures instead, which needs no display.

    Args:
        what: a model, a data set, shapes, a shape, or the path of any of these, of a mesh, of a
            cloud or of a folder of them.
        png: a still image, or a contact sheet of several shapes. gif: a turntable of the first
            shape.
        explain: a picture of how the first shape of a model was generated.
        reference: a data set to compare with; None for the one a model was trained on.
        number: the first shape to show. count: shapes in ``png``. category: only these.
        drawn_as: ``points``, ``mesh`` or ``auto``. colour: ``plain``, ``height``, ``normal`` or
            ``part``. size: side of a picture in pixels. azimuth, elevation: degrees.
        seed, steps, points: of the shapes that a model samples; device: for the sampling.
        web: needs the extra ``web``. host, port: of the page, or the next free port; anyone who can
            connect to a host other than this machine can use the page.
        progress: show progress on stderr.
    Returns:
        the pictures written.
    Raises:
        BackendError: no window can be opened. InputError: there is nothing to show.
    """
    from pcgen import viewer

    pictures = not (png is None and gif is None and explain is None)
    if web and pictures:
        raise InputError("web cannot be combined with pictures; omit web or the pictures")
    with tempfile.TemporaryDirectory() as folder, shown(progress):
        path = _path(what, Path(folder))
        compared = None if reference is None else _path(reference, Path(folder))
        selection = viewer.Selection(
            number=number,
            seed=seed,
            steps=steps,
            points=points,
            device=device,
            category=category,
            reference=None if compared is None else str(compared),
        )
        if pictures:
            return viewer.stills(
                path,
                selection,
                png=png,
                gif=gif,
                explained=explain,
                count=count,
                drawn_as=drawn_as,
                colour=colour,
                size=size,
                azimuth=azimuth,
                elevation=elevation,
            )
        try:
            viewer.show(path, selection, web=web, host=host, port=port)
        except BackendError as error:
            # The message advises commands on a file, but ours was temporary.
            if web or not isinstance(what, Shape | Shapes):
                raise
            raise BackendError(
                f"{str(error).split(';')[0]}; in a notebook a cell that ends with the shapes "
                "shows them; else see them in a browser with pcgen.view(shapes, web=True), or "
                'make a picture with pcgen.view(shapes, png="shapes.png")'
            ) from None
    return []


def save_gallery(
    what: Any,
    out: Path | str,
    *,
    reference: Data | Path | str | None = None,
    meshes: Path | str | None = None,
    interpolation: Shapes | Path | str | None = None,
    title: str = "",
    count: int | None = None,
    category: str | None = None,
    seed: int = 0,
    steps: int = 1,
    points: int = 2048,
    device: str = "auto",
    progress: bool = False,
) -> dict[str, Any]:
    """Write a page of shapes that opens from disk, in the folder ``out``.

    Args:
        what: as for :func:`view`.
        reference: a data set of the training shapes to show beside the shapes; None for the one a
            model was trained on.
        meshes: the folder of :func:`save_meshes` for these shapes. interpolation: shapes of
            :meth:`Model.interpolate`, for a slider. title: heading of the page.
        count: largest number of shapes; None for 64 of a model or data set, and all of a file.
        category, seed, steps, points, device: of the shapes that a model samples.
        progress: show progress on stderr.
    Returns:
        ``page``, its path, and counts of what it shows.
    Raises:
        InputError: there is nothing to show, or ``meshes`` has no meshes.
    """
    from pcgen import pipeline

    with tempfile.TemporaryDirectory() as folder, shown(progress):
        way = interpolation
        if isinstance(way, Shapes):
            way = way.save(Path(folder) / "interpolation.npz")
        return pipeline.gallery(
            _path(what, Path(folder)),
            Path(out),
            reference=None if reference is None else _path(reference, Path(folder)),
            meshes=meshes,
            interpolation=way,
            title=title,
            count=count,
            category=category,
            seed=seed,
            steps=steps,
            points=points,
            device=device,
        )


def _path(what: Any, folder: Path) -> Path:
    """Its path; shapes in memory are written to ``folder``.

    Torch is imported for models alone: it takes longer than a picture of a file.
    """
    if isinstance(what, Data):
        return what.path
    if isinstance(what, Shape | Shapes):
        return read_shapes(what).save(folder / "shapes.npz")
    if isinstance(what, str | Path):
        path = local_folder(what)
        if path.exists():
            return path
        from pcgen.model.pack import find_run

        return find_run(what)  # the name of a run that comes with the package, or a mistake
    from pcgen.api.model import Model

    if not isinstance(what, Model):
        raise InputError(f"cannot show {type(what).__name__}; give shapes or a path")
    if not what.path.exists():
        raise InputError(
            f"the run of this model is no longer at {what.path}; view samples of the model "
            "instead: pcgen.view(model.sample(12))"
        )
    return what.path
