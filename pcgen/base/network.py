"""A network base: x = m + A z + net(z), fitted by the envelope theorem.

Our reconstruction of Base Initialisation for a rich family. By the envelope theorem the gradient
of W₂²(ω, ν) is 2 E[J_fᵀ (f(z) − T(f(z)))] with the map T fixed, so K dual steps for T alternate
with one base step. The relaxation is λ E|f(z) − z|², an upper bound of λ W₂²(ω, N(0, I)) that is
exact if f is the gradient of a convex function.

The family can memorise the training latents. So the fit starts at the shrunken Gaussian, monitors
W₂² to held-out latents, and returns its best iterate.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from pcgen.base.dual_ascent import DualAscent
from pcgen.base.energies import centred_blocks, split_blocks
from pcgen.base.gaussian import GaussianSettings, check_relaxation, fit_gaussian
from pcgen.base.measure import FORMAT, check_meta, normal
from pcgen.errors import DataError, InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Settings of the fit.

    Attributes:
        hidden: width of the two hidden layers.
        relaxation: λ ≥ 0.
        steps: maximum number of base steps.
        dual_steps: K, dual steps before each base step.
        batch: samples per step.
        learning_rate: of Adam.
        check_every: base steps between checks on the held-out latents.
        held_out: share of the latents for those checks, if no validation latents are given; 0
            disables them and returns the last step.
    """

    hidden: int = 128
    relaxation: float = 0.1
    steps: int = 400
    dual_steps: int = 4
    batch: int = 512
    learning_rate: float = 2e-3
    check_every: int = 40
    held_out: float = 0.2

    def __post_init__(self) -> None:
        check_relaxation(self.relaxation)
        counts = (self.hidden, self.steps, self.dual_steps, self.batch, self.check_every)
        if min(counts) < 1 or self.learning_rate <= 0 or not 0 <= self.held_out < 1:
            raise InputError(f"counts and rates must be positive and held_out in [0, 1): {self}")


class Reparametrisation(nn.Module):
    """f(z) = m + A z + net(z), (n, dim) to (n, dim); net is initially 0."""

    def __init__(self, mean: Tensor, root: Tensor, hidden: int, generator: Generator) -> None:
        super().__init__()
        self.mean = nn.Parameter(mean.clone())
        self.root = nn.Parameter(root.clone())
        dim = len(mean)
        self.first = nn.Linear(dim, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, dim)
        with torch.no_grad():
            for layer in (self.first, self.second):
                shape, home = tuple(layer.weight.shape), generator.device
                drawn = torch.randn(shape, generator=generator, device=home)
                layer.weight.copy_(drawn * (2 / layer.in_features) ** 0.5)
                layer.bias.zero_()
            self.last.weight.zero_()
            self.last.bias.zero_()

    def forward(self, z: Tensor) -> Tensor:
        h = functional.silu(self.second(functional.silu(self.first(z))))
        result: Tensor = self.mean + z @ self.root.T + self.last(h)
        return result


@dataclass(frozen=True)
class NetworkBase:
    """The distribution of f(z) for standard normal z.

    Attributes:
        f: the network.
        evidence: held-out W₂² at each check, and the chosen step; JSON-ready.
        notes: remarks for the user.
    """

    f: Reparametrisation
    evidence: dict[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return "network"

    @property
    def dim(self) -> int:
        return len(self.f.mean)

    def sample(self, count: int, generator: Generator) -> Tensor:
        z = normal(count, self.dim, generator)
        with torch.no_grad():
            result: Tensor = self.f(z.to(self.f.mean.device)).to(z.device)
            return result

    def describe(self) -> dict[str, Any]:
        return {"family": self.name, "notes": self.notes, "evidence": self.evidence}

    def to_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        meta = {
            "family": self.name,
            "format": FORMAT,
            "hidden": self.f.first.out_features,
            "evidence": self.evidence,
            "notes": list(self.notes),
        }
        return dict(self.f.state_dict()), meta

    @classmethod
    def from_checkpoint(cls, tensors: dict[str, Tensor], meta: dict[str, Any]) -> NetworkBase:
        check_meta(meta, "network")
        try:
            # Its width is that of its weights, as a larger one would only cost memory.
            hidden = tensors["first.bias"].numel()
            f = Reparametrisation(tensors["mean"], tensors["root"], hidden, torch.Generator())
            f.to(tensors["mean"].device).load_state_dict(tensors)
            return cls(f.requires_grad_(False), meta["evidence"], tuple(meta["notes"]))
        except (KeyError, RuntimeError) as error:
            raise DataError(f"a damaged network base ({error}); fit it again") from None


def fit_network(
    latents: Tensor,
    settings: NetworkSettings,
    generator: Generator,
    validation: Tensor | None = None,
) -> NetworkBase:
    """Alternate dual and base steps on latents (N, dim)."""
    order = torch.randperm(len(latents), generator=generator, device=generator.device)
    held = int(settings.held_out * len(latents)) if validation is None else 0
    train = latents[order[held:].to(latents.device)]
    unseen = latents[order[:held].to(latents.device)] if validation is None else validation
    pairs = split_blocks(unseen, generator) if len(unseen) >= 8 and settings.held_out else []
    start = fit_gaussian(train, GaussianSettings())
    f = Reparametrisation(start.mean, start.factor, settings.hidden, generator).to(train.device)
    optimiser = torch.optim.Adam(f.parameters(), lr=settings.learning_rate)
    dual = DualAscent(train)
    looks: list[tuple[int, float]] = []
    best = copy.deepcopy(f)

    def look(step: int) -> None:
        nonlocal best
        score = float(centred_blocks(NetworkBase(f, {}), pairs, generator).mean())
        if not looks or score < min(value for _, value in looks):
            best = copy.deepcopy(f)
        looks.append((step, score))

    for step in range(settings.steps):
        if pairs and step % settings.check_every == 0:
            look(step)
        for _ in range(settings.dual_steps):
            with torch.no_grad():
                dual.step(f(normal(settings.batch, len(f.mean), generator).to(train.device)))
        z = normal(settings.batch, len(f.mean), generator).to(train.device)
        x = f(z)
        # |x − T(x)|² with T(x) fixed has the gradient of the envelope theorem.
        loss = (x - dual.map(x.detach())).square().sum(1).mean()
        if settings.relaxation:
            loss = loss + settings.relaxation * (x - z).square().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    notes: tuple[str, ...] = ()
    if pairs:
        look(settings.steps)
    else:
        best = f
        notes = ("no latents were held out: nothing prevented this fit from memorising",)
    kept = min(looks, key=lambda row: row[1])[0] if looks else settings.steps
    evidence = {"looks": [list(row) for row in looks], "kept_step": kept}
    return NetworkBase(best.requires_grad_(False), evidence, notes)
