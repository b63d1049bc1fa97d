""":func:`view`: a window, a web page, or pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pcgen import pipeline
from pcgen.api.data import Data
from pcgen.api.model import Model, is_run_name
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
    device: str = "cpu",
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
    import tempfile

    with tempfile.TemporaryDirectory() as folder, shown(progress):
        try:
            return pipeline.view(
                _path(what, Path(folder)),
                png=png,
                gif=gif,
                explain=explain,
                reference=None if reference is None else _path(reference, Path(folder)),
                number=number,
                count=count,
                category=category,
                drawn_as=drawn_as,
                colour=colour,
                size=size,
                azimuth=azimuth,
                elevation=elevation,
                seed=seed,
                steps=steps,
                points=points,
                device=device,
                web=web,
                host=host,
                port=port,
            )
        except BackendError as error:
            # What the message advises names a file, which is gone where we wrote it.
            pictures = not (png is None and gif is None and explain is None)
            if web or pictures or not isinstance(what, Shape | Shapes):
                raise
            raise BackendError(
                f"{str(error).split(';')[0]}; in a notebook a cell that ends with the shapes "
                "shows them; else see them in a browser with pcgen.view(shapes, web=True), or "
                'make a picture with pcgen.view(shapes, png="shapes.png")'
            ) from None


def _path(what: Any, folder: Path) -> Path:
    """Its path; shapes in memory are written to ``folder`` for the window's process."""
    if isinstance(what, Model):
        if not what.path.exists():
            raise InputError(
                f"the run of this model is gone from {what.path}; look at shapes that it draws "
                "instead: pcgen.view(model.sample(12))"
            )
        return what.path
    if isinstance(what, Data):
        return what.path
    if isinstance(what, Shape | Shapes):
        return read_shapes(what).save(folder / "shapes.npz")
    if is_run_name(what):
        return Model.find(what)
    if isinstance(what, str | Path):
        return local_folder(what)
    raise InputError(f"cannot show {type(what).__name__}; give shapes or a path")
