"""The conjugate-moment base: a convex w, fitted to latents, defines both base and map."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from pcgen import checkpoint
from pcgen.base.gaussian import shrunken_covariance
from pcgen.base.measure import FORMAT, check_meta
from pcgen.errors import DataError
from pcgen.transport.conjugate.convex import ConvexPotential
from pcgen.transport.conjugate.iteration import IterationStatus
from pcgen.transport.conjugate.measure import ConjugateNetwork, Coordinates
from pcgen.transport.conjugate.network import ConjugateSettings, conjugate_network

if TYPE_CHECKING:
    from torch import Generator, Tensor

R_HAT = 1.1
# Maximum Langevin steps per sample: more than any fit needs, and few enough to finish.
LONGEST_WALK = 10_000


@dataclass(frozen=True, kw_only=True)
class ConjugateMomentSettings(ConjugateSettings):
    """Settings of the fit, and what to sample.

    Attributes:
        pushed: sample from (∇w*)♯P_w, which approximates the latents, instead of from the
            log-concave P_w.
    """

    pushed: bool = False


@dataclass
class PushCounts:
    """The number of pushed samples, and of those whose conjugate failed."""

    draws: int = 0
    failed: int = 0


@dataclass(frozen=True)
class ConjugateMomentBase:
    """P_w or its push-forward, with evidence from the fit.

    Attributes:
        network: w, its chains and its map.
        pushed: whether samples are of the push-forward.
        evidence: status, shares of failed conjugates (in the fit, and ``failed_pushed`` of the
            samples, if pushed), and the record of each outer step, JSON-ready.
        notes: remarks for the user.
        pushes: counts this object's own samples; not stored.
    """

    network: ConjugateNetwork
    pushed: bool
    evidence: dict[str, Any]
    notes: tuple[str, ...] = ()
    pushes: PushCounts = field(default_factory=PushCounts)

    @property
    def name(self) -> str:
        return "conjugate-moment"

    @property
    def dim(self) -> int:
        return self.network.dim

    def sample(self, count: int, generator: Generator) -> Tensor:
        z = self.network.sample(count, generator)
        if not (self.pushed and count):
            return z
        found = self.network.push(z)
        self.pushes.draws += count
        self.pushes.failed += int(found.failed.sum())
        return found.points.to(z.device)  # with failed ones: the rest alone would be biased

    def describe(self) -> dict[str, Any]:
        return {
            "family": self.name,
            "notes": self.notes,
            "pushed": self.pushed,
            "evidence": self.evidence,
            "pushes": asdict(self.pushes),
        }

    def to_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        network, at = self.network, self.network.coordinates
        tensors = {
            **checkpoint.prefixed(dict(network.potential.state_dict()), "potential"),
            "mean": at.mean,
            "axes": at.axes,
            "values": at.values,
            "chains": network.chains,
        }
        meta = {
            "family": self.name,
            "format": FORMAT,
            "hidden": [len(bias) for bias in network.potential.biases],
            "step": network.step,
            "walk": network.walk,
            "pushed": self.pushed,
            "evidence": self.evidence,
            "notes": list(self.notes),
        }
        return tensors, meta

    @classmethod
    def from_checkpoint(
        cls, tensors: dict[str, Tensor], meta: dict[str, Any]
    ) -> ConjugateMomentBase:
        check_meta(meta, "conjugate-moment")
        try:
            coordinates = Coordinates(tensors["mean"], tensors["axes"], tensors["values"])
            zeros = torch.zeros_like(coordinates.mean)
            # Its widths are those of its weights, as larger ones would only cost memory.
            layers = range(sum(name.startswith("potential.biases.") for name in tensors))
            hidden = tuple(tensors[f"potential.biases.{k}"].numel() for k in layers)
            potential = ConvexPotential(coordinates.twist, zeros, hidden, torch.Generator())
            potential.load_state_dict(checkpoint.strip(tensors, "potential"))
            potential.requires_grad_(False)
            if not 1 <= meta["walk"] <= LONGEST_WALK:
                raise DataError(f"its chains would take {meta['walk']} steps for each sample")
            network = ConjugateNetwork(
                coordinates, potential, tensors["chains"], meta["step"], meta["walk"]
            )
            return cls(network, meta["pushed"], meta["evidence"], tuple(meta["notes"]))
        except (KeyError, RuntimeError) as error:
            raise DataError(f"a damaged conjugate-moment base ({error}); fit it again") from None


def fit_conjugate(
    latents: Tensor, settings: ConjugateMomentSettings, generator: Generator
) -> ConjugateMomentBase:
    """Fit w to latents (N, dim); the notes report a failed iteration."""
    x = latents.double()
    covariance, _ = shrunken_covariance(x - x.mean(0))
    fields = {f.name: getattr(settings, f.name) for f in dataclasses.fields(ConjugateSettings)}
    solution = conjugate_network(latents, covariance, ConjugateSettings(**fields), generator)
    chains = solution.network.diagnose(generator)
    failed = sum(record.failed for record in solution.records) / len(solution.records)
    notes, pushed = [], dict[str, float]()
    if settings.pushed:
        lost = float(solution.network.push(solution.network.chains).failed.double().mean())
        pushed = {"failed_pushed": lost}
        if lost > 0:
            notes.append(f"{lost:.1%} of the conjugates of its samples fail")
    if solution.status is not IterationStatus.CONVERGED:
        notes.append(f"the iteration {solution.status.value}")
    if failed > 0:
        notes.append(f"{failed:.1%} of the conjugates of the fit failed")
    if not chains.r_hat < R_HAT:
        notes.append(f"the Langevin chains have not mixed: R-hat {chains.r_hat:.2f}")
    evidence = {
        "status": solution.status.name.lower(),
        "failed_conjugates": failed,
        **pushed,
        "acceptance": chains.acceptance,
        "r_hat": chains.r_hat,
        "steps": [asdict(record) for record in solution.records],
    }
    return ConjugateMomentBase(solution.network, settings.pushed, evidence, tuple(notes))
