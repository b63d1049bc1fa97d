"""Evaluate files and runs, and write JSON and HTML reports: the work of ``pcgen evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pcgen import progress, runtime
from pcgen.distances.cache import prune
from pcgen.distances.pairwise import device_backend
from pcgen.distances.tables import Work
from pcgen.errors import InputError
from pcgen.evaluate.cloud_sets import CloudSet, ReferenceSets
from pcgen.evaluate.evaluation import Evaluation, evaluate
from pcgen.evaluate.generated_sets import (
    check_roles,
    draw_generated,
    from_clouds,
    is_dataset,
    open_shapes,
    read_generated,
)
from pcgen.evaluate.metrics import EvaluationSettings
from pcgen.evaluate.protocol import protocol_named
from pcgen.evaluate.reference_sets import read_reference_sets, standardisation
from pcgen.files import cache_folder, write_json
from pcgen.runfile import is_run
from pcgen.shapes.cloud_files import CloudList
from pcgen.shapes.samples import Samples

if TYPE_CHECKING:
    from pcgen.model import ShapeModel

RECONSTRUCTIONS = 100  # shapes that the autoencoder of a run is evaluated on


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate, and against what.

    Attributes:
        samples: files of clouds, runs, or either of them loaded; each is evaluated separately.
        reference: a data set or a file of clouds; training: likewise, see ``read_reference_sets``.
        categories: only these; None for all, or those that a run was trained on.
        protocol: by name; another split or number of points makes it a custom one.
        steps: of a run's flows.
        standardised: the data set whose training mean and std normalise the samples.
        workers: None for one per core; ray: the address of a cluster; cache: a folder, ``user`` for
            that of the user, None for none.
        device: to sample a run on; a CUDA device also computes all distances but EMD, in this
            process.
        seeds, seed, emd, secondary: see :class:`EvaluationSettings`.
    """

    samples: Sequence[Path | Samples | ShapeModel]
    reference: Path
    _: KW_ONLY
    training: Path | None = None
    categories: Sequence[str] | None = None
    protocol: str = "box"
    split: str | None = None
    points: int = 2048
    seeds: int = 3
    seed: int = 0
    steps: int = 1
    emd: str | None = None
    secondary: bool = False
    standardised: Path | None = None
    workers: int | None = None
    ray: str | None = None
    cache: Path | str | None = "user"
    device: str = "cpu"
    settings: EvaluationSettings = field(init=False)

    def __post_init__(self) -> None:
        if not self.samples:
            raise InputError("name at least one file of samples or run")
        set_ = partial(object.__setattr__, self)
        set_("device", runtime.pick_device(self.device))
        set_("settings", self._settings())
        if self.standardised is not None and self.settings.protocol.frame != "own":
            raise InputError(
                "--standardised denormalises samples to original units; use it with --protocol "
                f"pointflow, not {self.settings.protocol.name}"
            )

    def _settings(self) -> EvaluationSettings:
        cuda = self.device.startswith("cuda")
        cache = cache_folder("distances") if self.cache == "user" else self.cache
        return EvaluationSettings(
            protocol=protocol_named(self.protocol).changed(split=self.split, points=self.points),
            seeds=self.seeds,
            seed=self.seed,
            emd=self.emd,
            secondary=self.secondary,
            work=Work(
                workers=1 if cuda else self.workers,
                ray=self.ray,
                cache=None if cache is None else Path(cache),
                backend=device_backend(self.device) if cuda else "auto",
            ),
        )

    @property
    def only(self) -> tuple[str, ...] | None:
        """The categories asked for."""
        return None if self.categories is None else tuple(self.categories)


def evaluate_files(
    request: EvaluationRequest, *, out: Path | None = None, page: Path | None = None
) -> dict[str, Any]:
    """Evaluate every entry of ``samples``; write the JSON and the HTML report if requested.

    Returns:
        the evaluation of a single entry, or ``{"runs": [...]}`` in the given order.
    """
    evaluations = evaluate_request(request)
    summaries = [evaluation.summary for evaluation in evaluations]
    result = summaries[0] if len(summaries) == 1 else {"runs": summaries}
    if out is not None:
        write_json(out, result)
    if page is not None:
        from pcgen.evaluate.html_report import write_page

        write_page(page, evaluations)
    return result


def evaluate_request(request: EvaluationRequest) -> list[Evaluation]:
    """Evaluate every entry of ``samples``, in order."""
    evaluator = _Evaluator(request)
    evaluations = []
    for entry in request.samples:
        if isinstance(entry, Samples):
            evaluations.append(evaluator.loaded(entry))
        elif not isinstance(entry, Path) or is_run(entry):
            evaluations.append(evaluator.run(entry))
        else:
            evaluations.append(evaluator.file(entry))
    if request.settings.work.cache is not None:
        prune(request.settings.work.cache)
    return evaluations


class _Evaluator:
    """Evaluates entries one after the other; real sets are read once."""

    def __init__(self, request: EvaluationRequest) -> None:
        self._request = request
        self._settings = request.settings
        self._real: dict[tuple[str, ...] | None, ReferenceSets] = {}

    def file(self, path: Path) -> Evaluation:
        """Evaluate a file of samples."""
        request = self._request
        progress.say(f"evaluating {path}")
        check_roles(path, request.reference)
        frame = None
        if request.standardised is not None:
            frame = standardisation(request.standardised, request.only)
        generated = read_generated(
            path,
            self._settings.protocol,
            seed=self._settings.seed,
            standardised=frame,
            categories=request.only,
        )
        return evaluate([generated], self._sets(request.only), self._settings)

    def loaded(self, samples: Samples) -> Evaluation:
        """Evaluate samples in memory."""
        request = self._request
        count = len(samples)
        source = f"{count} shapes" + (f" of {samples.meta['run']}" if "run" in samples.meta else "")
        generated = from_clouds(
            CloudList.of(samples),
            source,
            self._settings.protocol,
            self._settings.seed,
            categories=request.only,
        )
        return evaluate([generated], self._sets(request.only), self._settings)

    def run(self, entry: Path | ShapeModel) -> Evaluation:
        """Evaluate a run by one set of samples per seed, and its autoencoder."""
        from pcgen.model import ShapeModel

        request = self._request
        path = entry if isinstance(entry, Path) else entry.run_dir
        progress.say(f"evaluating {path}")
        check_roles(path, request.reference)
        model = ShapeModel.load(entry, request.device) if isinstance(entry, Path) else entry
        real = self._sets(_categories_of(model.categories, request))
        sets = _draw(model, request, len(real.reference))
        evaluation = evaluate(sets, real, self._settings)
        first = self._settings.seed
        evaluation.summary["notes"].append(
            f"samples: {len(sets[0])} shapes sampled from {path} for each of the seeds {first} to "
            f"{first + len(sets) - 1}, in {request.steps} step{'s' * (request.steps > 1)}"
        )
        evaluation.summary["reconstruction"] = _reconstruction(model, request, real)
        return evaluation

    def _sets(self, categories: tuple[str, ...] | None) -> ReferenceSets:
        if categories not in self._real:
            self._real[categories] = read_reference_sets(
                self._request.reference,
                self._settings.protocol,
                training=self._request.training,
                categories=categories,
                normals=self._settings.secondary,
                seed=self._settings.seed,
            )
        return self._real[categories]


def _categories_of(known: Sequence[str], request: EvaluationRequest) -> tuple[str, ...] | None:
    """The categories of a run that the reference also has.

    They include categories without samples, so that a run that misses a category scores worse.
    """
    data = None if request.only is not None else open_shapes(request.reference)
    if data is None:
        return request.only
    present = data.categories
    shared = tuple(name for name in known if name in present)
    if not shared:
        raise InputError(
            f"the run has categories {', '.join(known)}, the reference {', '.join(present)}: they "
            "share none; name what to compare with --category"
        )
    return shared


def _draw(model: Any, request: EvaluationRequest, count: int) -> list[CloudSet]:
    settings = request.settings
    only = request.only
    if only is not None and len(only) > 1:
        raise InputError("a run samples one category or all; name one with --category")
    seeds = [settings.seed + number for number in range(settings.seeds)]
    return draw_generated(
        model,
        settings.protocol,
        count,
        seeds=seeds,
        steps=request.steps,
        category=only[0] if only else None,
        work=settings.work,
    )


def _reconstruction(
    model: Any, request: EvaluationRequest, real: ReferenceSets
) -> dict[str, Any] | None:
    """Evaluate the run's autoencoder on reference shapes of a data set with two samplings."""
    if not is_dataset(request.reference):
        return None
    from pcgen.evaluate.reconstruction import rebuild, reconstruction_quality
    from pcgen.shapes.store import Dataset

    data = Dataset.open(request.reference)
    points = min(request.settings.protocol.points, data.points_per_shape // 3)
    names = set(real.reference.names.tolist())
    rows = np.array([k for k, row in enumerate(data.rows) if row.id in names])[:RECONSTRUCTIONS]
    if not len(rows) or not points:
        return None
    seen = data.points(rows, points, part="first")
    again = data.points(rows, points, part="last")
    made = rebuild(model, seen, seed=request.settings.seed, steps=request.steps)
    return reconstruction_quality(seen, again, made)
