"""Learning curves as inline SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcgen.files import parse_json

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 28
MOST_POINTS = 300  # drawn of one curve
SMOOTHED_OVER = 0.03  # share of the curve that the thick line averages

Curves = Mapping[str, Sequence[tuple[float, float]]]


def read_curves(run: Path | str) -> dict[str, list[tuple[float, float]]]:
    """The loss of each stage of a run: (step, loss) pairs from every ``metrics.jsonl``.

    Stages are sorted by the time of their last change. Unreadable lines, such as a partial last
    one, are ignored.
    """
    files = sorted(Path(run).rglob("metrics.jsonl"), key=lambda path: (path.stat().st_mtime, path))
    curves = {}
    for path in files:
        pairs = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = parse_json(line)
                step, loss = float(entry["step"]), float(entry["loss"])
            except (ValueError, KeyError, TypeError):
                continue
            if math.isfinite(step) and math.isfinite(loss):
                pairs.append((step, loss))
        if len(pairs) > 1:
            curves[path.parent.relative_to(run).as_posix()] = pairs
    return curves


def curve_svg(name: str, pairs: Sequence[tuple[float, float]]) -> str:
    """One curve with axes; the loss axis is logarithmic if the loss is positive and varies."""
    step, loss = np.array(pairs, dtype=np.float64).T
    order = np.argsort(step, kind="stable")
    step, loss = step[order], loss[order]
    logarithmic = bool(loss.min() > 0 and loss.max() > 3 * loss.min())
    level = np.log10(loss) if logarithmic else loss
    low, high = float(level.min()), float(level.max())
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    across = (step - step[0]) / max(float(np.ptp(step)), 1e-12)
    x = LEFT + across * (WIDTH - LEFT - RIGHT)
    y = TOP + (high - level) / (high - low) * (HEIGHT - TOP - BOTTOM)
    few = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_POINTS)).astype(np.int64))
    middle = _smooth(y, round(SMOOTHED_OVER * len(y)))  # few values are not smoothed
    text = html.escape(name)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text}: loss '
        f'{loss[0]:.3g} at first, {loss[-1]:.3g} at step {step[-1]:.0f}">'
    ]
    for tick in _ticks(low, high, logarithmic):
        at = TOP + (high - tick) / (high - low) * (HEIGHT - TOP - BOTTOM)
        value = 10**tick if logarithmic else tick
        parts.append(
            f'<path class="axis" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>'
            f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:.3g}</text>'
        )
    for share in (0.0, 0.5, 1.0):
        at = LEFT + share * (WIDTH - LEFT - RIGHT)
        value = step[0] + share * (step[-1] - step[0])
        anchor = {0.0: "start", 0.5: "middle", 1.0: "end"}[share]
        parts.append(
            f'<text x="{at:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{value:,.0f}</text>'
        )
    parts.append(f'<path class="raw" d="{_path(x[few], y[few])}"/>')
    parts.append(f'<path class="smooth" d="{_path(x[few], middle[few])}"/></svg>')
    return "".join(parts)


def section(curves: Curves) -> str:
    """The section of the page with all curves; "" if there are none."""
    drawn = {name: pairs for name, pairs in curves.items() if len(pairs) > 1}
    if not drawn:
        return ""
    figures = "\n".join(
        f"<figure>{curve_svg(name, pairs)}<figcaption>{html.escape(name)}: loss by step"
        f"</figcaption></figure>"
        for name, pairs in drawn.items()
    )
    return f'<section><h2>Learning curves</h2>\n<div class="curves">\n{figures}\n</div></section>'


def _smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Running mean over ``2 width + 1`` values, fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - width, 0), np.minimum(index + width + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def _ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    """Three to six round values between low and high."""
    if logarithmic and high - low > 2:
        step = max(1, round((high - low) / 4))
        return [float(k) for k in range(math.ceil(low), math.floor(high) + 1, step)]
    if logarithmic:
        rounds = [math.log10(d) + k for k in range(-12, 13) for d in (1, 2, 5)]
        inside = [tick for tick in rounds if low <= tick <= high]
        return inside[:: max(1, len(inside) // 4)] or [low, high]
    size = 10 ** math.floor(math.log10((high - low) / 3))
    size *= next(k for k in (1, 2, 5, 10) if (high - low) / (size * k) <= 5)
    return [k * size for k in range(math.ceil(low / size), math.floor(high / size) + 1)]


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))
