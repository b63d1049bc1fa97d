"""What is known of a shape on show, and what is lacking, in words."""

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


def lack_of(item: Item | None, layer: str, *, comparable: bool) -> str:
    """Why a layer cannot be shown, or "" where it can.

    Args:
        comparable: there are training shapes to compare with.
    """
    if item is None:
        return "no shape yet"
    if layer in ("base", "paths") and item.base is None:
        return "base and flow are known only for shapes drawn from a run: pcgen view RUN"
    if layer == "normals" and item.normals is None:
        return "this shape has no normals"
    if layer == "training" and not comparable:
        return "no training data to compare with; name it with --reference DATASET"
    return ""
