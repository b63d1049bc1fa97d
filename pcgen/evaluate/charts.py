"""Charts without scripts: histograms as inline SVG, and 1-NNA on a scale from 0 to 100 %."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 560, 230
LEFT, RIGHT, TOP, BOTTOM = 54, 22, 14, 44
BINS = 28  # at most; fewer for few values, about three per bin


@dataclass(frozen=True, kw_only=True)
class Series:
    """One distribution: positive values, its name and its CSS class."""

    values: NDArray[np.float64]
    name: str
    style: str


def histogram(series: Sequence[Series], label: str) -> str:
    """Outlines of the share of each series in bins of equal logarithmic width.

    Zeros are drawn in the lowest bin.
    """
    positive = np.concatenate([one.values[one.values > 0] for one in series])
    if not len(positive):
        return "<p>All distances are zero.</p>"
    low, high = np.log10(positive.min()) - 0.02, np.log10(positive.max()) + 0.02
    least = min(len(one.values) for one in series)
    edges = np.linspace(low, high, min(BINS, max(8, least // 3)) + 1)
    heights = []
    for one in series:
        logs = np.log10(np.maximum(one.values, 10**low))
        counts, _ = np.histogram(logs.clip(low, high), edges)
        heights.append(counts / max(1, len(one.values)))
    top = max(float(height.max()) for height in heights)

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(share: float) -> float:
        return HEIGHT - BOTTOM - share / top * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">']
    for share in (0.5 * top, top):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(share):.1f}" ')
        parts.append(f'y2="{y(share):.1f}"/><text class="tick" x="{LEFT - 6}" ')
        parts.append(f'y="{y(share) + 4:.1f}" text-anchor="end">{100 * share:.2g} %</text>')
    for tick in _ticks(low, high):
        place = x(float(np.log10(tick)))
        parts.append(f'<text class="tick" x="{place:.1f}" y="{HEIGHT - BOTTOM + 16}" ')
        parts.append(f'text-anchor="middle">{tick:g}</text>')
    for one, height in zip(series, heights, strict=True):
        path = f"M{x(edges[0]):.1f} {y(0):.1f}"
        for share, left, right in zip(height, edges[:-1], edges[1:], strict=True):
            path += f"L{x(left):.1f} {y(share):.1f}L{x(right):.1f} {y(share):.1f}"
        path += f"L{x(edges[-1]):.1f} {y(0):.1f}Z"
        parts.append(f'<path class="{one.style}" d="{path}"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">')
    parts.append(f"{escape(label)}</text></svg>")
    keys = "".join(
        f'<span><i class="{one.style}"></i>{escape(one.name)}, median '
        f"{np.median(one.values):.3g}</span>"
        for one in series
    )
    return f'<figure class="chart">{"".join(parts)}<figcaption>{keys}</figcaption></figure>'


@dataclass(frozen=True, kw_only=True)
class AccuracyMark:
    """A 1-NNA as fractions: overall with sd (or None), on generated and on reference shapes."""

    name: str
    value: float
    sd: float | None
    generated: float
    reference: float
    style: str


def accuracy_chart(marks: Sequence[AccuracyMark], chance: tuple[float, float]) -> str:
    """One row per mark: a dot with its sd, both halves, and the band of chance.

    Args:
        chance: mean and sd between two real sets; the band is two sd wide on each side.
    """
    mean, sd = chance
    left, right = max(0.0, mean - 2 * sd), min(1.0, mean + 2 * sd)
    band = f'<i class="band" style="left:{100 * left:.1f}%;width:{100 * (right - left):.1f}%"></i>'
    rows = []
    for mark in marks:
        parts = [band]
        if mark.sd:
            start, wide = max(0.0, mark.value - mark.sd), 2 * mark.sd
            parts.append(f'<i class="bar {mark.style}" style="left:{100 * start:.1f}%;')
            parts.append(f'width:{100 * min(wide, 1 - start):.1f}%"></i>')
        for letter, half in (("g", mark.generated), ("r", mark.reference)):
            parts.append(f'<i class="half" style="left:{100 * half:.1f}%">{letter}</i>')
        parts.append(f'<i class="dot {mark.style}" style="left:{100 * mark.value:.1f}%"></i>')
        name = escape(mark.name)
        rows.append(f'<span>{name}</span><div class="track">{"".join(parts)}</div>')
    axis = "".join(f'<i style="left:{share}%">{share}</i>' for share in (0, 25, 50, 75, 100))
    return (
        f'<figure class="strip">{"".join(rows)}<span></span><div class="axis">{axis}</div>'
        "<figcaption>1-NNA (CD) in per cent. Dot and bar: mean and sd; g, r: on generated and on "
        "reference shapes; band: two real sets of this size, within two sd.</figcaption></figure>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """At most seven round numbers between two exponents of ten, if possible."""
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [
            step * 10.0**power
            for power in range(int(np.floor(low)), int(np.ceil(high)) + 1)
            for step in steps
            if low <= np.log10(step * 10.0**power) <= high
        ]
        if len(ticks) <= 7:
            break
    return ticks
