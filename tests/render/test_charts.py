"""Charts show their data, and their SVG cannot break the page."""

import numpy as np
import pytest

from pcgen.render import charts


def series(values, name="generated", style="made"):
    return charts.Series(values=np.asarray(values, float), name=name, style=style)


def outlines(figure):
    """The heights of the outline of each series of a histogram."""
    return [patch.get_data().values for patch in figure.axes[0].patches if not patch.get_fill()]


def test_a_histogram_shows_every_value_once():
    values = np.random.default_rng(0).lognormal(size=500)
    figure = charts.histogram([series(values, "a & b $x$")], "CD")
    (heights,) = outlines(figure)
    assert len(heights) == charts.BINS
    assert heights.sum() == pytest.approx(1)
    svg = charts.svg(figure, "CD")
    assert f"a &amp; b $x$, median {np.median(values):.3g}" in svg
    few = charts.histogram([series(values[:20]), series(values)], "CD")
    assert [len(heights) for heights in outlines(few)] == [8, 8]


def test_distances_of_zero_are_in_the_lowest_bin():
    assert charts.histogram([series(np.zeros(5))], "CD") is None
    (heights,) = outlines(charts.histogram([series([0, 0.1, 1])], "CD"))
    assert heights[0] == pytest.approx(2 / 3)


def test_1nna_has_its_halves_its_sd_and_the_band_of_chance():
    values = {"value": 0.6, "generated": 0.8, "reference": 0.4, "style": "made"}
    figure = charts.accuracy_chart(
        [charts.AccuracyMark(name="<a>", sd=0.02, **values),
         charts.AccuracyMark(name="b", sd=None, **values)], (0.5, 0.03),
    )  # fmt: skip
    (axes,) = figure.axes
    bar, *dots = [line.get_xdata().tolist() for line in axes.lines]
    assert bar == pytest.approx([0.58, 0.62])
    assert dots == [[0.6], [0.6]]
    assert [(text.get_text(), text.get_position()[0]) for text in axes.texts[:2]] == [
        ("g", 0.8), ("r", 0.4),
    ]  # fmt: skip
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == pytest.approx((0.44, 0.12))
    assert "&lt;a&gt;" in charts.svg(figure, "1-NNA")


@pytest.mark.parametrize(
    "losses",
    [[5.0, 4, 3], [1e-6, 1e2], [-1.0, 0, 1], [2.0, 2.0], [0.0, 0.0], [0.5 + 1e-14, 0.5]],
    ids=["plain", "decades", "negative", "flat", "zero", "nearly flat"],
)
def test_curves_of_any_range_are_drawn_inside_their_axes(losses):
    figure = charts.learning_curve(list(enumerate(losses)))
    (axes,) = figure.axes
    raw, middle = (line.get_ydata() for line in axes.lines)
    assert middle == pytest.approx(raw)  # few values are not smoothed
    low, high = axes.get_ylim()
    assert low <= raw.min() <= raw.max() <= high
    svg = charts.svg(figure, 'a "<b>')
    assert "a &quot;&lt;b&gt;" in svg
    assert "nan" not in svg


def test_a_long_curve_is_smoothed_and_thinned():
    noise = np.random.default_rng(0).normal(size=2000)
    raw, middle = charts.learning_curve(list(enumerate(noise))).axes[0].lines
    assert len(raw.get_xdata()) == charts.MOST_POINTS
    assert middle.get_ydata().std() < 0.3 * raw.get_ydata().std()


def test_colours_are_those_of_the_page():
    svg = charts.svg(charts.learning_curve([(0, 1.0), (1, 2.0)]), "loss")
    assert "var(--made)" in svg
    assert charts.VARIABLES["made"] not in svg


def test_a_chart_names_nothing_outside_the_page():
    marks = [
        charts.AccuracyMark(name="a", value=0.6, sd=0.1, generated=1, reference=0, style="real")
    ]
    assert "http" not in charts.svg(charts.accuracy_chart(marks, (0.5, 0.1)), "1-NNA")
