"""Whether a latent flow learns the transport or memorises its pairs, for several numbers of them.

The base and the latents are those of a run. A teacher is trained on each number of pairs; a line
has the squared distance of its ends from the latents of the cells, over that of the starts, for
pairs of the training and for others. A flow that memorised its pairs has a small first number, and
a second one of 1 or more. Results are in docs/notes/base.md.

example:
  python -m tests.benchmarks.latent_flow runs/ldraw --pools 32768 131072
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from pcgen import runtime
from pcgen.batch_random import mine
from pcgen.cli import run_module
from pcgen.flow.characteristic import matching_loss, velocity_of
from pcgen.flow.integrate import trajectory
from pcgen.flow.networks import LatentFlowNetwork
from pcgen.model.coupling import LatentCoupling
from pcgen.train.loop import LoopSettings, Trainer
from pcgen.train.run import Run

COMPARED, STEPS = 2048, 4  # pairs in a line, and Heun's steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="a trained run")
    parser.add_argument("--pools", type=int, nargs="+", default=[32_768, 131_072], help="pairs")
    parser.add_argument("--steps", type=int, default=6000, help="of the training")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    runtime.configure(1)
    settings = Run.open(args.run).settings
    sizes = settings.latent_flow
    coupling = LatentCoupling.load(args.run / "base", None, 2**31)
    new = _pairs(coupling, COMPARED, args.seed + 1)
    rows = []
    for pool in args.pools:
        seen = _pairs(coupling, pool, args.seed)
        torch.manual_seed(args.seed)
        network = LatentFlowNetwork(coupling.omega.dim, sizes.width, sizes.blocks)
        loop = LoopSettings(steps=args.steps, batch=sizes.teacher.batch)
        for step, flow in fitted(network, seen, loop, settings.base.jitter, args.seed):
            ends = {"seen": left(flow, seen), "new": left(flow, new)}
            rows.append({"pool": pool, "step": step, **ends})
    return rows


def describe(rows: list[dict[str, Any]]) -> str:
    head = "  pairs   step  squared distance left: seen  new"
    lines = [
        f"{row['pool']:7d} {row['step']:6d}  {row['seen']:27.3f} {row['new']:5.3f}" for row in rows
    ]
    return "\n".join([head, *lines])


def fitted(
    network: nn.Module, pairs: tuple[Tensor, Tensor], loop: LoopSettings, jitter: float, seed: int
) -> Iterator[tuple[int, nn.Module]]:
    """Train a teacher on pairs; yield step and moving average after each quarter."""
    start, end = pairs

    def loss(module: nn.Module, draw: Generator) -> Tensor:
        index = mine(torch.randint(len(start), (loop.batch,), generator=draw), draw)
        noise = mine(torch.randn(loop.batch, end.shape[1], generator=draw), draw)
        return matching_loss(module, start[index], end[index] + jitter * noise, draw)

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Path(folder), network, loss, loop, seed=seed)
        for step in trainer.steps():
            if 4 * step.number % loop.steps < 4:
                yield step.number, trainer.average


@torch.no_grad()
def left(network: nn.Module, pairs: tuple[Tensor, Tensor]) -> float:
    """The squared distance of the flow's ends from the latents, over that of the starts."""
    start, goal = (side[:COMPARED] for side in pairs)
    *_, end = trajectory(velocity_of(network), start, steps=STEPS, method="heun")
    return float((end - goal).square().sum() / (start - goal).square().sum())


@torch.no_grad()
def _pairs(coupling: LatentCoupling, count: int, seed: int) -> tuple[Tensor, Tensor]:
    start = coupling.omega.sample(count, Generator().manual_seed(seed))
    return start, coupling.y[coupling.assign(start)]


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.latent_flow", sys.argv[1:])
    )
