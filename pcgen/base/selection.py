"""``auto``: family and relaxation λ are selected on held-out latents, with a table.

E(ω) cannot compare candidates on held-out latents, since it contains λ. Each candidate, a family
and a λ, is fitted without them and scored twice:

1. by the debiased W₂² on the same blocks for all. A candidate stays unless the best is better by
   more than one standard error of the paired difference; in many dimensions many stay.
2. by the nearest-neighbour test (1-NNA): how far the shares of samples and of latents whose nearest
   neighbour is of their own kind are from one half. Candidates within its standard error of the
   best stay.

The simplest of these is selected: families in the given order, then the stronger relaxation. A
candidate that fails the collapse guard is listed but never selected.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from pcgen import checkpoint, config
from pcgen.base.collapse_guard import check_collapse, nearest_other
from pcgen.base.energies import Estimate, centred_blocks, split_blocks
from pcgen.base.measure import FORMAT, BaseMeasure, check_meta
from pcgen.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

REPEATS = 4
"""Samples of each base per block, so that sampling noise does not decide."""


@dataclass(frozen=True, kw_only=True)
class AutoSettings:
    """Settings of the selection.

    Attributes:
        families: candidates from simple to rich.
        relaxations: λ to try with families that have one.
        held_out: share of the latents held out, if no validation latents are given.
        least: with fewer different latents for the fit, or fewer than 8 for the comparison, the
            Gaussian is used.
    """

    families: tuple[str, ...] = ("standard", "gaussian", "gmm", "ae-ot")
    relaxations: tuple[float, ...] = (0.0, 0.1, 0.5)
    held_out: float = 0.25
    least: int = 32

    def __post_init__(self) -> None:
        if not self.families or "auto" in self.families or not self.relaxations:
            raise InputError(
                f"families must be names of bases other than auto, got {self.families}"
            )
        if not 0 < self.held_out < 1 or self.least < 8:
            raise InputError(
                "held_out must be between 0 and 1 and least 8 or more, got "
                f"{self.held_out} and {self.least}"
            )


@dataclass(frozen=True)
class CandidateScore:
    """The scores of a candidate.

    Attributes:
        family, relaxation: of the candidate.
        energy, energy_error: debiased W₂² to the held-out latents.
        behind, behind_error: its paired difference from the best candidate.
        separation: how well nearest neighbours distinguish samples from latents, from 0 to 1/2.
        faults: of the collapse guard.
        chosen: whether it was selected.
    """

    family: str
    relaxation: float
    energy: float
    energy_error: float
    behind: float
    behind_error: float
    separation: float
    faults: tuple[str, ...]
    chosen: bool


@dataclass(frozen=True)
class ChosenBase:
    """The base that ``auto`` selected, with its table; otherwise behaves like that base."""

    inner: BaseMeasure
    table: tuple[CandidateScore, ...]
    reason: str

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def dim(self) -> int:
        return self.inner.dim

    @property
    def notes(self) -> tuple[str, ...]:
        return (self.reason, *self.inner.notes)

    def sample(self, count: int, generator: Generator) -> Tensor:
        return self.inner.sample(count, generator)

    def describe(self) -> dict[str, Any]:
        rows = [asdict(row) for row in self.table]
        return {**self.inner.describe(), "notes": self.notes, "table": rows}

    def to_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, meta = self.inner.to_checkpoint()
        own = {
            "family": "auto",
            "format": FORMAT,
            "inner": meta,
            "reason": self.reason,
            "table": config.to_plain(self.table),
        }
        return checkpoint.prefixed(tensors, "inner"), own

    @classmethod
    def around(
        cls, inner: BaseMeasure, tensors: dict[str, Tensor], meta: dict[str, Any]
    ) -> ChosenBase:
        """Restore from a checkpoint, around the ``inner`` base restored from the same one."""
        check_meta(meta, "auto")
        table = tuple(
            config.from_plain(CandidateScore, row, "the table of auto") for row in meta["table"]
        )
        return cls(inner, table, meta["reason"])


def simplest_candidate(
    allowed: list[int], behind: list[Estimate], apart: list[float], count: int
) -> int:
    """Apply the rule of this module to candidates sorted from simple to rich.

    Args:
        allowed: candidates that pass the guard.
        behind: paired difference of each candidate from the best allowed one.
        apart: separation of each candidate, from ``count`` samples and as many latents.
    """
    near = [index for index in allowed if behind[index].value <= behind[index].error]
    closest = min(apart[index] for index in near)
    return next(i for i in near if apart[i] <= closest + 0.5 / math.sqrt(2 * count))


def separation(draws: Tensor, latents: Tensor) -> float:
    """Mean over both sets of |share with a nearest neighbour in the same set − ½|.

    Args:
        draws, latents: (n, dim), the same number of each.
    """
    both = torch.cat([draws.to(latents.device), latents])
    kind = torch.arange(len(both), device=both.device) < len(draws)
    own = (kind[nearest_other(both)[1]] == kind).double()
    return float(((own[kind].mean() - 0.5).abs() + (own[~kind].mean() - 0.5).abs()) / 2)


Fit = Callable[[str, "Tensor", dict[str, Any], "Tensor | None"], BaseMeasure]


def select_base(
    latents: Tensor,
    settings: AutoSettings,
    generator: Generator,
    validation: Tensor | None,
    fit: Fit,
    relaxed: frozenset[str],
) -> ChosenBase:
    """Try every candidate and fit the selected one to all latents.

    Args:
        latents: (N, dim).
        validation: (M, dim) latents to compare with; None holds out a share of ``latents``.
        fit: takes (family, latents, settings, validation) and returns a base.
        relaxed: the families that take a relaxation.
    """
    order = torch.randperm(len(latents), generator=generator, device=generator.device)
    held = int(settings.held_out * len(latents)) if validation is None else 0
    train, unseen = latents[order[held:].to(latents.device)], validation
    if unseen is None:
        unseen = latents[order[:held].to(latents.device)]
    different = len(torch.unique(train, dim=0))
    if different < settings.least or len(unseen) < 8:
        reason = (
            f"auto: {different} different latents to fit and {len(unseen)} to compare with are "
            "too few for a selection, so the Gaussian is used"
        )
        return ChosenBase(fit("gaussian", latents, {}, None), (), reason)
    pairs = split_blocks(unseen, generator)
    pulls = sorted(settings.relaxations, reverse=True)  # the stronger the pull, the simpler
    candidates, scores, faults, apart = [], [], [], []
    for family in settings.families:
        for pull in pulls if family in relaxed else (0.0,):
            options = {"relaxation": pull} if family in relaxed else {}
            omega = fit(family, train, options, None)
            repeats = [centred_blocks(omega, pairs, generator) for _ in range(REPEATS)]
            candidates.append((family, options))
            scores.append(torch.stack(repeats).mean(0))
            apart.append(separation(omega.sample(len(unseen), generator), unseen))
            guarded = family != "standard"
            report = check_collapse(omega, train, generator=generator, validation=unseen)
            faults.append(report.faults if guarded else ())
    allowed = [index for index, found in enumerate(faults) if not found]
    if not allowed:
        reason = "auto: every candidate fails the collapse guard, so the Gaussian is used"
        return ChosenBase(fit("gaussian", latents, {}, None), (), reason)
    best = min(allowed, key=lambda index: float(scores[index].mean()))
    behind = [Estimate.mean(score - scores[best]) for score in scores]
    taken = simplest_candidate(allowed, behind, apart, len(unseen))
    rows = []
    for index, ((family, options), score) in enumerate(zip(candidates, scores, strict=True)):
        energy = Estimate.mean(score)
        rows.append(
            CandidateScore(
                family,
                options.get("relaxation", 0.0),
                energy.value,
                energy.error,
                behind[index].value,
                behind[index].error,
                apart[index],
                tuple(faults[index]),
                index == taken,
            )
        )
    family, options = candidates[taken]
    reason = (
        f"auto chose {family}"
        + (f" with λ = {options['relaxation']:g}" if options.get("relaxation") else "")
        + f" among {len(rows)} candidates: held-out W₂² {Estimate.mean(scores[taken])}, "
        + ("the lowest" if taken == best else "within one standard error of the lowest")
        + f", separation {apart[taken]:.3f}"
    )
    return ChosenBase(fit(family, latents, options, validation), tuple(rows), reason)
