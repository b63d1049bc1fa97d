"""Evaluate generated clouds against real ones.

:func:`evaluate` computes every metric once per trial (a sampling seed), the same metrics for
training shapes scored as if generated (the ceiling), their noise at this set size, and the novelty.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen import __version__
from pcgen.distances.novelty import Nearest, Novelty
from pcgen.errors import InputError
from pcgen.evaluate.checks import sanity_warnings
from pcgen.evaluate.cloud_sets import CloudSet, ReferenceSets, Trials, pair_trials
from pcgen.evaluate.metrics import (
    ENDINGS,
    EvaluationSettings,
    MetricComputer,
    NoveltySearch,
    mean_of,
    novelty_metrics,
    per_category,
    spread_of,
)
from pcgen.evaluate.protocol import Protocol

Table = NDArray[np.float64]
# The sd of 1-NNA between two sets of one distribution is this over the square root of the set size:
# 2 % at 375 shapes, 1.5 % at 660, 4 % at 100. Used if there is no training set to measure it on.
NNA_SD = 0.39
NAMED = 8  # categories in a message


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The metrics, and the shapes that a report shows.

    Attributes:
        summary: the evaluation JSON, plain data.
        generated, reference: the shapes of the first trial.
        nearest_reference: the nearest reference shape of each generated shape.
        novelty: of the generated shapes by frame; empty without a training set.
        training: the training set, or None.
        ceiling_distance: from training shapes scored as generated to the nearest reference.
    """

    summary: dict[str, Any]
    generated: CloudSet
    reference: CloudSet
    nearest_reference: Nearest
    novelty: dict[str, Novelty]
    training: CloudSet | None
    ceiling_distance: Table | None = None


def evaluate(
    generated: Sequence[CloudSet], real: ReferenceSets, settings: EvaluationSettings | None = None
) -> Evaluation:
    """Evaluate generated shapes.

    Args:
        generated: one set, of which subsets are drawn, or one set per sampling seed; in the
            protocol's frame, like the real shapes.
    Raises:
        InputError: fewer than two shapes, or clouds with another number of points than the
            protocol.
    """
    settings = settings or EvaluationSettings()
    pool = _joined(generated)
    real, notes, warned = _common_categories(pool, real)
    for clouds in (pool, real.reference):
        _check_size(clouds, settings.protocol)
    sizes = [len(clouds) for clouds in generated]
    trials = pair_trials(sizes, len(real.reference), settings.seeds, settings.seed)
    if trials.size < 2:
        raise InputError(
            f"the metrics need at least 2 shapes in both sets, got {len(pool)} generated and "
            f"{len(real.reference)} reference shapes; an array (P, 3) is one cloud, a set of them "
            "is (N, P, 3)"
        )
    measured = MetricComputer(settings)
    rows, first = measured.trials(pool, real.reference, trials)
    mine, theirs = (chosen[0] for chosen in (trials.generated, trials.reference))
    shown, compared = pool.take(mine), real.reference.take(theirs)
    search = NoveltySearch(real, settings.work)
    warnings = [*warned, *pool.remarks, *real.reference.remarks]
    warnings += sanity_warnings(
        shown, compared, first["cd"].across, search.test_rates["replay_rate_test"]
    )
    near = [search.of(pool.take(chosen)) for chosen in trials.generated]
    for row, found in zip(rows, near, strict=True):
        row.update(novelty_metrics(found))
    summary: dict[str, Any] = {"samples": pool.source, "reference": real.path}
    summary |= mean_of(rows)
    summary |= search.test_rates
    summary["seeds"] = {"count": len(rows), "rule": trials.rule, **spread_of(rows)}
    ceiling, noise = measured.ceiling(real, trials, list(rows[0]), search.test_rates)
    summary["noise"] = noise or _rule_of_thumb(trials.size)
    summary["ceiling"] = ceiling
    summary["novelty"] = _novelty(summary, near[0], shown, real.training, settings.protocol)
    summary["categories"] = per_category(shown, compared, first)
    summary["reconstruction"] = None
    summary["protocol"] = _spelled_out(settings, real, trials, measured.backends)
    summary["warnings"] = warnings
    summary["notes"] = [*real.notes, *notes, *search.notes]
    summary["version"] = __version__
    across = first["cd"].across
    return Evaluation(
        summary=summary,
        generated=shown,
        reference=compared,
        nearest_reference=Nearest(index=across.argmin(1), distance=across.min(1)),
        novelty=near[0],
        training=real.training,
        ceiling_distance=measured.ceiling_distance,
    )


def _joined(sets: Sequence[CloudSet]) -> CloudSet:
    if not sets:
        raise InputError("there are no generated shapes")
    if len(sets) == 1:
        return sets[0]
    normals = [clouds.normals for clouds in sets]
    known = [part for part in normals if part is not None]
    return CloudSet(
        points=np.concatenate([clouds.points for clouds in sets]),
        names=np.concatenate([clouds.names for clouds in sets]),
        category=np.concatenate([clouds.category for clouds in sets]),
        normals=np.concatenate(known) if len(known) == len(normals) else None,
        source=sets[0].source,
        remarks=sets[0].remarks,
    )


def _common_categories(
    pool: CloudSet, real: ReferenceSets
) -> tuple[ReferenceSets, list[str], list[str]]:
    """Compare samples of one category with real shapes of that category, others with all.

    Samples of several categories are compared with all real shapes, so that a generator that misses
    a category scores worse.

    Returns:
        the real shapes to compare with, notes, and warnings.
    """
    mine, theirs = set(pool.categories), set(real.reference.categories)
    if not mine and len(theirs) > 1:
        warning = (
            f"the samples name no category and are compared with all of the reference "
            f"({_listed(theirs)}); if they are of some of these only, name them with --category"
        )
        return real, [], [warning]
    if not mine or not theirs or mine == theirs or "" in pool.category:
        return real, [], []
    shared = sorted(mine & theirs)
    if not shared:
        warning = (
            f"the samples are of category {_listed(mine)}, the reference of {_listed(theirs)}: "
            "they share no name, so all are compared with all"
        )
        return real, [], [warning]

    def only(clouds: CloudSet | None) -> CloudSet | None:
        if clouds is None:
            return None
        return clouds.take(np.flatnonzero(np.isin(clouds.category, shared)))

    reference = only(real.reference)
    assert reference is not None
    note = (
        f"the samples are of {', '.join(sorted(mine))}; only real shapes of "
        f"{', '.join(shared)} are used"
    )
    if len(mine) > 1:
        lacking = sorted(theirs - mine)
        warned = [
            f"the reference also holds {_listed(lacking)}, of which there is no sample; if that is "
            "intended, restrict it with --category"
        ]
        return real, [], warned if lacking else []
    kept = replace(
        real,
        reference=reference,
        training=only(real.training),
        training_again=only(real.training_again),
    )
    return kept, [note], []


def _listed(names: Collection[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(sorted(names)[:NAMED]) + more


def _check_size(clouds: CloudSet, protocol: Protocol) -> None:
    if clouds.points.shape[1] != protocol.points:
        raise InputError(
            f"{clouds.source}: clouds have {clouds.points.shape[1]} points, protocol "
            f"{protocol.name} compares {protocol.points}"
        )


def _rule_of_thumb(size: int) -> dict[str, Any]:
    how = "0.39 / sqrt(size), from published set sizes; there is no training set to measure it on"
    return {"size": size, "how": how, "nna_cd": {"mean": 0.5, "sd": NNA_SD / size**0.5}}


def _frame_text(protocol: Protocol) -> str:
    frames = {
        "own": "the shapes' original units",
        "box": f"each cloud's own box, longest side {protocol.side:g}" if protocol.side else "",
        "stored": "as the clouds came",
    }
    return frames[protocol.frame]


def _novelty(
    summary: dict[str, Any],
    first: dict[str, Novelty],
    shown: CloudSet,
    training: CloudSet | None,
    protocol: Protocol,
) -> dict[str, Any] | None:
    """The novelty in both frames, with the nearest training shape of each sample of trial 1."""
    if training is None or not first:
        return None
    frames = {
        "box": _frame_text(protocol),
        "proportion_free": "each axis of each cloud stretched to the full box, axes under 0.1 of "
        "the longest as if they were that long",
    }
    rows = {}
    for name, measured in first.items():
        found, ending = measured.found, ENDINGS[name]
        again = measured.replays
        rows[name] = {
            "frame": frames[name],
            "ratio": summary["novelty_ratio" + ending],
            "replay_rate": summary["replay_rate" + ending],
            "replay_rate_test": summary["replay_rate_test" + ending],
            "nearest": [
                {
                    "sample": str(shown.names[k]),
                    "training": str(training.names[row]),
                    "mirrored": bool(found.mirrored[k]),
                    "distance": float(found.distance[k]),
                    "replay": None if again is None else bool(again[k]),
                }
                for k, row in enumerate(found.index)
            ],
        }
    return {"mirror_images": "in x, of all training shapes", **rows}


def _spelled_out(
    settings: EvaluationSettings, real: ReferenceSets, trials: Trials, backends: dict[str, str]
) -> dict[str, Any]:
    protocol = settings.protocol
    training = real.training
    return {
        "name": protocol.name,
        "based_on": protocol.based_on,
        "points": protocol.points,
        "normalisation": _frame_text(protocol),
        "reference_points": real.reference_points,
        "split": protocol.split,
        "sizes": {
            "compared": trials.size,
            "reference": len(real.reference),
            "training": None if training is None else len(training),
        },
        "categories": list(real.reference.categories),
        "emd": settings.emd,
        "jsd_scale": protocol.scale_for_jsd(real.reference.points),
        "distances": backends,
        "seed": settings.seed,
    }
