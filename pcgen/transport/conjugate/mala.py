"""Langevin sampling with a Metropolis test (MALA, Roberts and Tweedie 1996), and its diagnostics.

Many chains run in parallel. The step length is tuned towards the acceptance rate 0.574, which is
optimal in high dimension (Roberts and Rosenthal, 1998), and then fixed. Without the Metropolis test
(ULA) the samples have a bias that no number of steps removes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pcgen.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

BEST_ACCEPTANCE = 0.574


@dataclass(frozen=True)
class Chains:
    """The chains' states and diagnostics.

    Attributes:
        points: (chains, dim), the last states.
        step: step length τ: proposals are x − τ ∇W(x) + √(2τ) ξ.
        acceptance: share of accepted proposals.
        r_hat: the largest split R̂ over coordinates (Gelman et al., "Bayesian Data Analysis", 3rd
            edition, section 11.4); NaN for fewer than 4 steps. Below 1.1 the chains agree.
    """

    points: Tensor
    step: float
    acceptance: float
    r_hat: float


def mala(
    value: Callable[[Tensor], Tensor],
    gradient: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    steps: int,
    step: float,
    generator: Generator,
    adapt: bool = False,
) -> Chains:
    """Run chains that sample the density ∝ e^{−W}.

    Args:
        value, gradient: W and ∇W at (chains, dim).
        start: (chains, dim) initial states.
        step: τ > 0; with ``adapt`` it is tuned towards the best acceptance rate.
    """
    if steps < 1 or step <= 0:
        raise InputError(f"steps and step must be positive, got {steps} and {step}")
    with torch.no_grad():
        x = start
        w, g = value(x), gradient(x)
        accepted = 0.0
        history = []
        for index in range(steps):
            noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x)
            proposal = x - step * g + math.sqrt(2 * step) * noise
            w_new, g_new = value(proposal), gradient(proposal)
            there = (proposal - x + step * g).square().sum(1)
            back = (x - proposal + step * g_new).square().sum(1)
            log_ratio = w - w_new + (there - back) / (4 * step)
            u = torch.rand(len(x), generator=generator, device=generator.device).to(x)
            # A proposal with overflowing energy compares False and is rejected.
            take = u.log() < log_ratio
            x = torch.where(take[:, None], proposal, x)
            g = torch.where(take[:, None], g_new, g)
            w = torch.where(take, w_new, w)
            rate = float(take.double().mean())
            accepted += rate
            history.append(x)
            if adapt:
                step *= math.exp((rate - BEST_ACCEPTANCE) / math.sqrt(index + 1))
    return Chains(x, step, accepted / steps, split_r_hat(torch.stack(history)))


def split_r_hat(history: Tensor) -> float:
    """The largest split R̂ of a history (steps, chains, dim)."""
    half = len(history) // 2
    if half < 2:
        return math.nan
    halves = torch.cat([history[:half], history[half : 2 * half]], 1).double()
    within = halves.var(0).mean(0)
    between = halves.mean(0).var(0)
    ratio = (half - 1) / half + between / within.clamp(min=1e-300)
    return float(ratio.max().sqrt())
