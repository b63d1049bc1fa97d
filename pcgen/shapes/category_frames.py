"""The way from the box frame back to the units and axes of a source, for meshes and exports.

Generated shapes have no size; they get the median centre and scale of their category.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.config import from_plain
from pcgen.datatypes import Frame
from pcgen.errors import DataError, InputError
from pcgen.files import parse_json, read_text
from pcgen.runfile import learned_from
from pcgen.shapes.axes import AXES, from_y_up
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.store import Dataset


@dataclass(frozen=True)
class SourceFrame:
    """The :class:`Frame` of one shape, rotated so that ``up`` is up.

    Attributes:
        unit: the name of the original unit, such as ``mm``; "" if unknown.
    """

    scale: float = 1.0
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    up: str = "y"
    unit: str = ""

    def normalise(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (n, 3) in original units, on axes with +Y up, in the box frame."""
        return np.asarray(self._frame.apply(np.asarray(points, np.float64)[None])[0])

    def restore(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (n, 3) of the box frame in original units and axes."""
        moved = self._frame.restore(np.asarray(points, np.float64)[None])[0]
        return from_y_up(moved, self.up)

    def restored(self, mesh: Mesh) -> Mesh:
        """A mesh of the box frame in the source's unit and axes."""
        return Mesh(self.restore(mesh.vertices), mesh.faces)

    def turn(self, normals: NDArray[np.floating]) -> NDArray[np.float64]:
        """Normals (n, 3) of the box frame in original axes."""
        return from_y_up(np.asarray(normals, np.float64), self.up)

    @property
    def _frame(self) -> Frame:
        return Frame(np.array([self.centre], np.float64), np.array([self.scale], np.float64))


BOX_FRAME = SourceFrame()

PLACES = "places.json"  # in a packed run: the frames of its categories


def category_frames(dataset: Path | str) -> dict[str, SourceFrame]:
    """The median centre and scale of each category of a data set.

    Raises:
        DataError: there is no data set.
    """
    opened = Dataset.open(dataset)
    result = {}
    for category in opened.categories:
        rows = [row for row in opened.rows if row.category == category]
        x, y, z = np.median([row.centre for row in rows], axis=0)
        scale = float(np.median([row.scale for row in rows]))
        centre = (float(x), float(y), float(z))
        result[category] = SourceFrame(scale, centre, opened.up, opened.unit)
    return result


def frames_of_run(run: Path | str) -> dict[str, SourceFrame]:
    """The category frames of a run's data set; empty if the run or data set does not exist."""
    if (Path(run) / PLACES).is_file():
        return _packed_frames(Path(run) / PLACES)
    learned = learned_from(run)
    if learned is None:
        return {}
    try:
        return category_frames(learned.dataset)
    except DataError:
        return {}  # exports stay in the box frame


def _packed_frames(path: Path) -> dict[str, SourceFrame]:
    """The category frames in a packed run.

    Raises:
        DataError: the file is damaged.
    """
    try:
        plain = parse_json(read_text(path))
        return {
            str(name): from_plain(SourceFrame, frame, str(path)) for name, frame in plain.items()
        }
    except (InputError, ValueError, OSError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}); pack the run again") from None


def frames_of_samples(meta: Mapping[str, Any]) -> dict[str, SourceFrame]:
    """The category frames of the run that the ``meta`` of a samples file names."""
    return frames_of_run(str(meta["run"])) if meta.get("run") else {}


def stored_frames(meta: Mapping[str, Any], count: int) -> tuple[SourceFrame, ...]:
    """The frames of ``count`` samples that their ``meta`` stores; empty if there are none.

    Raises:
        InputError: an entry is not a frame.
    """
    noted = meta.get("places")
    if not isinstance(noted, list) or len(noted) != count:
        return ()
    frames = tuple(from_plain(SourceFrame, frame, "places") for frame in noted)
    for frame in frames:
        if not (frame.scale > 0 and np.isfinite([frame.scale, *frame.centre]).all()):
            raise InputError(f"a frame of the samples has no size or no centre: {frame}")
        if frame.up not in AXES:
            raise InputError(
                f"a frame of the samples has the axis up {frame.up!r}, not one of {', '.join(AXES)}"
            )
    return frames
