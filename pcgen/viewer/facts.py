"""What is known of a shape on show, in words."""

from __future__ import annotations

from collections.abc import Set

import numpy as np

from pcgen.render.neighbours import Neighbour
from pcgen.viewer.sources import Item


def facts_of(
    item: Item, number: tuple[int, int] | None, nearest: Neighbour | None, layers: Set[str]
) -> list[tuple[str, str]]:
    """Label and value of each fact.

    Args:
        number: of the shape among how many, from 1; None where there is no other.
        nearest: training shape, where it is shown; layers: that are shown.
    """
    facts = [("shape", item.name)]
    if number is not None:
        facts.append(("number", f"{number[0]} of {number[1]}"))
    if item.category:
        facts.append(("category", item.category))
    facts.append(("points", f"{len(item.points):,}"))
    if item.mesh is not None:
        facts.append(("mesh", f"{len(item.mesh.faces):,} faces"))
    if item.base is not None and layers & {"base", "paths"}:
        length = np.linalg.norm(item.points - item.base, axis=1).mean()
        facts.append(("from base to shape, on average", f"{length:.3g}"))
    if nearest is not None:
        facts.append(("nearest training shape", nearest.id))
        facts.append(("Chamfer distance", f"{nearest.distance:.4g}"))
    return facts
