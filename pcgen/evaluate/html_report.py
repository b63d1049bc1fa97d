"""Write the HTML report: one file with embedded pictures, without scripts or network access.

It shows the metrics and random samples, each beside its nearest training shape (proportion-free)
and its nearest reference shape, then the farthest and the closest samples. The page itself is
``static/report.html``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from pcgen import progress
from pcgen.distances.novelty import MIRROR
from pcgen.evaluate import report_text
from pcgen.evaluate.cloud_sets import CloudSet
from pcgen.evaluate.evaluation import Evaluation
from pcgen.evaluate.neighbours import relate
from pcgen.files import atomic_file
from pcgen.render import charts

RANDOM, EXTREME = 10, 4  # samples shown: random ones, and farthest and closest ones
PICTURE = 208  # pixels; shown at half that size or more
QUALITY = 82
Summaries = Sequence[dict[str, Any]]
COLOURS = {"generated": "generated", "training": "training", "reference": "mesh"}
STATIC = resources.files("pcgen.evaluate") / "static"


def write_page(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Write one report on one or more evaluations against the same reference."""
    with atomic_file(path) as temporary:
        temporary.write_text(_page(evaluations), encoding="utf-8")


def metrics_page(evaluations: Sequence[Evaluation]) -> str:
    """A page with verdict, chart and table, without pictures."""
    return _page(evaluations, brief=True)


def _page(evaluations: Sequence[Evaluation], *, brief: bool = False) -> str:
    from jinja2 import Environment

    summaries = [evaluation.summary for evaluation in evaluations]
    names, real_sets = report_text.labels(summaries), report_text.ceilings(summaries)
    runs = [
        {
            "label": label,
            "summary": evaluation.summary,
            "verdict": " ".join(report_text.verdict(evaluation.summary)),
            **({} if brief else _shapes(evaluation)),
        }
        for label, evaluation in zip(names, evaluations, strict=True)
    ]
    page = Environment(autoescape=True).from_string((STATIC / "report.html").read_text("utf-8"))
    return page.render(
        brief=brief,
        style=(STATIC / "report.css").read_text("utf-8"),
        title=f"Evaluation of {' and '.join(names)}",
        sizes=report_text.sizes_text(summaries),
        reference=report_text.last_part(summaries[0]["reference"]),
        protocol=report_text.protocol_text(summaries[0]),
        runs=runs,
        real_sets=real_sets,
        accuracy=charts.svg(_accuracy(summaries, names), "1-NNA"),
        metrics=[
            {
                "label": metric.label.strip(),
                "part": metric.label.startswith(" "),
                "best": metric.best,
                "cells": [report_text.cell(metric, summary) for summary in summaries],
                "real_sets": [
                    t for _, run in real_sets for t in report_text.real_cells(metric, run)
                ],
            }
            for metric in report_text.metrics_of(summaries[0])
        ],
        rules="; ".join(dict.fromkeys(summary["seeds"]["rule"] for summary in summaries)),
        categories=sorted({name for summary in summaries for name in summary["categories"]}),
        reconstructed=[run for run in runs if run["summary"]["reconstruction"]],
        notes=report_text.all_notes(summaries),
        side=PICTURE,
    )


def _accuracy(summaries: Summaries, names: Sequence[str]) -> Any:
    """The chart of the 1-NNA of every run and of the ceiling."""
    runs = [("made", label, summary) for label, summary in zip(names, summaries, strict=True)]
    real_sets = report_text.ceilings(summaries)
    runs += [("real", f"ceiling{whose}", run["ceiling"]) for whose, run in real_sets]
    marks = [
        charts.AccuracyMark(
            name=name,
            value=one["nna_cd"],
            sd=one["seeds"]["nna_cd"]["sd"],
            generated=one["nna_cd_generated"],
            reference=one["nna_cd_reference"],
            style=style,
        )
        for style, name, one in runs
        if one is not None
    ]
    noise = max((run["noise"]["nna_cd"] for _, run in real_sets), key=lambda found: found["sd"])
    return charts.accuracy_chart(marks, (noise["mean"], noise["sd"]))


def _shapes(evaluation: Evaluation) -> dict[str, Any]:
    """The histograms and pictures of one evaluation, and its JSON."""
    order = evaluation.nearest_reference.distance.argsort(kind="stable")
    count = len(order)
    ends = min(EXTREME, count // 2)
    groups = [
        ("Random samples", np.random.default_rng(0).permutation(count)[:RANDOM]),
        ("The worst: farthest from any reference shape", order[::-1][:ends]),
        ("The best: closest to a reference shape", order[:ends]),
    ]
    with progress.bar("pictures", sum(len(rows) for _, rows in groups)) as bar:

        def card(row: int) -> list[dict[str, Any]]:
            bar.advance()
            return _card(evaluation, row)

        drawn = [(group, [card(int(row)) for row in rows]) for group, rows in groups]
    return {
        "charts": _histograms(evaluation),
        "novel": bool(evaluation.novelty),
        "groups": drawn,
        "json": json.dumps(_without_shapes(evaluation.summary), indent=1),
    }


def _histograms(evaluation: Evaluation) -> list[str]:
    """Distances to the nearest shapes as SVG, empty where all are zero."""
    found = {
        f"CD to the nearest training shape, {report_text.FRAMES[name]}": [
            charts.Series(values=measured.reference.distance, name="test shapes", style="real"),
            charts.Series(values=measured.found.distance, name="generated", style="made"),
        ]
        for name, measured in evaluation.novelty.items()
    }
    distance, ceiling = evaluation.nearest_reference.distance, evaluation.ceiling_distance
    series = [charts.Series(values=distance, name="generated", style="made")]
    if ceiling is not None:
        series.insert(0, charts.Series(values=ceiling, name="training shapes", style="real"))
    found["CD to the nearest reference shape"] = series
    drawn = [(label, charts.histogram(series, label)) for label, series in found.items()]
    return ["" if figure is None else charts.svg(figure, label) for label, figure in drawn]


def _card(evaluation: Evaluation, row: int) -> list[dict[str, Any]]:
    """A sample and its nearest shapes."""
    generated, training = evaluation.generated, evaluation.training
    name = str(generated.category[row]) or str(generated.names[row])
    card = [_picture(generated, row, "generated", name)]
    measured = evaluation.novelty.get("proportion_free")
    if training is not None and measured is not None:
        found, again = measured.found, measured.replays
        near = int(found.index[row])
        relation = relate(generated.points[row], training.points[near], bool(found.mirrored[row]))
        lines = [f"CD {found.distance[row]:.3g}", *filter(None, str(relation).split(", "))]
        face = MIRROR if relation.mirrored else 1.0
        card.append(
            _picture(training, near, "training", "nearest training", lines, face)
            | {"replay": again is not None and bool(again[row])}
        )
    closest = evaluation.nearest_reference
    lines = [f"CD {closest.distance[row]:.3g}"]
    near = int(closest.index[row])
    return [*card, _picture(evaluation.reference, near, "reference", "nearest reference", lines)]


def _picture(
    clouds: CloudSet, row: int, kind: str, caption: str,
    lines: Sequence[str] = ("generated",), face: Any = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """A picture of a shape, scaled by ``face``, with its caption."""
    from pcgen import render
    from pcgen.render.image_files import webp_uri

    normals = None if clouds.normals is None else clouds.normals[row] * face
    image = render.cloud(clouds.points[row] * face, normals, size=PICTURE, colour=COLOURS[kind])
    return {
        "name": f"{caption} {clouds.names[row]}",
        "uri": webp_uri(image, QUALITY),
        "caption": caption,
        "lines": [line.replace(" : ", "\u00a0:\u00a0") for line in lines],
    }


def _without_shapes(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary without the nearest shape of each sample, which is for programs."""
    kept = {
        name: {key: value for key, value in part.items() if key != "nearest"}
        for name, part in (summary["novelty"] or {}).items()
        if isinstance(part, dict)
    }
    return summary | {"novelty": kept or None}
