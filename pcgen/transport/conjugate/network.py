"""Conjugate moment measures of samples, with an input-convex network.

It starts at the Gaussian solution, in the coordinates of :mod:`measure`. One outer step:
1. persistent Langevin chains sample P_W;
2. a copy G of W takes some descent steps on the dual E_ρ[G] + E_{P_W}[G*], whose gradient needs
   the conjugates of the chains;
3. W moves to (1 − η) W + η G. No network equals that sum exactly: the parameters are mixed in
   this way, then fitted to its gradient; ``StepRecord.mixing_error`` is the remaining error.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from pcgen.errors import InputError
from pcgen.transport.assignment import centred_cost
from pcgen.transport.conjugate.convex import ConvexPotential
from pcgen.transport.conjugate.gaussian import conjugate_gaussian
from pcgen.transport.conjugate.iteration import (
    IterationStatus,
    check_damping,
    damping_rule,
    iteration_status,
)
from pcgen.transport.conjugate.legendre import conjugate
from pcgen.transport.conjugate.mala import mala
from pcgen.transport.conjugate.measure import ConjugateNetwork, Coordinates

if TYPE_CHECKING:
    from torch import Generator, Tensor

LEAST_DATA = 2
GAP_POINTS = 512
LAST_GAPS = 4
GAP_NOISE = 0.2
"""A gap below this share of the base's variance may be noise or the network's capacity."""
MIXING_SHARE = 0.25
"""Learning rate of the mixing steps, as a share of the dual steps'."""
FIRST_STEP = 0.3
"""Langevin step length before tuning, in units of the Gaussian answer's variance."""


WALK = 30
"""Langevin steps of every chain in one outer step."""
CONJUGATE_TOLERANCE, CONJUGATE_ITERATIONS = 1e-3, 200
"""Residual of a conjugate relative to the spread of its argument, and the iterations after which it
counts as failed."""


@dataclass(frozen=True, kw_only=True)
class ConjugateSettings:
    """Settings of the fit.

    Attributes:
        hidden: widths of the convex network.
        steps: outer steps; fewer only if the fit diverges.
        dual_steps: gradient steps on G within one outer step.
        mixing_steps: gradient steps of W towards (1 − η) W + η G.
        batch: data points and chains in one gradient step.
        learning_rate: of Adam, decayed to a tenth along a cosine over all outer steps.
        damping: η, or None for the rule η < 2 / (1 + λ_max Cov P_w).
        chains: number of Langevin chains, which persist between steps.
        tolerance: the fit has converged when the mean of the last gaps is below this; see
            :class:`StepRecord`.
    """

    hidden: tuple[int, ...] = (64, 64)
    steps: int = 20
    dual_steps: int = 100
    mixing_steps: int = 20
    batch: int = 256
    learning_rate: float = 0.02
    damping: float | None = None
    chains: int = 512
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        check_damping(self.damping)
        counts = (*self.hidden, self.steps, self.dual_steps, self.batch, self.chains)
        if not self.hidden or min(counts) < 1 or not (self.learning_rate > 0 < self.tolerance):
            raise InputError(
                "hidden, steps, dual_steps, batch, chains, learning_rate and tolerance must be "
                f"positive, got {self}"
            )
        if self.chains < 2 or self.mixing_steps < 0:
            raise InputError(
                "chains must be at least 2, for their covariance, and mixing_steps 0 or more, got "
                f"{self.chains} and {self.mixing_steps}"
            )


@dataclass(frozen=True)
class StepRecord:
    """One outer step.

    Attributes:
        gap: W₂²(∇w♯ρ, P_w) over the variance of P_w, centred: 0 on average at the fixed point.
        damping: η.
        largest: λ_max of Cov(P_w), in the data's own unit.
        acceptance, r_hat: of the chains.
        failed: share of failed conjugates.
        mixing_error: rms of ∇W_new − (1 − η) ∇W − η ∇G, relative to the step's length.
    """

    gap: float
    damping: float
    largest: float
    acceptance: float
    r_hat: float
    failed: float
    mixing_error: float


@dataclass(frozen=True)
class NetworkSolution:
    """The network, with evidence."""

    network: ConjugateNetwork
    records: tuple[StepRecord, ...]
    status: IterationStatus


@dataclass
class ConjugateFit:
    """The state of a fit; iterate it to take outer steps.

    Args:
        data: (N, dim) float32; its mean and ``covariance`` define the start.
    """

    data: Tensor
    covariance: Tensor
    settings: ConjugateSettings
    generator: Generator
    records: list[StepRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        mean = self.data.double().mean(0)
        gaussian = conjugate_gaussian(mean, self.covariance)
        self.coordinates = Coordinates.of(mean, self.covariance)
        start = gaussian.centre.float() @ self.coordinates.axes
        self.potential = ConvexPotential(
            self.coordinates.twist,
            self.coordinates.values.pow(1 / 6) * start,
            self.settings.hidden,
            self.generator,
        )
        self.points = self.coordinates.inward(self.data)
        shape = (self.settings.chains, len(mean))
        noise = torch.randn(shape, generator=self.generator, device=self.generator.device)
        self.chains = noise.to(self.points) - self.potential.centre.detach()
        self.step = FIRST_STEP / len(mean) ** (1 / 3)
        # Conjugates of the chains, reused as warm starts.
        self.partners = self.coordinates.slope(self.chains) - self.potential.centre.detach()

    def __iter__(self) -> Iterator[StepRecord]:
        for _ in range(self.settings.steps):
            yield self.advance()

    def advance(self) -> StepRecord:
        """One outer step."""
        walked = mala(
            self.potential,
            self.potential.gradient,
            self.chains,
            steps=WALK,
            step=self.step,
            generator=self.generator,
            adapt=True,
        )
        self.chains, self.step = walked.points, walked.step
        goal, failed = self._brenier()
        with torch.no_grad():
            old, new = self.potential.gradient(self.points), goal.gradient(self.points)
            spread = self.coordinates.outward(self.chains)
            values = torch.linalg.eigvalsh(torch.cov(spread.T.double()).reshape(2 * [self._dim]))
            eta = self.settings.damping or damping_rule(
                max(0.0, float(values[0])), float(values[-1])
            )
        gap, wrong = self._gap(old), self._mix(goal, eta, new - old)
        record = StepRecord(
            gap,
            eta,
            float(values[-1]),
            walked.acceptance,
            walked.r_hat,
            failed,
            wrong,
        )
        self.records.append(record)
        return record

    @property
    def _dim(self) -> int:
        return self.points.shape[1]

    @property
    def _rate(self) -> float:
        """The learning rate of this outer step: a cosine from the full rate to a tenth."""
        done = len(self.records) / self.settings.steps
        return self.settings.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))

    def _gap(self, slopes: Tensor) -> float:
        """The gap, see :class:`StepRecord`; ``slopes`` is ∇W at the data."""
        reached = self.coordinates.base_point(slopes)
        size = min(GAP_POINTS, len(reached) // 2, len(self.chains) // 2)
        device = self.generator.device
        sets = []
        for points in (reached, self.chains):
            order = torch.randperm(len(points), generator=self.generator, device=device)
            sets += points[order[: 2 * size].to(points.device)].split(size)
        return centred_cost(*sets) / float(self.chains.var(0).sum())

    def _brenier(self) -> tuple[ConvexPotential, float]:
        """G after some dual steps from W, and the share of failed conjugates."""
        goal = copy.deepcopy(self.potential)
        optimiser = torch.optim.Adam(goal.parameters(), lr=self._rate, betas=(0.5, 0.9))
        tolerance = CONJUGATE_TOLERANCE * float(self.coordinates.twist.norm())
        failed = 0.0
        for _ in range(self.settings.dual_steps):
            rows, chains = self._rows(len(self.points)), self._rows(len(self.chains))
            found = conjugate(
                goal.gradient,
                self.coordinates.slope(self.chains[chains]),
                self.partners[chains],
                tolerance=tolerance,
                max_iterations=CONJUGATE_ITERATIONS,
            )
            self.partners[chains] = found.points
            failed += float(found.failed.double().mean())
            loss = goal(self.points[rows]).mean() - goal(found.points).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return goal, failed / self.settings.dual_steps

    def _mix(self, goal: ConvexPotential, eta: float, change: Tensor) -> float:
        """Move W to (1 − η) W + η G; ``change`` is ∇G − ∇W at the data. Returns the error."""
        with torch.no_grad():
            places = torch.cat([self.points, self.chains])
            aim = torch.lerp(self.potential.gradient(places), goal.gradient(places), eta)
            for mine, its in zip(self.potential.parameters(), goal.parameters(), strict=True):
                mine.lerp_(its, eta)
        if eta < 1:
            optimiser = torch.optim.Adam(self.potential.parameters(), lr=MIXING_SHARE * self._rate)
            for _ in range(self.settings.mixing_steps):
                rows = self._rows(len(places))
                loss = (self.potential.gradient(places[rows]) - aim[rows]).square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        with torch.no_grad():
            left = self.potential.gradient(self.points) - aim[: len(self.points)]
        return float(left.norm() / (eta * change).norm().clamp(min=1e-12))

    def _rows(self, count: int) -> Tensor:
        size = min(count, self.settings.batch)
        order = torch.randperm(count, generator=self.generator, device=self.generator.device)
        return order[:size].to(self.points.device)

    def network(self) -> ConjugateNetwork:
        """The current fit."""
        potential = copy.deepcopy(self.potential).requires_grad_(False)
        return ConjugateNetwork(self.coordinates, potential, self.chains, self.step, WALK)


def conjugate_network(
    data: Tensor, covariance: Tensor, settings: ConjugateSettings, generator: Generator
) -> NetworkSolution:
    """Fit a conjugate moment measure to samples.

    Args:
        data: (N, dim); covariance: (dim, dim), positive definite, usually shrunken.
    Returns:
        the network with a record of every outer step. The status may be DIVERGED;
        ``status.require_converged()`` raises an error then.
    """
    if data.ndim != 2 or len(data) < LEAST_DATA or not data.isfinite().all():
        raise InputError(
            f"data must be at least {LEAST_DATA} finite rows (N, dim), got {tuple(data.shape)}"
            + ("" if data.isfinite().all() else " with NaN or infinite values")
        )
    fit = ConjugateFit(data.float(), covariance, settings, generator)
    for _ in fit:
        gaps = [record.gap for record in fit.records]
        if iteration_status(gaps, -math.inf, noise=GAP_NOISE) is IterationStatus.DIVERGED:
            return NetworkSolution(fit.network(), tuple(fit.records), IterationStatus.DIVERGED)
    last = gaps[-LAST_GAPS:]
    close = sum(last) / len(last) <= settings.tolerance
    status = IterationStatus.CONVERGED if close else IterationStatus.EXHAUSTED
    return NetworkSolution(fit.network(), tuple(fit.records), status)
