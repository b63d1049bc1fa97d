"""Write the HTML report: one file with embedded pictures, without scripts or network access.

It shows the metrics and random samples, each beside its nearest training shape (proportion-free)
and its nearest reference shape, then the farthest and the closest samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from pcgen import progress
from pcgen.distances.novelty import MIRROR
from pcgen.evaluate import report_text
from pcgen.evaluate.charts import AccuracyMark, Series, accuracy_chart, histogram
from pcgen.evaluate.cloud_sets import CloudSet
from pcgen.evaluate.evaluation import Evaluation
from pcgen.evaluate.html_style import STYLE
from pcgen.evaluate.neighbours import relate
from pcgen.files import atomic_file

RANDOM, EXTREME = 10, 4  # samples shown: random ones, and farthest and closest ones
PICTURE = 208  # pixels; shown at half that size or more
QUALITY = 82
REPLAY = " (replay)"
Summaries = Sequence[dict[str, Any]]
COLOURS = {"generated": "generated", "training": "training", "reference": "mesh"}


def write_page(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """Write one report on one or more evaluations against the same reference."""
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(_page(evaluations)), encoding="utf-8")


def _page(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    summaries = [evaluation.summary for evaluation in evaluations]
    first = summaries[0]
    names = report_text.labels(summaries)
    title = f"Evaluation of {' and '.join(names)}"
    yield "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
    yield "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    yield f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
    yield f"<header><p class='kicker'>Evaluation</p><h1>{escape(title)}</h1>"
    yield (
        f"<p>{report_text.sizes_text(summaries)} generated shapes against as many real ones of "
        f"<b>{escape(report_text.last_part(first['reference']))}</b>. Protocol "
        f"{escape(report_text.protocol_text(first))}.</p></header>"
    )
    for label, summary in zip(names, summaries, strict=True):
        name = f"<b>{escape(label)}.</b> " if len(summaries) > 1 else ""
        yield f"<p class='verdict'>{name}{escape(' '.join(report_text.verdict(summary)))}</p>"
        for text in summary["warnings"]:
            yield f"<p class='warning'>{name}{escape(text)}</p>"
    yield from _figures(summaries, names)
    yield from _categories(summaries, names)
    yield from _reconstructions(summaries, names)
    for label, evaluation in zip(names, evaluations, strict=True):
        yield from _shapes(evaluation, label if len(names) > 1 else "Shapes")
    yield from _method(summaries, names)
    yield "</main></body></html>"


def metrics_page(evaluations: Sequence[Evaluation]) -> str:
    """A page with verdict, chart and table, without pictures."""
    summaries = [evaluation.summary for evaluation in evaluations]
    names = report_text.labels(summaries)
    parts = ["<!doctype html><html lang='en'><head><meta charset='utf-8'>"]
    parts.append(f"<style>{STYLE} main {{ padding: 4px 20px }}</style></head><body><main>")
    parts += [
        f"<p class='verdict'>{escape(' '.join(report_text.verdict(summary)))}</p>"
        for summary in summaries
    ]
    parts += _figures(summaries, names)
    return "\n".join([*parts, "</main></body></html>"])


def _figures(summaries: Summaries, names: Sequence[str]) -> Iterator[str]:
    first = summaries[0]
    yield "<section><h2>Metrics</h2>"
    yield _line(summaries, names)
    yield "<div class='wide'><table><thead><tr><th></th>"
    for label in names:
        yield f"<th>{escape(label)}</th>"
    yards = report_text.ceilings(summaries)
    for whose, _ in yards:
        yield f"<th>ceiling{escape(whose)}</th><th>real sets{escape(whose)}</th>"
    yield "<th>best</th></tr></thead><tbody>"
    for metric in report_text.metrics_of(first):
        style = " class='part'" if metric.label.startswith(" ") else ""
        yield f"<tr{style}><th>{escape(metric.label.strip())}</th>"
        for summary in summaries:
            yield f"<td>{_number(report_text.cell(metric, summary))}</td>"
        for _, yard in yards:
            for text in report_text.real_cells(metric, yard):
                yield f"<td class='yard'>{_number(text)}</td>"
        yield f"<td class='best'>{escape(metric.best)}</td></tr>"
    yield "</tbody></table></div>"
    rules = dict.fromkeys(summary["seeds"]["rule"] for summary in summaries)
    yield (
        "<p class='small'>Mean ± sd over sampling seeds "
        f"({escape('; '.join(rules))}). <b>Ceiling</b>: real training shapes scored as if they "
        "were generated. <b>Real sets</b>: values between two sets of real shapes of this size, by "
        "chance alone; for novelty, the real test shapes. Perfect coverage is 50 to 60 %, not "
        "100.</p>"
        "</section>"
    )


def _line(summaries: Summaries, names: Sequence[str]) -> str:
    """The chart of the 1-NNA of every run and of the ceiling."""
    runs = [("made", label, summary) for label, summary in zip(names, summaries, strict=True)]
    yards = report_text.ceilings(summaries)
    runs += [("real", f"ceiling{whose}", yard["ceiling"]) for whose, yard in yards]
    marks = [
        AccuracyMark(
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
    noise = max((yard["noise"]["nna_cd"] for _, yard in yards), key=lambda found: found["sd"])
    return accuracy_chart(marks, (noise["mean"], noise["sd"]))


def _number(text: str) -> str:
    """A metric with its sd in small type."""
    mean, sign, spread = escape(text).partition(" ± ")
    return f"{mean} <small>± {spread}</small>" if sign else mean


def _categories(summaries: Summaries, names: Sequence[str]) -> Iterator[str]:
    found = sorted({name for summary in summaries for name in summary["categories"]})
    if not found:
        return
    yield "<section><h2>By category</h2><div class='wide'><table><thead><tr><th></th>"
    if len(names) > 1:
        yield "".join(f"<th colspan='4'>{escape(label)}</th>" for label in names)
        yield "</tr><tr><th></th>"
    yield "<th>generated / real</th><th>1-NNA</th><th>COV</th><th>MMD</th>" * len(names)
    yield "</tr></thead><tbody>"
    for name in found:
        yield f"<tr><th>{escape(name)}</th>"
        for summary in summaries:
            row = summary["categories"].get(name, {})
            yield f"<td>{row.get('generated', 0)} / {row.get('reference', 0)}</td>"
            for key in ("nna_cd", "cov_cd"):
                yield f"<td>{100 * row[key]:.0f} %</td>" if key in row else "<td>–</td>"
            yield f"<td>{row['mmd_cd']:.4f}</td>" if "mmd_cd" in row else "<td>–</td>"
        yield "</tr>"
    yield (
        "</tbody></table></div><p class='small'>From the first seed, within each category, with "
        "equal numbers of both. Small sets are noisy: the sd of 1-NNA is about 39 % over the "
        "square root of the number of shapes. A dash means fewer than ten shapes.</p></section>"
    )


def _reconstructions(summaries: Summaries, names: Sequence[str]) -> Iterator[str]:
    pairs = zip(names, summaries, strict=True)
    found = [(label, s["reconstruction"]) for label, s in pairs if s["reconstruction"]]
    if not found:
        return
    yield "<section><h2>Autoencoder</h2><div class='wide'><table><thead><tr><th></th>"
    yield "<th>CD</th><th>two draws</th><th>F-score at 1 %</th><th>two draws</th>"
    yield "<th>holes</th><th>outliers</th></tr></thead><tbody>"
    for label, row in found:
        score = row["f_score"]
        yield f"<tr><th>{escape(label)}</th><td>{row['cd']['mean']:.4g}</td>"
        yield f"<td>{row['cd']['floor']:.4g}</td><td>{score['mean']:.3f}</td>"
        yield f"<td>{score['floor']:.3f}</td><td>{100 * row['holes']:.1f} %</td>"
        yield f"<td>{100 * row['outliers']:.1f} %</td></tr>"
    yield (
        "</tbody></table></div><p class='small'>Reconstructed test shapes against another sampling "
        "of their surface. “Two draws” compares two real samplings, which is the floor. Holes and "
        "outliers are points farther away than 99 % of a real cloud's; real clouds have 1 %."
        "</p></section>"
    )


def _shapes(evaluation: Evaluation, heading: str) -> Iterator[str]:
    yield f"<section><h2>{escape(heading)}</h2>"
    yield from _histograms(evaluation)
    distance = evaluation.nearest_reference.distance
    order = distance.argsort(kind="stable")
    count = len(order)
    chance = np.random.default_rng(0).permutation(count)[:RANDOM]
    ends = min(EXTREME, count // 2)
    groups = [
        ("Random samples", chance),
        ("The worst: farthest from any reference shape", order[::-1][:ends]),
        ("The best: closest to a reference shape", order[:ends]),
    ]
    if evaluation.newness:
        yield (
            "<p class='small'>Beside each sample is the training shape that is nearest after both "
            "are stretched to the full box along each axis, including mirror images. It is drawn "
            "in its own proportions, and mirrored if its mirror image is nearer. “Stretched” gives "
            "the factors along x, y and z, relative to the largest, that lead to the proportions "
            "of the sample.</p>"
        )
    total = sum(len(rows) for _, rows in groups)
    with progress.bar("pictures", total) as bar:
        for group, rows in groups:
            yield f"<h3>{group}</h3><div class='cards'>"
            for row in rows:
                yield _card(evaluation, int(row))
                bar.advance()
            yield "</div>"
    yield "</section>"


def _histograms(evaluation: Evaluation) -> Iterator[str]:
    yield "<div class='charts'>"
    for name, newness in evaluation.newness.items():
        series = [
            Series(values=newness.real.distance, name="test shapes", style="real"),
            Series(values=newness.found.distance, name="generated", style="made"),
        ]
        yield histogram(series, f"CD to the nearest training shape, {report_text.FRAMES[name]}")
    series = [Series(values=evaluation.nearest_reference.distance, name="generated", style="made")]
    if evaluation.ceiling_distance is not None:
        real = Series(values=evaluation.ceiling_distance, name="training shapes", style="real")
        series.insert(0, real)
    yield histogram(series, "CD to the nearest reference shape")
    yield "</div>"


def _card(evaluation: Evaluation, row: int) -> str:
    generated, training = evaluation.generated, evaluation.training
    name = str(generated.category[row]) or str(generated.names[row])
    parts = [_picture(generated, row, "generated", name, "generated")]
    newness = evaluation.newness.get("proportion_free")
    if training is not None and newness is not None:
        found, again = newness.found, newness.replays
        near = int(found.index[row])
        relation = relate(generated.points[row], training.points[near], bool(found.mirrored[row]))
        text = f"CD {found.distance[row]:.3g}" + (f", {relation}" if str(relation) else "")
        text += REPLAY if again is not None and again[row] else ""
        parts.append(
            _picture(
                training, near, "training", "nearest training", text, mirrored=relation.mirrored
            )
        )
    closest = evaluation.nearest_reference
    text, met = f"CD {closest.distance[row]:.3g}", int(closest.index[row])
    parts.append(_picture(evaluation.reference, met, "reference", "nearest reference", text))
    return f"<div class='card n{len(parts)}'>{''.join(parts)}</div>"


def _picture(
    clouds: CloudSet, row: int, kind: str, caption: str, text: str, *, mirrored: bool = False
) -> str:
    from pcgen import render
    from pcgen.render.image_files import webp_uri

    face = MIRROR if mirrored else np.float32(1)
    normals = None if clouds.normals is None else clouds.normals[row] * face
    image = render.cloud(clouds.points[row] * face, normals, size=PICTURE, colour=COLOURS[kind])
    more = f"<br>{escape(text).replace(escape(REPLAY), '<br><b>replay</b>')}"
    more = more.replace(", ", "<br>").replace(" : ", "&nbsp;:&nbsp;")  # lines break between words
    alt = escape(f"{caption} {clouds.names[row]}", quote=True)
    return (
        f"<figure><img width='{PICTURE}' height='{PICTURE}' alt='{alt}' title='{alt}' "
        f"src='{webp_uri(image, QUALITY)}'><figcaption>{escape(caption)}{more}</figcaption>"
        "</figure>"
    )


def _without_shapes(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary without the nearest shape of each sample, which is for programs."""
    kept = {
        name: {key: value for key, value in part.items() if key != "nearest"}
        for name, part in (summary["novelty"] or {}).items()
        if isinstance(part, dict)
    }
    return summary | {"novelty": kept or None}


def _method(summaries: Summaries, names: Sequence[str]) -> Iterator[str]:
    yield "<section><h2>Methods</h2><ul class='small'>"
    for note in report_text.all_notes(summaries):
        yield f"<li>{escape(note)}</li>"
    for whose, yard in report_text.ceilings(summaries):
        noise = yard["noise"]
        yield f"<li>noise{escape(whose)} at {noise['size']} shapes a set: {escape(noise['how'])}"
        yield "</li>"
    yield "</ul>"
    for label, summary in zip(names, summaries, strict=True):
        text = json.dumps(_without_shapes(summary), indent=1)
        yield f"<details><summary>{escape(label)}: all metrics as JSON</summary>"
        yield f"<pre>{escape(text)}</pre></details>"
    yield f"<p class='small'>pcgen {escape(summaries[0]['version'])}</p></section>"
