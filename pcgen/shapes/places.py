"""Where a shape of the box frame stands in its own unit: its place, for meshes and exports.

New shapes have no size of their own; they get the median one of their category.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.config import from_plain
from pcgen.errors import DataError, InputError
from pcgen.files import parse_json, read_text
from pcgen.runfile import learned_from
from pcgen.shapes.axes import lowered
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.store import Dataset


@dataclass(frozen=True)
class Place:
    """Own units are ``points * scale + centre``, and then the axis ``up`` points up.

    Attributes:
        unit: the name of the own unit where it is known, such as ``mm``; else "".
    """

    scale: float = 1.0
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    up: str = "y"
    unit: str = ""

    def restore(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (n, 3) of the box in the own unit and on the own axes."""
        moved = np.asarray(points, np.float64) * self.scale + np.asarray(self.centre)
        return lowered(moved, self.up)

    def restored(self, mesh: Mesh) -> Mesh:
        """A mesh of the box in the own unit and on the own axes."""
        return Mesh(self.restore(mesh.vertices), mesh.faces)

    def turn(self, normals: NDArray[np.floating]) -> NDArray[np.float64]:
        """Normals (n, 3) of the box on the own axes."""
        return lowered(np.asarray(normals, np.float64), self.up)


BOX = Place()

PLACES = "places.json"  # in a run that was packed: the places of its categories


def category_places(dataset: Path | str) -> dict[str, Place]:
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
        result[category] = Place(scale, centre, opened.up, opened.unit)
    return result


def places_of_run(run: Path | str) -> dict[str, Place]:
    """Those of the data set that a run learned from; none where run or data set are gone."""
    if (Path(run) / PLACES).is_file():
        return _packed_places(Path(run) / PLACES)
    learned = learned_from(run)
    if learned is None:
        return {}
    try:
        return category_places(learned.dataset)
    except DataError:
        return {}  # the box it is


def _packed_places(path: Path) -> dict[str, Place]:
    """Those that were packed with a run.

    Raises:
        DataError: the file is damaged.
    """
    try:
        plain = parse_json(read_text(path))
        return {str(name): from_plain(Place, place, str(path)) for name, place in plain.items()}
    except (InputError, ValueError, OSError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}); pack the run again") from None


def places_of_samples(meta: Mapping[str, Any]) -> dict[str, Place]:
    """Those of the run that a samples file names in its ``meta``."""
    return places_of_run(str(meta["run"])) if meta.get("run") else {}
