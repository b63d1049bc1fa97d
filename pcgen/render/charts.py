"""Charts as inline SVG: histograms, 1-NNA on a scale from 0 to 100 %, learning curves.

Colours are CSS variables of the page (``--made``, ``--real``, ``--line``, ``--faint``), and text
stays text in the page's font.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VARIABLES = {"made": "#5483a4", "real": "#a58f68", "line": "#dcd9d0", "faint": "#6d7076"}
BINS = 28  # at most; fewer for few values, about three per bin
MOST_POINTS = 300  # drawn of one curve
SMOOTHED_OVER = 0.03  # share of the curve that the thick line averages
FONT = 9  # points
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True, kw_only=True)
class Series:
    """One distribution: positive values, its name, and its colour, a key of VARIABLES."""

    values: NDArray[np.float64]
    name: str
    style: str


@dataclass(frozen=True, kw_only=True)
class AccuracyMark:
    """A 1-NNA as fractions: overall with sd (or None), on generated and on reference shapes."""

    name: str
    value: float
    sd: float | None
    generated: float
    reference: float
    style: str


def svg(figure: Figure, label: str) -> str:
    """An SVG element as wide as its container."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": label}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    _, _, text = buffer.getvalue().partition("<svg ")
    # HTML needs no name spaces, and several charts of a page would have groups of the same ids.
    text = re.sub(r'xmlns(:\w+)?="[^"]*"', "", re.sub(r'<g id="[^>]*>', "<g>", text))
    text = f'<svg role="img" aria-label="{escape(label)}" {text}'
    for name, colour in VARIABLES.items():
        text = text.replace(colour, f"var(--{name})")
    return text


def histogram(series: Sequence[Series], label: str) -> Figure | None:
    """The share of each series in bins of equal logarithmic width, zeros in the lowest.

    None if all values are zero.
    """
    positive = np.concatenate([one.values[one.values > 0] for one in series])
    if not len(positive):
        return None
    low, high = 0.95 * positive.min(), 1.05 * positive.max()
    least = min(len(one.values) for one in series)
    edges = np.geomspace(low, high, min(BINS, max(8, least // 3)) + 1)
    figure, axes = _axes(4.0, 2.4)
    for one in series:
        counts, _ = np.histogram(one.values.clip(low, high), edges)
        colour, share = VARIABLES[one.style], counts / max(1, len(one.values))
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.2)
        name = f"{one.name}, median {np.median(one.values):.3g}"
        axes.stairs(share, edges, color=colour, linewidth=1.3, label=name)
    _log_axis(axes, "x", low, high)
    _percent(axes.yaxis)
    axes.set_xlabel(label, color=VARIABLES["faint"], fontsize=FONT)
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=FONT,
        labelcolor=VARIABLES["faint"],
    )  # fmt: skip
    _plain_text(legend.get_texts())
    return figure


def accuracy_chart(marks: Sequence[AccuracyMark], chance: tuple[float, float]) -> Figure:
    """One row per mark: a dot with its sd, both halves, and the band of chance.

    Args:
        chance: mean and sd between two real sets; the band is two sd wide on each side.
    """
    mean, sd = chance
    figure, axes = _axes(6.4, 0.6 + 0.42 * len(marks))
    left, right = np.clip([mean - 2 * sd, mean + 2 * sd], 0, 1)
    axes.axvspan(left, right, color=VARIABLES["real"], alpha=0.2)
    for row, mark in enumerate(marks):
        colour = VARIABLES[mark.style]
        if mark.sd:
            ends = np.clip([mark.value - mark.sd, mark.value + mark.sd], 0, 1)
            axes.plot(ends, [row, row], color=colour, linewidth=2.5, solid_capstyle="butt")
        axes.plot(mark.value, row, "o", color=colour, clip_on=False)
        for letter, half in (("g", mark.generated), ("r", mark.reference)):
            axes.text(
                half, row - 0.15, letter,
                color=VARIABLES["faint"], fontsize=FONT, ha="center", va="bottom",
            )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(len(marks) - 0.5, -0.7), xticks=np.linspace(0, 1, 5))
    axes.set_yticks(range(len(marks)), [mark.name for mark in marks])
    _plain_text(axes.get_yticklabels())
    _percent(axes.xaxis)
    return figure


def learning_curve(pairs: Sequence[tuple[float, float]]) -> Figure:
    """Loss by step, and its running mean; logarithmic if the loss is positive and varies."""
    step, loss = np.array(sorted(pairs), dtype=np.float64).T
    logarithmic = bool(loss.min() > 0 and loss.max() > 3 * loss.min())
    level = np.log(loss) if logarithmic else loss
    window = np.ones(2 * round(SMOOTHED_OVER * len(level)) + 1)  # few values are not smoothed
    mean = np.convolve(level, window, "same") / np.convolve(np.ones(len(level)), window, "same")
    few = np.unique(np.linspace(0, len(step) - 1, min(len(step), MOST_POINTS)).astype(np.int64))
    figure, axes = _axes(3.6, 2.0)
    axes.plot(step[few], loss[few], color=VARIABLES["made"], alpha=0.3, linewidth=0.8)
    middle = np.exp(mean) if logarithmic else mean
    axes.plot(step[few], middle[few], color=VARIABLES["made"], linewidth=1.6)
    if logarithmic:
        _log_axis(axes, "y", loss.min(), loss.max())
    axes.grid(axis="y", color=VARIABLES["line"])
    return figure


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    """One pair of axes in a figure, in inches, with faint ticks and no frame."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=VARIABLES["faint"], labelsize=FONT, left=False, bottom=False)
    axes.set_axisbelow(True)
    return figure, axes


def _log_axis(axes: Axes, name: str, low: float, high: float) -> None:
    """A logarithmic axis with about five round numbers."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    getattr(axes, f"set_{name}scale")("log")
    axis = getattr(axes, f"{name}axis")
    decades = np.log10(high / low)
    steps = (1.0, 2.0, 5.0) if decades < 2 else (1.0, 3.0) if decades < 3 else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps, numticks=8))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _percent(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axis.grid(color=VARIABLES["line"])


def _plain_text(texts: Sequence[Any]) -> None:
    """Show names as they are, without formulas in dollar signs."""
    for text in texts:
        text.set_parse_math(False)
