"""What the shapes of a set themselves say of its axis up and its unit, and where they disagree.

A set may be put together from several sources, each with a frame of its own. Sources are told
apart by the folder on the first level and the ending of a file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pcgen.shapes.axes import likely_up
from pcgen.shapes.store import IndexRow

#: Lengths of one unit in another: mm, cm, inches and feet in m, mm in inches.
_FACTORS = (1000.0, 100.0, 39.37, 3.281, 25.4, 10.0)
_NEAR = 1.35  # of such a factor, that medians of shapes of one kind are expected to be
_LEAST = 3  # shapes of a source
_SEEN, _POINTS = 256, 2000  # shapes of a source and points of each, that are looked at


def up_axis_remarks(
    rows: Sequence[IndexRow], points: NDArray[np.float32], up_is_given: bool
) -> list[str]:
    """What there is to say of the axis up.

    Args:
        rows, points: of the data set, (count, P, 3), with Y up as far as anybody said.
        up_is_given: whether the axis is known; then only disagreement is told.
    """
    axes = {name: _axis(points, own) for name, own in _by_source(rows).items()}
    said = _disagreeing_axes({name: axis for name, axis in axes.items() if axis})
    whole = "" if said or up_is_given else _axis(points, range(len(rows)))
    if whole not in ("", "y"):
        said = [
            f"the shapes look as if {whole.upper()} pointed up, and are taken as if Y did: if so, "
            f"prepare them with --up {whole}; else --up y says that all is well"
        ]
    return said


def _by_source(rows: Sequence[IndexRow]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[_source(row)].append(number)
    return groups


def _axis(points: NDArray[np.float32], own: Sequence[int]) -> str:
    chosen = own[:: max(len(own) // _SEEN, 1)]
    return likely_up(points[number, :_POINTS] for number in chosen)


def _source(row: IndexRow) -> str:
    """The folder on the first level and the ending of a file."""
    name = row.source.split("[")[0].rsplit(":", 1)[-1]
    folder, suffix = name.split("/")[0] if "/" in name else "", name.rpartition(".")[2].lower()
    return f"{folder}/*.{suffix}" if folder else f"*.{suffix}"


def _disagreeing_axes(axes: dict[str, str]) -> list[str]:
    if len(set(axes.values())) < 2:
        return []
    upright = next((name for name, axis in axes.items() if axis == "y"), next(iter(axes)))
    other = next(name for name, axis in axes.items() if axis != axes[upright])
    return [
        f"the shapes of {upright} and of {other} do not have the same axis up: they look as if "
        f"{axes[upright].upper()} and {axes[other].upper()} of the data set pointed up; prepare "
        "each source by itself, with its own --up"
    ]


def unit_remarks(rows: Sequence[IndexRow]) -> list[str]:
    """One sentence, on two sources of one category whose sizes differ as their units may."""
    sizes: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, own in _by_source(rows).items():
        for number in own:
            sizes[rows[number].category][name].append(rows[number].scale)
    for category, sources in sizes.items():
        median = {n: float(np.median(s)) for n, s in sources.items() if len(s) >= _LEAST}
        if len(median) < 2:
            continue
        large, small = max(median, key=median.__getitem__), min(median, key=median.__getitem__)
        apart = min(sources[large]) > max(sources[small])
        ratio = median[large] / median[small]
        factor = min(_FACTORS, key=lambda factor: abs(np.log(ratio / factor)))
        if apart and factor / _NEAR < ratio < factor * _NEAR:
            return [
                f"the shapes of {large} are about {ratio:.3g} times as large as those of {small}, "
                f"both {category}: are their units the same? Shapes are learned without their "
                "size, but exports get the median one; prepare sources of one unit together, "
                "with --unit"
            ]
    return []
