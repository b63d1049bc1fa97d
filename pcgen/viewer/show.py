"""Open the window, or report in one line why it cannot open."""

from __future__ import annotations

from pathlib import Path

from pcgen.errors import BackendError
from pcgen.render.inputs import kind_of, open_collection
from pcgen.viewer.graphics_probe import probe_graphics
from pcgen.viewer.window_process import run_window


def show(
    path: Path | str,
    *,
    number: int = 0,
    seed: int = 0,
    steps: int = 1,
    points: int = 2048,
    category: str | None = None,
    reference: Path | str | None = None,
    device: str = "cpu",
) -> None:
    """Show ``path`` in a window and return when it is closed.

    Args:
        number: of the first shape; seed, steps, points, category: of the samples of a run.
        device: to sample a run on.
        reference: data set of the training shapes to compare with; by default that of the run.
    Raises:
        BackendError: no window can be opened, or its driver crashed.
        InputError, DataError: see :func:`pcgen.viewer.sources.open_source`.
    """
    # Report a wrong path before testing the graphics.
    if kind_of(path) == "folder":
        open_collection(path)
    instead = (
        f"make a page instead with: pcgen gallery {path} --out gallery, or a picture with: "
        f"pcgen view {path} --png shape.png"
    )
    found = probe_graphics()
    if found.problem:
        raise BackendError(f"no window can be opened: {found.problem}; {instead}")
    options = {
        "path": str(path),
        "number": number,
        "seed": seed,
        "steps": steps,
        "points": points,
        "category": category,
        "reference": None if reference is None else str(reference),
        "device": device,
        "software": found.software,
    }
    try:
        run_window(options)
    except BackendError as error:
        raise BackendError(f"{error}; {instead}") from None
