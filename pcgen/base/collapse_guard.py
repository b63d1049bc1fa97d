"""The collapse guard: tests whether a base copies the training latents or has collapsed.

For λ = 0 a rich family has a trivial optimum, ω = ν of the training latents: energy 0, nothing
learned, and every sample a replay. Rich families can also lose variance while their energy falls.
Both are tested against latents that the fit has not seen, since real latents are near-duplicates
too.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from pcgen.base.measure import BaseMeasure, check_dim, check_latents
from pcgen.errors import TrainingError

if TYPE_CHECKING:
    from torch import Generator, Tensor

DRAWS = 512
REPLAY_RADIUS = 0.5
"""A sample replays a latent if it is closer than this share of that latent's distance to the
nearest other one."""
EXCESS = 0.1
"""Replays may exceed those of unseen latents by this share plus three standard errors."""
LEAST_NOVELTY = 0.25
REFERENCE = 8192
"""Latents that are left out in turn, drawn from more."""
TABLE_ENTRIES = 2**25
"""Entries in a block of distances: 128 MiB of float32."""
LEAST_SPREAD = 0.1


@dataclass(frozen=True)
class GuardReport:
    """The result of the guard.

    Attributes:
        replay: share of samples that replay a training latent.
        replay_reference: the same share for unseen latents (held out, or each left out in turn).
        novelty: median distance of samples to the nearest training latent, over the reference's.
        spread: variance of the samples, summed over coordinates, over that of the latents.
        faults: sentences; empty if the base passes.
    """

    replay: float
    replay_reference: float
    novelty: float
    spread: float
    faults: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.faults

    def require_ok(self, name: str) -> None:
        """Refuse a base that failed.

        Raises:
            TrainingError: the base failed; with the faults and the remedy.
        """
        if self.faults:
            raise TrainingError(
                f"base {name} is refused: {'; '.join(self.faults)}. Use more latents, a larger "
                "relaxation, or a simpler family such as gmm or gaussian"
            )

    def plain(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def check_collapse(
    omega: BaseMeasure,
    latents: Tensor,
    *,
    generator: Generator,
    validation: Tensor | None = None,
) -> GuardReport:
    """Compare samples of ω with training latents (N, dim), N at least 3.

    Args:
        validation: (M, dim) latents the fit has not seen; None leaves each latent out in turn, of
            many a sample.
    """
    latents = check_latents(latents, least=3, family="the collapse guard")
    check_dim(omega, latents.shape[1], "the latents")
    latents = torch.unique(latents, dim=0)  # a copy within the set would make its radius 0
    draws = omega.sample(DRAWS, generator).to(latents.device)
    distance, index = _nearest(draws, latents)
    replays = distance < REPLAY_RADIUS * nearest_other(latents, index)[0]
    if validation is None or len(validation) == 0:
        some = torch.arange(len(latents), device=latents.device)
        if len(latents) > REFERENCE:
            order = torch.randperm(len(latents), generator=generator, device=generator.device)
            some = order[:REFERENCE].to(latents.device)
        reference_distance, neighbour = nearest_other(latents, some)
        # Leaving latent j out also widens the radius of the neighbour whose nearest was j.
        radius, _ = nearest_other(latents, neighbour, without=some)
        reference = reference_distance < REPLAY_RADIUS * radius
    else:
        unseen = check_latents(validation)
        check_dim(omega, unseen.shape[1], "the validation latents")
        reference_distance, at = _nearest(unseen, latents)
        reference = reference_distance < REPLAY_RADIUS * nearest_other(latents, at)[0]
    share, usual = float(replays.double().mean()), float(reference.double().mean())
    novelty = float(distance.median() / reference_distance.median().clamp(min=1e-12))
    spread = float(draws.var(0).sum() / latents.var(0).sum())
    faults = []
    noise = math.sqrt(0.25 / len(reference) + 0.25 / DRAWS)
    noise *= 2 * math.sqrt(max(usual * (1 - usual), 0.01))
    if share > usual + EXCESS + 3 * noise:
        faults.append(f"{share:.0%} of its samples replay training latents ({usual:.0%} is usual)")
    if novelty < LEAST_NOVELTY:
        faults.append(f"its samples are {novelty:.2f} times as far from training as unseen latents")
    if spread < LEAST_SPREAD:
        faults.append(f"it has collapsed to {spread:.1%} of the latents' variance")
    return GuardReport(share, usual, novelty, spread, tuple(faults))


def _nearest(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    parts = [torch.cdist(rows, y).min(1) for rows in x.split(_rows(y))]
    return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])


def nearest_other(
    x: Tensor, rows: Tensor | None = None, *, without: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Distance and index of the nearest other row of x (n, dim) to each of ``rows``: both (m,).

    Memory is that of a block of rows of the table of distances, not of the whole.

    Args:
        rows: (m,) int64; None for all.
        without: (m,) for each of them a further row that is left out.
    """
    rows = torch.arange(len(x), device=x.device) if rows is None else rows
    size = _rows(x)
    left_out = [rows] if without is None else [rows, without]
    values, indices = [], []
    for parts in zip(*(each.split(size) for each in left_out), strict=True):
        table = torch.cdist(x[parts[0]], x)
        for part in parts:
            table.scatter_(1, part[:, None], torch.inf)
        found = table.min(1)
        values.append(found.values)
        indices.append(found.indices)
    return torch.cat(values), torch.cat(indices)


def _rows(y: Tensor) -> int:
    return max(1, TABLE_ENTRIES // len(y))
