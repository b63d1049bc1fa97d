"""Warn if the shapes of a data set suggest another up axis, or disagree in up axis or unit.

A data set may combine several sources with different frames. A source here is a folder of the first
level and a file suffix.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pcgen.shapes.axes import likely_up
from pcgen.shapes.store import IndexRow

#: Ratios of units: mm, cm, inches and feet per m, mm per inch, mm per cm.
_FACTORS = (1000.0, 100.0, 39.37, 3.281, 25.4, 10.0)
_NEAR = 1.35  # tolerance, as a factor, of the ratio of median sizes
_LEAST = 3  # shapes per source
_SEEN, _POINTS = 256, 2000  # shapes per source and points per shape that are examined


def up_axis_remarks(
    rows: Sequence[IndexRow], points: NDArray[np.float32], up_is_given: bool
) -> list[str]:
    """Remarks on the up axis.

    Args:
        rows, points: of the data set, (count, P, 3), supposedly with Y up.
        up_is_given: whether the user stated the axis; then only disagreement is reported.
    """
    axes = {name: _axis(points, own) for name, own in _by_source(rows).items()}
    remarks = _disagreeing_axes({name: axis for name, axis in axes.items() if axis})
    whole = "" if remarks or up_is_given else _axis(points, range(len(rows)))
    if whole not in ("", "y"):
        remarks = [
            f"the shapes look as if {whole.upper()} points up, but are read with Y up: if so, "
            f"prepare them with --up {whole}; if not, --up y removes this warning"
        ]
    return remarks


def _by_source(rows: Sequence[IndexRow]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        groups[_source(row)].append(number)
    return groups


def _axis(points: NDArray[np.float32], own: Sequence[int]) -> str:
    chosen = own[:: max(len(own) // _SEEN, 1)]
    return likely_up(points[number, :_POINTS] for number in chosen)


def _source(row: IndexRow) -> str:
    """The folder of the first level and the suffix of a file."""
    name = row.source.split("[")[0].rsplit(":", 1)[-1]
    folder, suffix = name.split("/")[0] if "/" in name else "", name.rpartition(".")[2].lower()
    return f"{folder}/*.{suffix}" if folder else f"*.{suffix}"


def _disagreeing_axes(axes: dict[str, str]) -> list[str]:
    if len(set(axes.values())) < 2:
        return []
    upright = next((name for name, axis in axes.items() if axis == "y"), next(iter(axes)))
    other = next(name for name, axis in axes.items() if axis != axes[upright])
    return [
        f"the shapes of {upright} and of {other} seem to have different up axes: they look as if "
        f"{axes[upright].upper()} and {axes[other].upper()} of the data set point up; prepare "
        "each source separately, with its own --up"
    ]


def unit_remarks(rows: Sequence[IndexRow]) -> list[str]:
    """A remark if the sizes of two sources of a category differ by the ratio of two units."""
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
                f"both {category}: are their units the same? Training ignores sizes, but exports "
                "get the median one; prepare only sources of one unit together, with --unit"
            ]
    return []
