"""Evaluation of shapes: metrics with errors, and a report."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from pcgen.api.data import Data
from pcgen.api.model import Model
from pcgen.api.shapes import Shape, Shapes, is_one_set, read_shapes
from pcgen.errors import InputError
from pcgen.evaluate import report_text
from pcgen.evaluate.evaluation import Evaluation
from pcgen.evaluate.metrics import ENDINGS, standard_error
from pcgen.files import write_json
from pcgen.progress import shown
from pcgen.shapes.samples import Samples

BOOTSTRAPS = 400


@dataclass(frozen=True)
class Figure:
    """A number with its standard error; converts to float.

    Attributes:
        value: the number. error: its standard error, None if unknown.
        how: how the error was estimated.
    """

    value: float
    error: float | None
    how: str = ""

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        return f"{self.value:.3g}" if self.error is None else f"{self.value:.3g} ± {self.error:.2g}"

    def __format__(self, form: str) -> str:
        return format(self.value, form) if form else repr(self)


class _Report(ABC):
    """Saving and display of :class:`Score` and :class:`Comparison`."""

    @abstractmethod
    def _evaluations(self) -> list[Evaluation]: ...

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """The evaluation JSON, as ``pcgen evaluate --json`` prints it."""

    def save(self, path: Path | str) -> Path:
        """Write the evaluation as JSON; returns its path."""
        write_json(path, self.summary())
        return Path(path)

    def save_html(self, path: Path | str, *, progress: bool = False) -> Path:
        """Write an HTML report with embedded pictures; returns its path."""
        from pcgen.evaluate.html_report import write_page

        with shown(progress):
            write_page(Path(path), self._evaluations())
        return Path(path)

    def __str__(self) -> str:
        """The table and the summary that ``pcgen evaluate`` prints."""
        return report_text.table([evaluation.summary for evaluation in self._evaluations()])

    def _repr_html_(self) -> str:
        from pcgen.evaluate.html_report import metrics_page
        from pcgen.gallery.notebook import as_iframe

        return as_iframe(metrics_page(self._evaluations()), 620)


@dataclass(frozen=True, eq=False, repr=False)
class Score(_Report):
    """The metrics of one set of shapes; :func:`evaluate` returns it.

    ``novelty`` and ``replay_rate`` ignore proportions: a stretched copy of a training shape is not
    a new shape. Names that end in ``_box`` use the protocol's own frame. They are None if no
    training set is known.

    Attributes:
        evaluation: all metrics and the clouds they were computed from.
    """

    evaluation: Evaluation

    @property
    def nna_cd(self) -> Figure:
        """1-NNA under the Chamfer distance, a fraction; 0.5 is best."""
        figure = self._figure("nna_cd")
        if figure.error is not None:
            return figure
        noise = self.evaluation.summary["noise"]["nna_cd"]["sd"]
        return Figure(figure.value, float(noise), "the sampling noise at this set size")

    @property
    def cov_cd(self) -> Figure:
        """Coverage under the Chamfer distance, a fraction."""
        return self._figure("cov_cd")

    @property
    def mmd_cd(self) -> Figure:
        """Minimum matching distance, a squared Chamfer distance."""
        return self._figure("mmd_cd")

    @property
    def jsd(self) -> Figure:
        """Jensen-Shannon divergence of the occupied cells."""
        return self._figure("jsd")

    @property
    def symmetry_rate(self) -> Figure:
        """Share of shapes that equal their mirror image; best is that of the test shapes."""
        return self._figure("symmetry_rate")

    @property
    def novelty(self) -> Figure | None:
        """Median distance to the nearest training shape over that of the test shapes; 1 means as
        novel as test shapes. Ignores proportions."""
        return self._novelty("proportion_free")

    @property
    def novelty_box(self) -> Figure | None:
        """The same in each shape's box."""
        return self._novelty("box")

    @property
    def replay_rate(self) -> Figure | None:
        """The share of shapes that copy a training shape, ignoring proportions."""
        return self._replays("proportion_free")

    @property
    def replay_rate_box(self) -> Figure | None:
        """The same in each shape's box."""
        return self._replays("box")

    @property
    def figures(self) -> dict[str, Figure]:
        """All metrics, by their names in the evaluation JSON."""
        return {key: self._figure(key) for key in self.evaluation.summary["seeds"]
                if key not in ("count", "rule")}  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """The evaluation JSON, as ``pcgen evaluate --json`` prints it."""
        return self.evaluation.summary

    def _evaluations(self) -> list[Evaluation]:
        return [self.evaluation]

    def __repr__(self) -> str:
        parts = [f"1-NNA {self.nna_cd}"]
        if self.novelty is not None:
            parts.append(f"novelty {self.novelty}")
        if self.replay_rate is not None:
            parts.append(f"replays {self.replay_rate}")
        size = self.evaluation.summary["protocol"]["sizes"]["compared"]
        return f"Score({', '.join(parts)}; {size} shapes a set)"

    def _figure(self, key: str) -> Figure:
        summary = self.evaluation.summary
        found = summary["seeds"].get(key)
        value = summary.get(key)
        if found is None or value is None:
            raise InputError(f"this evaluation has no metric {key}")
        error = standard_error(found)
        how = "" if error is None else f"{summary['seeds']['count']} sampling seeds"
        return Figure(float(value), error, how)

    def _novelty(self, frame: str) -> Figure | None:
        measured = self.evaluation.novelty.get(frame)
        value = self.evaluation.summary.get("novelty_ratio" + ENDINGS[frame])
        if measured is None or value is None:
            return None
        error = _ratio_error(measured.found.distance, measured.reference.distance)
        return Figure(float(value), error, "a bootstrap over generated and test shapes")

    def _replays(self, frame: str) -> Figure | None:
        measured = self.evaluation.novelty.get(frame)
        value = self.evaluation.summary.get("replay_rate" + ENDINGS[frame])
        if measured is None or value is None:
            return None
        # The error of a share p of n, with one more of each kind: a rate of zero has an error too.
        count = len(measured.found.distance)
        share = (value * count + 1) / (count + 2)
        error = math.sqrt(share * (1 - share) / count)
        return Figure(float(value), error, "the binomial error of a share")


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(_Report):
    """The scores of several sets with the same reference."""

    scores: tuple[Score, ...]

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, number: int) -> Score:
        return self.scores[number]

    def __iter__(self) -> Iterator[Score]:
        return iter(self.scores)

    def summary(self) -> dict[str, Any]:
        """``{"runs": [...]}``, one evaluation JSON each."""
        return {"runs": [score.summary() for score in self.scores]}

    def _evaluations(self) -> list[Evaluation]:
        return [score.evaluation for score in self.scores]

    def __repr__(self) -> str:
        return f"Comparison({', '.join(map(repr, self.scores))})"


class _Options(TypedDict, total=False):
    """The keywords of :func:`evaluate`, for its two signatures."""

    training: Data | Path | str | None
    categories: Sequence[str] | None
    protocol: str
    split: str | None
    points: int
    seeds: int
    seed: int
    steps: int
    emd: str | None
    secondary: bool
    standardised: Data | Path | str | None
    workers: int | None
    ray: str | None
    cache: Path | str | None
    device: str
    progress: bool


@overload
def evaluate(
    samples: Shapes | Samples | Model | Path | str | NDArray[np.floating[Any]] | list[Shape],
    *,
    reference: Data | Path | str,
    **options: Unpack[_Options],
) -> Score: ...


@overload
def evaluate(
    samples: list[Any] | tuple[Any, ...],
    *,
    reference: Data | Path | str,
    **options: Unpack[_Options],
) -> Comparison: ...


def evaluate(
    samples: Any,
    *,
    reference: Data | Path | str,
    training: Data | Path | str | None = None,
    categories: Sequence[str] | None = None,
    protocol: str = "box",
    split: str | None = None,
    points: int = 2048,
    seeds: int = 3,
    seed: int = 0,
    steps: int = 1,
    emd: str | None = None,
    secondary: bool = False,
    standardised: Data | Path | str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    cache: Path | str | None = "user",
    device: str = "auto",
    progress: bool = False,
) -> Score | Comparison:
    """Evaluate shapes by the usual metrics of the field, with ceiling and novelty.

    Args:
        samples: shapes, an array or tensor (N, P, 3), a list of arrays (P, 3), the path of a file
            or folder of clouds, or a model (which is sampled); or a list of these for a comparison.
        reference: a data set, or the path of clouds of real shapes.
        training: the generator's training data; None for the training split of ``reference``.
        categories: only these; None for those of the samples.
        protocol: ``box``, ``pointflow``, ``lion-box``, ``dpm`` or ``raw``. split: of the
            reference; None for the protocol's. points: per cloud in the comparison.
        seeds: number of sampling seeds, for the errors; seed: the first. steps: of a model's flows.
        emd: ``emd_pointflow``, ``emd_pytorchemd`` or ``emd_exact``; None for no EMD.
        secondary: also compute density-aware CD and normal disagreement.
        standardised: a data set by whose training mean and deviation the samples are normalised.
        workers: processes; None for one per core. ray: address of a cluster to use.
        cache: a folder for finished tables, ``user`` for that of the user, None for none.
        device: for a model given by its path; a CUDA device also computes distances.
        progress: show progress on stderr.
    Returns:
        a :class:`Score`, or a :class:`Comparison` for a list.
    Raises:
        InputError, DataError: wrong arguments, or too few shapes or points.

    Example:
        >>> score = pcgen.evaluate(shapes, reference="furniture", split="test")  # doctest: +SKIP
        >>> score.nna_cd  # doctest: +SKIP
    """
    from pcgen.evaluate.requests import EvaluationRequest, evaluate_request
    from pcgen.model import ShapeModel

    def place(data: Data | Path | str | None) -> Path | None:
        from pcgen.shapes.remote_datasets import local_folder

        if data is None or isinstance(data, Data):
            return None if data is None else data.path
        if not isinstance(data, str | Path):
            raise InputError(f"expected a data set or a path, got {type(data).__name__}")
        return local_folder(data)

    def given(one: Any) -> Path | Samples | ShapeModel:
        if isinstance(one, Model):
            return one.shape_model
        if isinstance(one, str | Path):
            return Model.find(one)
        return read_shapes(one).samples

    several = isinstance(samples, list | tuple) and not is_one_set(samples)
    entries = list(samples) if several else [samples]
    with shown(progress):
        found = place(reference)
        assert found is not None
        request = EvaluationRequest(
            [given(one) for one in entries],
            found,
            training=place(training),
            categories=categories,
            protocol=protocol,
            split=split,
            points=points,
            seeds=seeds,
            seed=seed,
            steps=steps,
            emd=emd,
            secondary=secondary,
            standardised=place(standardised),
            workers=workers,
            ray=ray,
            cache=cache,
            device=device,
        )
        scores = tuple(Score(evaluation) for evaluation in evaluate_request(request))
    return Comparison(scores) if several else scores[0]


def _ratio_error(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> float | None:
    """The standard error of a ratio of medians, by a bootstrap with a fixed seed."""
    if min(len(mine), len(theirs)) < 2:
        return None
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(BOOTSTRAPS):
        below = np.median(rng.choice(theirs, len(theirs)))
        if below > 0:
            ratios.append(np.median(rng.choice(mine, len(mine))) / below)
    return float(np.std(ratios, ddof=1)) if len(ratios) > 1 else None
