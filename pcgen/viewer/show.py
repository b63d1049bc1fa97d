"""Open the window, or report in one line why it cannot open."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from pcgen.errors import BackendError
from pcgen.render.inputs import kind_of, open_collection
from pcgen.viewer.graphics_probe import missing_display, probe_graphics
from pcgen.viewer.sources import Selection
from pcgen.viewer.window_process import run_window


def show(
    path: Path | str,
    selection: Selection,
    *,
    web: bool = False,
    host: str = "127.0.0.1",
    port: int = 8080,
) -> None:
    """Show ``path`` in a window and return when it is closed.

    Args:
        web: serve a page for a browser instead, until Ctrl-C, at ``host`` and ``port`` (the next
            free one).
    Raises:
        BackendError: no window can be opened, or its driver crashed; the address of the page
            cannot be bound. MissingPackage: a page needs the extra ``web``.
        InputError, DataError: see :func:`pcgen.viewer.sources.open_source`.
    """
    # Report a wrong path before testing the graphics.
    if kind_of(path) == "folder":
        open_collection(path)
    if web:
        from pcgen.viewer.web import serve
        from pcgen.viewer.window_process import controller_of

        serve(controller_of(path, selection), Path(path).name, host, port)
        return
    instead = (
        f"see it in a browser with: pcgen view {path} --web, "
        f"make a page instead with: pcgen gallery {path} --out gallery, or a picture with: "
        f"pcgen view {path} --png shape.png"
    )
    if problem := missing_display():
        raise BackendError(f"no window can be opened: {problem}; {instead}")
    try:
        run_window({"path": str(path), **asdict(selection)}, probe=probe_graphics)
    except BackendError as error:
        raise BackendError(f"{error}; {instead}") from None
