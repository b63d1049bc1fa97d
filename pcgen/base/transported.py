"""The AE-OT base: the push-forward of N(0, I) by the extended semi-discrete map.

The optimal map to the latents as atoms turns noise into replays. The extended map (An et al.,
AE-OT, ICLR 2020) mixes neighbouring atoms instead, except across the singular set. Mixing alone
loses variance; noise in the span of the neighbours restores it (docs/notes/base.md).

The relaxation λ moves a sample by λ/(1+λ) of the way back to its noise:
(T(x) + λ x)/(1 + λ), the Wasserstein geodesic from ν to μ, which minimises
W₂²(ω, ν) + λ W₂²(ω, μ) over all ω.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from pcgen import config
from pcgen.base.gaussian import check_relaxation
from pcgen.base.measure import TensorMeasure, normal
from pcgen.errors import InputError, TransportError
from pcgen.processes import ALONE, Group
from pcgen.transport import (
    Evidence,
    GaussianSource,
    PushForward,
    SemidiscreteMap,
    SemidiscreteProblem,
    SemidiscreteSolution,
    SemidualSolver,
    Status,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor

BATCH = 128
"""Samples mapped at a time. Their neighbours then stay in the cache, which halves the time."""
DEVICE_BATCH = 4096
SEARCHED_BATCH = 512
"""Samples whose cells are searched for together."""
MOST_REDRAWS = 100
MOST_PRODUCTS = 2e11
"""Multiply-adds that a fit may spend on scores: ten to twenty seconds of one core."""


@dataclass(frozen=True, kw_only=True)
class TransportedSettings:
    """Settings of the transport and its extension.

    Attributes:
        tolerance: χ² of the cell masses to reach; see :class:`pcgen.transport.SemidualSolver`.
        max_samples: number of noise samples; None for as many as a few seconds of one core allow,
            or with ``max_seconds`` for as many as the tolerance may need.
        max_seconds: working time of the solver; None for no limit.
        mode: of :class:`pcgen.transport.SemidiscreteMap`; ``hard`` replays latents.
        neighbours: cells that may be mixed with that of a sample, at most a tenth of the latents
            (but at least 4).
        restore: fraction of the variance lost by mixing that is restored, 0 to 1.
        largest_jump: cells across a larger scale-free jump are never mixed.
        band: half-width of the band around the singular set.
        singular: what to do with samples near the singular set: ``route`` or ``reject``.
        relaxation: λ ≥ 0, the pull back to the noise.
    """

    tolerance: float = 0.05
    max_samples: int | None = None
    max_seconds: float | None = None
    mode: Literal["extended", "hard", "soft"] = "extended"
    neighbours: int = 32
    restore: float = 1.0
    largest_jump: float = 2.0
    band: float = 0.5
    singular: Literal["route", "reject"] = "route"
    relaxation: float = 0.0

    def __post_init__(self) -> None:
        check_relaxation(self.relaxation)
        if self.neighbours < 1 or not 0 <= self.restore <= 1:
            raise InputError(
                "neighbours must be at least 1 and restore between 0 and 1, got "
                f"{self.neighbours} and {self.restore}"
            )


@dataclass(frozen=True, kw_only=True)
class TransportedBase(TensorMeasure):
    """The push-forward, with everything needed to sample it.

    Attributes:
        atoms: (n, dim) float32, the different latents.
        weights: (n,) float64, their weights.
        potential: (n,) float64; the cell of atom i is where ⟨atom_i, x⟩ + potential_i is largest.
        evidence: of the solver, JSON-ready; see :class:`pcgen.transport.Evidence`.
        mode, neighbours, restore, largest_jump, band, singular, relaxation: see the settings.
    """

    name: ClassVar[str] = "ae-ot"
    atoms: Tensor
    weights: Tensor
    potential: Tensor
    evidence: dict[str, Any]
    mode: Literal["extended", "hard", "soft"]
    neighbours: int
    restore: float
    largest_jump: float
    band: float
    singular: Literal["route", "reject"]
    relaxation: float = 0.0

    @property
    def dim(self) -> int:
        return self.atoms.shape[1]

    @cached_property
    def extended(self) -> SemidiscreteMap:
        """The map from N(0, I)."""
        problem = SemidiscreteProblem(GaussianSource(self.dim), self.atoms, self.weights)
        status = {"status": Status(self.evidence["status"])}
        evidence = config.from_plain(Evidence, self.evidence | status, "the base's evidence")
        return SemidiscreteMap(
            SemidiscreteSolution(problem, self.potential, evidence),
            self.mode,
            neighbours=self.neighbours,
            largest_jump=self.largest_jump,
            band=self.band,
            singular="route",  # rejected samples are redrawn here, together with their noise
        )

    def sample(self, count: int, generator: Generator) -> Tensor:
        x = normal(count, self.dim, generator)
        if count == 0:
            return x
        points, rejected = self.push(x, generator, find_rejected=self.singular == "reject")
        for _ in range(MOST_REDRAWS):
            if not rejected.any():
                return points
            again = normal(int(rejected.sum()), self.dim, generator)
            points[rejected], still = self.push(again, generator)
            rejected[rejected.clone()] = still
        raise TransportError(
            f"after {MOST_REDRAWS} rounds {int(rejected.sum())} of {count} samples are still on "
            "the singular set; use singular='route' or a larger largest_jump"
        )

    def push(
        self, x: Tensor, generator: Generator, *, find_rejected: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Map noise (n, dim) to samples (n, dim); also whether each is near the singular set (n,).

        Args:
            find_rejected: also find the samples near the singular set; without it none counts, in
                half the time.
        """
        points, rejected = [], []
        batch = SEARCHED_BATCH if self.extended.searches else BATCH
        for part in x.split(DEVICE_BATCH if self.atoms.is_cuda else batch):
            mapped = self.extended(part.to(self.atoms.device), find_rejected=find_rejected)
            made = mapped.points
            if self.mode == "extended" and self.restore:
                made = made + self.restore * self._restored(mapped, generator)
            points.append(made.float().to(x.device))
            rejected.append(mapped.rejected.to(x.device))
        pushed = torch.cat(points)
        return (pushed + self.relaxation * x) / (1 + self.relaxation), torch.cat(rejected)

    def _restored(self, mapped: PushForward, generator: Generator) -> Tensor:
        """Σ_j √s_j ε_j (p_j − m), see the module's docstring."""
        shares = mapped.shares.float()
        noise = torch.randn(shares.shape, generator=generator, device=generator.device)
        weights = shares.sqrt() * noise.to(shares)
        atoms = self.atoms[mapped.neighbours]
        spread = torch.einsum("nk,nkd->nd", weights, atoms)
        return spread - weights.sum(1, keepdim=True) * mapped.points


def fit_transported(
    latents: Tensor, settings: TransportedSettings, generator: Generator, group: Group = ALONE
) -> TransportedBase:
    """Solve the semi-discrete transport from N(0, I) to latents (N, dim).

    Args:
        group: processes that share its samples; see :meth:`pcgen.transport.SemidualSolver.solve`.
    """
    atoms, counts = torch.unique(latents, dim=0, return_counts=True)
    count, dim = atoms.shape
    budget = settings.max_samples
    if budget is None and settings.max_seconds is None:
        budget = int(MOST_PRODUCTS / (count * dim))
    problem = SemidiscreteProblem(GaussianSource(dim), atoms, counts.double() / counts.sum())
    solver = SemidualSolver(
        tolerance=settings.tolerance,
        max_samples=None if budget is None else max(budget, 4096),
        max_seconds=settings.max_seconds,
    )
    solution = solver.solve(problem, generator, group=group)
    evidence = solution.evidence
    notes = []
    if not evidence.converged:
        untested = f" and {evidence.untested} untested" if evidence.untested else ""
        limits = [f"{budget} samples"] if budget else []
        limits += [f"{settings.max_seconds:.3g} s"] if settings.max_seconds else []
        notes.append(
            f"the transport was ended by its budget of {' or '.join(limits)} at χ² "
            f"{evidence.chi2:.3g} (tolerance {evidence.tolerance:g}) with {evidence.dead} of "
            f"{evidence.cells} cells dead{untested}; raise it"
        )
    return TransportedBase(
        atoms=atoms,
        weights=problem.weights,
        potential=solution.potential,
        evidence=config.to_plain(evidence) | {"status": evidence.status.value},
        mode=settings.mode,
        neighbours=min(settings.neighbours, max(4, count // 10)),
        restore=settings.restore,
        largest_jump=settings.largest_jump,
        band=settings.band,
        singular=settings.singular,
        relaxation=settings.relaxation,
        notes=tuple(notes),
    )
