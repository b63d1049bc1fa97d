"""Describe the current shape as text, and why layers are unavailable."""

from __future__ import annotations

from collections.abc import Set

from pcgen.evaluate.neighbours import Neighbour
from pcgen.viewer.sources import ViewedShape


def describe_shape(
    item: ViewedShape,
    number: tuple[int, int] | None,
    nearest: Neighbour | None,
    layers: Set[str],
    time: float = 1.0,
) -> list[tuple[str, str]]:
    """Labels and values of each fact.

    Args:
        number: of the shape, from 1, and their count; None if there is only one.
        nearest: training shape, or None; layers: that are shown.
        time: of the flow, 1 for the shape.
    """
    facts = [("shape", item.name)]
    if number is not None:
        facts.append(("number", f"{number[0]} of {number[1]}"))
    if item.category:
        facts.append(("category", item.category))
    facts.append(("points", f"{len(item.points):,}"))
    if item.mesh is not None:
        facts.append(("mesh", f"{len(item.mesh.faces):,} faces"))
    elif item.sketch is not None and "mesh" in layers:
        facts.append(("mesh", f"{len(item.sketch.faces):,} faces, coarse until it is ready"))
    if item.base is not None and (layers & {"base", "paths"} or time < 1):
        longer = f", drawn {item.times} times as long" if item.times > 1 else ""
        facts.append(("mean distance from base to shape", f"{item.way:.3g}{longer}"))
    if nearest is not None and "training" in layers:
        facts.append(("nearest training shape", nearest.id))
        if note := str(nearest.relation):
            facts.append(("transformed to the sample by", note))
        facts.append(("Chamfer distance, proportion-free", f"{nearest.distance:.4g}"))
    return facts


def display_name(item: ViewedShape) -> str:
    """The display name of a shape whose name may be a path or a number."""
    name = item.name.split("/")[-1]
    return f"shape {name}" if name.isdecimal() else name


def why_unavailable(item: ViewedShape | None, layer: str, *, comparable: bool) -> str:
    """Why a layer cannot be shown; "" if it can.

    Args:
        comparable: whether there are training shapes.
    """
    if item is None:
        return "no shape yet"
    if layer in ("base", "paths") and item.base is None:
        return "only samples of a run have base and flow: pcgen view RUN"
    if layer == "normals" and item.normals is None:
        return "this shape has no normals"
    if layer == "training" and not comparable:
        return "no training data to compare with; pass it as --reference DATASET"
    return ""
