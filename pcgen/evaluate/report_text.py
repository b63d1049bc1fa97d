"""Present metrics as text: labels, units, a plain table, and a verdict in sentences."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pcgen.evaluate.metrics import ENDINGS

Summary = dict[str, Any]
SPLIT = 0.2  # difference of the two halves of 1-NNA above which the average is misleading
NEW_RATIO = 0.9
FAR_RATIO = 1.25  # novelty ratio above which large distances indicate flaws, not novelty


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric for display: its label, its best value, and its format."""

    key: str
    label: str
    best: str
    percent: bool = True

    def text(self, value: float | None, like: float | None = None) -> str:
        """The formatted value; an sd gets as many decimals as the mean it is ``like``."""
        if value is None:
            return "–"
        if self.percent:
            return f"{100 * value:.1f} %"
        size = abs(value if like is None else like)
        places = 2 if size == 0 else max(2, 2 - math.floor(math.log10(size)))
        return f"{value:.{min(places, 8)}f}"


DISTANCE_LABELS = {
    "cd": "CD",
    "dcd": "density-aware CD",
    "normals": "normals",
    "emd_pointflow": "EMD, PointFlow's",
    "emd_pytorchemd": "EMD, PyTorchEMD's",
    "emd_exact": "EMD, exact",
}
FRAMES = {"box": "in the box", "proportion_free": "proportion-free"}
NOVELTY = tuple(
    metric
    for name, where in FRAMES.items()
    for metric in (
        Metric(
            key="novelty_ratio" + ENDINGS[name],
            label=f"Novelty ratio, {where}",
            best="≥ 0.9",
            percent=False,
        ),
        Metric(
            key="replay_rate" + ENDINGS[name], label=f"Replay rate, {where}", best="≤ test shapes'"
        ),
    )
)


def metrics_of(summary: Summary) -> list[Metric]:
    """The metrics of a summary, in reading order."""
    found = []
    for name, label in DISTANCE_LABELS.items():
        if f"nna_{name}" not in summary:
            continue
        found += [
            Metric(key=f"nna_{name}", label=f"1-NNA, {label}", best="50 %"),
            Metric(key=f"nna_{name}_generated", label="   on generated shapes", best="50 %"),
            Metric(key=f"nna_{name}_reference", label="   on reference shapes", best="50 %"),
            Metric(key=f"cov_{name}", label=f"COV, {label}", best="the ceiling"),
            Metric(key=f"mmd_{name}", label=f"MMD, {label}", best="the ceiling", percent=False),
        ]
    found.append(Metric(key="jsd", label="JSD", best="the ceiling", percent=False))
    symmetry = Metric(key="symmetry_rate", label="Symmetric shapes", best="the test shapes'")
    return [*found, symmetry, *NOVELTY]


def cell(metric: Metric, summary: Summary | None) -> str:
    """``52.1 ± 1.8 %``, or a dash if there is no value."""
    if summary is None or summary.get(metric.key) is None:
        return "–"
    spread = summary.get("seeds", {}).get(metric.key, {}).get("sd")
    return _spread(metric, summary[metric.key], spread)


def _spread(metric: Metric, mean: float, sd: float | None) -> str:
    text = metric.text(mean)
    if sd is None:
        return text
    unit = " %" if metric.percent else ""
    return f"{text.removesuffix(unit)} ± {metric.text(sd, mean).removesuffix(unit)}{unit}"


def noise_cell(metric: Metric, summary: Summary) -> str:
    """The value between two real sets of this size, by chance alone."""
    noise = (summary.get("noise") or {}).get(metric.key)
    if not noise:
        return "–"
    return _spread(metric, noise["mean"], noise["sd"])


def test_cell(metric: Metric, summary: Summary) -> str:
    """What the real test shapes have, or the noise of other metrics."""
    if metric.key == "symmetry_rate":
        return metric.text(summary.get("symmetry_rate_reference"))
    if metric.key.startswith("replay_rate"):
        return metric.text(summary.get(metric.key.replace("rate", "rate_test", 1)))
    if metric.key.startswith("novelty_ratio") and summary.get(metric.key) is not None:
        return metric.text(1.0)
    return noise_cell(metric, summary)


def real_cells(metric: Metric, summary: Summary) -> tuple[str, str]:
    """The ceiling, and the value for real sets."""
    return cell(metric, summary["ceiling"]), test_cell(metric, summary)


def verdict(summary: Summary) -> list[str]:
    """An interpretation of the metrics in sentences."""
    noise = summary["noise"]["nna_cd"]
    apart = (summary["nna_cd"] - noise["mean"]) / noise["sd"] if noise["sd"] else 0.0
    value = f"1-NNA (CD) is {100 * summary['nna_cd']:.1f} %"
    real = f"two real sets of this size have {100 * noise['mean']:.1f} ± {100 * noise['sd']:.1f} %"
    if apart > 2:
        sentences = [f"{value}; {real}. Generated shapes can be distinguished from real ones."]
    elif apart < -2:
        sentences = [
            f"{value}; {real}. Generated shapes lie closer to reference shapes than real ones do."
        ]
    else:
        sentences = [f"{value}; {real}. This metric cannot distinguish them from real shapes."]
    mine, theirs = summary["nna_cd_generated"], summary["nna_cd_reference"]
    if abs(mine - theirs) > SPLIT:
        how = "like each other than like" if mine > theirs else "scattered than"
        sentences.append(
            f"The average hides a split: {100 * mine:.0f} % on generated and {100 * theirs:.0f} % "
            f"on reference shapes. Generated shapes are more {how} real ones."
        )
    return [*sentences, *_novelty(summary, apart)]


def _novelty(summary: Summary, apart: float) -> list[str]:
    """Sentences about novelty in both frames.

    Args:
        apart: how far 1-NNA is above that of two real sets, in standard deviations.
    """
    keys = ("novelty_ratio", "replay_rate", "replay_rate_test")
    known = {name: [summary.get(key + ending) for key in keys] for name, ending in ENDINGS.items()}
    ratios = {name: row[0] for name, row in known.items() if row[0] is not None}
    if not ratios:
        return ["No training set is known, so novelty is not measured."]
    values = {name: f"{FRAMES[name]} novelty ratio {ratio:.2f}" for name, ratio in ratios.items()}
    for name, (_, rate, test) in known.items():
        if name in values and rate is not None and test is not None:
            values[name] += f", {100 * rate:.1f} % replays (test shapes {100 * test:.1f} %)"
    metrics = "; ".join(values.values())

    def new(name: str) -> bool:
        _, rate, test = known[name]
        return ratios[name] >= NEW_RATIO and (rate is None or test is None or rate <= test)

    if all(map(new, ratios)):
        if apart > 2 and max(ratios.values()) > FAR_RATIO:
            return [
                "No sign of replays, but farther from the training set than real shapes are, which "
                f"indicates flaws rather than novelty ({metrics})."
            ]
        return [f"As novel as real test shapes: {metrics}."]
    sentences = [f"Less novel than real test shapes: {metrics}."]
    if set(FRAMES) <= set(ratios) and new("box"):
        sentences.append("Many shapes that are novel in the box are stretched training shapes.")
    return sentences


def labels(summaries: Sequence[Summary]) -> list[str]:
    """A label per run: the last parts of its path, as many as make the labels unique."""
    paths = [summary["samples"].rstrip("/").split("/") for summary in summaries]
    for depth in range(1, max(map(len, paths)) + 1):
        found = ["/".join(path[-depth:]) for path in paths]
        if len(set(found)) == len(found):
            return found
    return [f"{number}: {path[-1]}" for number, path in enumerate(paths, 1)]


def ceilings(summaries: Sequence[Summary]) -> list[tuple[str, Summary]]:
    """The distinct ceilings among some runs: a label (empty if there is only one), and a run.

    Runs of other categories or with fewer shapes were compared with other real shapes.
    """
    found: dict[str, tuple[str, Summary]] = {}
    for label, summary in zip(labels(summaries), summaries, strict=True):
        keys = ("ceiling", "noise", *(f"replay_rate_test{end}" for end in ENDINGS.values()))
        real = [summary.get(key) for key in keys]
        found.setdefault(json.dumps(real), (f" for {label}", summary))
    return list(found.values()) if len(found) > 1 else [("", summaries[0])]


def table(summaries: Sequence[Summary]) -> str:
    """A plain table for a terminal, one column per run, then the ceiling and chance."""
    first = summaries[0]
    metrics, real_sets = metrics_of(first), ceilings(summaries)
    heads = ["", *labels(summaries)]
    heads += [f"{what}{whose}" for whose, _ in real_sets for what in ("ceiling", "real sets")]
    rows = [
        [
            metric.label,
            *(cell(metric, summary) for summary in summaries),
            *(text for _, run in real_sets for text in real_cells(metric, run)),
        ]
        for metric in metrics
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in [heads, *rows]
    ]
    for label, summary in zip(labels(summaries), summaries, strict=True):
        name = f"{label}: " if len(summaries) > 1 else ""
        lines += ["", *(name + sentence for sentence in verdict(summary))]
        lines += [f"warning: {text}" for text in summary["warnings"]]
        lines += _reconstruction(summary["reconstruction"])
        lines.append(f"seeds: {summary['seeds']['rule']}")
    lines.append("")
    lines += [f"note: {text}" for text in all_notes(summaries)]
    lines.append(f"protocol {protocol_text(first)}, {sizes_text(summaries)} shapes per set")
    return "\n".join(lines)


def all_notes(summaries: Sequence[Summary]) -> list[str]:
    """The notes of all runs, without duplicates."""
    return list(dict.fromkeys(note for summary in summaries for note in summary["notes"]))


def sizes_text(summaries: Sequence[Summary]) -> str:
    """The compared set size: one number, or one per run."""
    sizes = [str(summary["protocol"]["sizes"]["compared"]) for summary in summaries]
    return " and ".join(dict.fromkeys(sizes))


def protocol_text(summary: Summary) -> str:
    """Name, frame, points, and EMD variant if there is one."""
    protocol = summary["protocol"]
    name = protocol["name"]
    if protocol["based_on"]:
        name = f"{name} ({protocol['based_on']} changed, split {protocol['split']!r})"
    emd = f", {protocol['emd']}" if protocol["emd"] else ""
    return f"{name}: {protocol['normalisation']}, {protocol['points']} points{emd}"


def _reconstruction(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    score = found["f_score"]
    return [
        f"autoencoder, {found['shapes']} shapes: CD {found['cd']['mean']:.4g} (two draws "
        f"{found['cd']['floor']:.4g}), F-score at 1 % {score['mean']:.3f} ({score['floor']:.3f}), "
        f"holes {100 * found['holes']:.1f} %, outliers {100 * found['outliers']:.1f} % (real 1 %)"
    ]


def last_part(path: str) -> str:
    """The last part of a path."""
    return path.rstrip("/").rpartition("/")[2] or path
