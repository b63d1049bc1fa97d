"""The metrics of one evaluation, from tables of distances for every trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.distances import novelty
from pcgen.distances.annealed_emd import VARIANTS
from pcgen.distances.pairwise import DISTANCES, estimate_normals, pick_backend
from pcgen.distances.tables import Work, pair_matrix
from pcgen.errors import InputError
from pcgen.evaluate import set_metrics
from pcgen.evaluate.cloud_sets import CloudSet, ReferenceSets, Trials, ceiling_trials
from pcgen.evaluate.protocol import PROTOCOLS, Protocol

Table = NDArray[np.float64]
EMD_NAMES = (*VARIANTS, "emd_exact")
# Suffix of the novelty keys of each frame.
ENDINGS = {"box": "", "proportion_free": "_proportion_free"}
SMALL_CATEGORY = 10  # shapes; smaller categories have no row, as their metrics would be noise


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What to compute.

    Attributes:
        protocol: frame, split and points.
        seeds: number of sampling seeds; seed: of the random subsets.
        emd: the name of a variant, or None; it takes minutes to hours.
        secondary: compute density-aware CD and normal disagreement too.
        work: processes, cache and backend.
    """

    protocol: Protocol = field(default_factory=lambda: PROTOCOLS["box"])
    seeds: int = 3
    seed: int = 0
    emd: str | None = None
    secondary: bool = False
    work: Work = field(default_factory=Work)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"seeds must be at least 1, got {self.seeds}")
        if self.emd is not None and self.emd not in EMD_NAMES:
            raise InputError(
                f"the EMD variant must be one of {', '.join(EMD_NAMES)}, got {self.emd!r}; "
                "they are different metrics, so there is no default"
            )

    @property
    def distances(self) -> tuple[str, ...]:
        extra = ("dcd", "normals") if self.secondary else ()
        return ("cd", *extra, *([self.emd] if self.emd else []))


@dataclass(frozen=True, kw_only=True)
class DistanceTables:
    """The tables of one trial and distance, generated first."""

    generated: Table
    across: Table
    reference: Table

    def at(self, mine: NDArray[np.int64], theirs: NDArray[np.int64]) -> DistanceTables:
        return DistanceTables(
            generated=self.generated[np.ix_(mine, mine)],
            across=self.across[np.ix_(mine, theirs)],
            reference=self.reference[np.ix_(theirs, theirs)],
        )

    def metrics(self, name: str) -> dict[str, float]:
        """1-NNA, COV and MMD under the distance ``name``, by the keys of the evaluation JSON."""
        accuracy = set_metrics.nearest_neighbour_accuracy(
            generated=self.generated, generated_reference=self.across, reference=self.reference
        )
        return {
            f"nna_{name}": accuracy.overall,
            f"nna_{name}_reference": accuracy.reference,
            f"nna_{name}_generated": accuracy.generated,
            f"cov_{name}": set_metrics.coverage(generated_reference=self.across),
            f"mmd_{name}": set_metrics.minimum_matching_distance(generated_reference=self.across),
        }


class MetricComputer:
    """Computes the tables of distances of the settings, and metrics from them."""

    def __init__(self, settings: EvaluationSettings) -> None:
        self._settings = settings
        points, work = settings.protocol.points, settings.work
        self.backends = {
            name: pick_backend(name, points, "auto" if name.startswith("emd") else work.backend)
            for name in settings.distances
        }
        self.ceiling_distance: Table | None = None
        self._within: dict[
            tuple[str, bytes], Table
        ] = {}  # of the reference, used in several trials

    def trials(
        self, pool: CloudSet, reference: CloudSet, trials: Trials, what: str = "generated"
    ) -> tuple[list[dict[str, float]], dict[str, DistanceTables]]:
        """One row of metrics per trial, and the tables of the first trial."""
        scale = self._settings.protocol.scale_for_jsd(reference.points)
        rows: list[dict[str, float]] = []
        first: dict[str, DistanceTables] = {}
        for mine, theirs in zip(trials.generated, trials.reference, strict=True):
            one, other = pool.take(mine), reference.take(theirs)
            row: dict[str, float] = {}
            for name in self._settings.distances:
                a, b = _channels(one, name, scale), _channels(other, name, scale)
                key = (name, theirs.tobytes())
                if key not in self._within:
                    self._within[key] = self._table(b, None, name, "reference")
                tables = DistanceTables(
                    generated=self._table(a, None, name, what),
                    across=self._table(a, b, name, f"{what} × reference"),
                    reference=self._within[key],
                )
                first.setdefault(name, tables)
                row |= tables.metrics(name)
            row["jsd"] = set_metrics.jensen_shannon(one.points, other.points, scale=scale)
            row["symmetry_rate"] = set_metrics.symmetry_rate(one.points)
            row["symmetry_rate_reference"] = set_metrics.symmetry_rate(other.points)
            rows.append(row)
        return rows, first

    def ceiling(
        self, real: ReferenceSets, compared: Trials, keys: Sequence[str], test_rates: dict[str, Any]
    ) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Training shapes scored as generated, and the noise between real sets of that size.

        Args:
            compared: the trials of the generated shapes, for their size and reference shapes.
            keys: of the metrics of the generated shapes; test_rates: replay rates of test shapes.
        """
        if real.training is None:
            return None, None
        settings = self._settings
        trials = ceiling_trials(compared, len(real.training), settings.seeds, settings.seed)
        if trials.size < 2:
            return None, None
        rows, first = self.trials(real.training, real.reference, trials, "training")
        result: dict[str, Any] = mean_of(rows)
        # The novelty of a method that copies its training set.
        for ending in ENDINGS.values():
            known = "replay_rate" + ending in keys
            result["novelty_ratio" + ending] = 0.0
            result["replay_rate" + ending] = 1.0 if known else None
        result |= test_rates
        result["seeds"] = {"count": len(rows), "rule": trials.rule, **spread_of(rows)}
        tables = first["cd"]
        self.ceiling_distance = tables.across.min(1)
        noise = set_metrics.expected_noise(
            first=tables.generated,
            first_second=tables.across,
            second=tables.reference,
            generator=np.random.default_rng(settings.seed),
        )
        spread = {
            "nna_cd": noise.nna,
            "cov_cd": noise.coverage,
            "mmd_cd": noise.minimum_matching,
        }
        how = "training and reference shapes pooled and split at random 200 times"
        measured: dict[str, Any] = {"size": noise.size, "how": how}
        measured |= {name: {"mean": mean, "sd": sd} for name, (mean, sd) in spread.items()}
        return result, measured

    def _table(self, a: Any, b: Any, name: str, label: str) -> Table:
        """Distances (a, b), or within a if b is None.

        The annealed distances are not symmetric. As in PointFlow's public code, the reference shape
        comes first in pairs across the sets, and the neighbour in pairs within one.
        """
        work, label = self._settings.work, f"{name} {label}"
        if DISTANCES[name].symmetric:
            return pair_matrix(a, b, distance=name, work=work, label=label)
        first, second = (a, None) if b is None else (b, a)
        return pair_matrix(first, second, distance=name, work=work, label=label).T


class NoveltySearch:
    """Nearest training shapes of the generated and of the test shapes, in both frames.

    The frame called ``box`` is that of the protocol, for most the bounding box of each shape.
    """

    def __init__(self, real: ReferenceSets, work: Work) -> None:
        self.notes: list[str] = []
        self.test: dict[str, novelty.Novelty] = {}
        self._index: novelty.NoveltyIndex | None = None
        training, again = real.training, real.training_again
        if training is None:
            self.notes.append(
                "no training set is known, so there is neither ceiling nor novelty; pass the data "
                "set as --reference, or the training clouds as --training"
            )
            return
        self._index = novelty.NoveltyIndex(
            training.points,
            None if again is None else again.points,
            real.reference.points,
            frames={**novelty.FRAMES, "box": novelty.as_given},
            work=work,
        )
        self.test = self._index.of_reference()
        if again is None:
            self.notes.append(
                "the training shapes have too few points for two independent samplings, so there "
                "is no replay rate"
            )

    @property
    def test_rates(self) -> dict[str, float | None]:
        """The replay rate of the test shapes in each frame, by its key."""
        return {
            f"replay_rate_test{ending}": self.test[name].replay_rate if self.test else None
            for name, ending in ENDINGS.items()
        }

    def of(self, clouds: CloudSet) -> dict[str, novelty.Novelty]:
        return {} if self._index is None else self._index.of(clouds.points)


def novelty_metrics(found: dict[str, novelty.Novelty]) -> dict[str, float]:
    """The known novelty metrics of both frames, by key."""
    metrics = {}
    for name, measured in found.items():
        for key in ("novelty_ratio", "replay_rate"):
            value = getattr(measured, key)
            if value is not None:
                metrics[key + ENDINGS[name]] = value
    return metrics


def per_category(
    generated: CloudSet, reference: CloudSet, tables: dict[str, DistanceTables]
) -> dict[str, Any]:
    """Metrics within each shared category, from the tables of the first trial."""
    rows: dict[str, Any] = {}
    shared = sorted(set(generated.categories) & set(reference.categories))
    for name in shared if len(shared) > 1 else ():
        mine = np.flatnonzero(generated.category == name)
        theirs = np.flatnonzero(reference.category == name)
        size = min(len(mine), len(theirs))
        row: dict[str, Any] = {"generated": len(mine), "reference": len(theirs), "size": size}
        if size >= SMALL_CATEGORY:
            for distance, table in tables.items():
                row |= table.at(mine[:size], theirs[:size]).metrics(distance)
        rows[name] = row
    return rows


def mean_of(rows: Sequence[dict[str, float]]) -> dict[str, float | None]:
    """The mean of every metric, and of novelty, None if unknown."""
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    keys = [name + end for end in ENDINGS.values() for name in ("novelty_ratio", "replay_rate")]
    return {**means, **{key: means.get(key) for key in keys}}


def spread_of(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Mean, sd (None for a single seed) and values of every metric."""
    spread = {}
    for key in rows[0]:
        values = [row[key] for row in rows]
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
        spread[key] = {"mean": float(np.mean(values)), "sd": sd, "values": values}
    return spread


def standard_error(spread: dict[str, Any]) -> float | None:
    """The standard error of the mean of an entry of :func:`spread_of`; None for one seed."""
    if spread["sd"] is None:
        return None
    return float(spread["sd"] / math.sqrt(len(spread["values"])))


def _channels(clouds: CloudSet, distance: str, scale: float) -> NDArray[np.float32]:
    """The channels that a distance needs: coordinates, perhaps with normals."""
    if distance == "dcd":  # its α is for shapes of about unit size, like the grid of JSD
        return clouds.points * np.float32(scale)
    if DISTANCES[distance].channels == 3:
        return clouds.points
    normals = clouds.normals if clouds.normals is not None else estimate_normals(clouds.points)
    return np.concatenate([clouds.points, normals], 2)
