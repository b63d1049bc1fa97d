"""The characteristic student in point space: from the mixture of a latent, and from N(0, I).

Two point flows are trained for the same time, on the same clouds and with the same conditions: one
starts from samples of the decoded mixture, as `pcgen train` does, the other from Gaussian noise of
the clouds' mean square. Unseen shapes are then encoded and decoded with 1, 2, 4, 8 and 16
evaluations, by the student and by Euler steps of the teacher. Printed is the Chamfer distance to
another sample of the surface, over that of two samples: median over the shapes, 1 is perfect.

example:
  python -m tests.benchmarks.point_base runs/ldraw --out runs/point-base --minutes 8
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen.cli import run_module
from pcgen.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pcgen.flow.networks import PointCondition
    from pcgen.latent.autoencoder import Autoencoder
    from pcgen.train.stage import Context

BASES = ("mixture", "normal")
SOLVERS = ("student", "euler")
EVALUATIONS = (1, 2, 4, 8, 16)
MOST = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="with an autoencoder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the point flows")
    parser.add_argument("--minutes", type=float, default=8.0, help="of training for each base")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import torch

    from pcgen.distances.novelty import two_draw_distances
    from pcgen.distances.tables import Work
    from pcgen.shapes.store import Dataset
    from pcgen.train.latents import load_autoencoder
    from pcgen.train.run import Run

    torch.set_num_threads(1)
    config = Run.open(args.run).config
    dataset = Dataset.open(Path(config.dataset))
    rows = dataset.select(split="test", categories=list(config.categories))[:MOST]
    points = min(config.settings.point_flow.points, dataset.points_per_shape)
    if not len(rows):
        raise InputError(f"{config.dataset} has no test shapes of the categories of the run")
    first, again = (dataset.points(rows, points, part=part) for part in ("first", "last"))
    work = Work()
    apart = np.maximum(two_draw_distances(first, again, work), 1e-12)
    ratio: dict[str, dict[str, list[float]]] = {}
    for name in BASES:
        context = _trained(args, name)
        model = load_autoencoder(context)
        flow = config.settings.point_flow
        start, condition = _starts(
            model, torch.from_numpy(first).float(), points, flow.neighbours, args.seed
        )
        if name == "normal":
            start, condition = as_noise(
                start, condition, torch.Generator().manual_seed(args.seed + 1)
            )
        ratio[name] = {solver: [] for solver in SOLVERS}
        for solver in SOLVERS:
            for steps in EVALUATIONS:
                clouds = _integrated(context, model, start, condition, solver, steps)
                found = two_draw_distances(clouds, again, work) / apart
                ratio[name][solver].append(float(np.median(found)))
    return {"run": str(args.run), "minutes": args.minutes, "shapes": len(rows), "ratio": ratio}


def describe(result: dict[str, Any]) -> str:
    lines = [
        f"{result['run']}: {result['shapes']} unseen shapes, {result['minutes']:g} minutes of "
        "training from each base; Chamfer distance over that of two samples",
        f"{'evaluations':<20}" + "".join(f"{count:>8}" for count in EVALUATIONS),
    ]
    for name in BASES:
        for solver in SOLVERS:
            values = result["ratio"][name][solver]
            lines.append(f"{name + ', ' + solver:<20}" + "".join(f"{v:>8.3f}" for v in values))
    return "\n".join(lines)


def as_noise(
    start: Tensor, condition: PointCondition, draw: Generator
) -> tuple[Tensor, PointCondition]:
    """Gaussian noise in place of base points (batch, n, dim), and lengths in its unit."""
    import torch

    unit = float(start.square().mean().sqrt())
    noise = unit * torch.randn(start.shape, generator=draw)
    return noise, dataclasses.replace(condition, scale=torch.full_like(condition.scale, unit))


def _trained(args: argparse.Namespace, name: str) -> Context:
    """Train the point flow from one base, or load it."""
    import shutil

    import torch

    from pcgen.shapes.store import Dataset
    from pcgen.train import point_flow
    from pcgen.train.data import TrainingClouds
    from pcgen.train.latents import load_autoencoder
    from pcgen.train.run import Run
    from pcgen.train.stage import Context

    given = Run.open(args.run)
    config = dataclasses.replace(given.config, budget_minutes=args.minutes, seed=args.seed)
    made = Run.create(args.out / name, config)
    shutil.copytree(given.stage("autoencoder"), made.stage("autoencoder"), dirs_exist_ok=True)
    dataset = Dataset.open(Path(config.dataset))
    clouds = TrainingClouds.load(dataset, config.categories, "train", config.settings.cloud_points)
    shares = {"point-flow/teacher": 0.7, "point-flow/student": 0.3}
    context = Context(made, clouds, shares=shares)
    context.budget.begin(point_flow.STAGE)
    if not made.finished(point_flow.STAGE):
        model = load_autoencoder(context)
        pairs = point_flow.couple(context, model)
        if name == "normal":
            draw = torch.Generator().manual_seed(args.seed)
            start, condition = as_noise(pairs.start, pairs.condition, draw)
            pairs = dataclasses.replace(pairs, start=start, condition=condition)
        point_flow.fit(context, model, pairs)
        made.mark_finished(point_flow.STAGE, {"base": name})
    return context


def _starts(
    model: Autoencoder, clouds: Tensor, points: int, neighbours: int, seed: int
) -> tuple[Tensor, PointCondition]:
    """Base points of encoded clouds, and the conditions of the flow."""
    import torch

    from pcgen.flow.networks import PointCondition

    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        z = torch.cat([model.refined(part) for part in clouds.split(32)])
        mixture, start = model.draw_base(z, points, draw)
        condition = PointCondition.of(mixture, start, model.local(z, start.part), neighbours)
    return start.points, condition


def _integrated(
    context: Context,
    model: Autoencoder,
    start: Tensor,
    condition: PointCondition,
    solver: str,
    steps: int,
) -> Any:
    """The clouds at the end of the flow."""
    import torch

    from pcgen.flow.networks import BoundPointFlow, PointFlowNetwork
    from pcgen.model.trajectories import FlowNetworks, flow_trajectory

    flow = context.run.settings.point_flow
    networks = FlowNetworks(
        context.run.stage("point-flow"),
        lambda: PointFlowNetwork(model.dim, model.local_numbers, flow.width, flow.blocks),
        flow.blocks,
        "cpu",
    )
    ends = []
    with torch.no_grad():
        for rows in torch.arange(len(start)).split(16):
            slope = BoundPointFlow(networks.under(solver), condition[rows])
            *_, end = flow_trajectory(slope, start[rows], steps, solver, "point-flow")
            ends.append(end)
    return torch.cat(ends).numpy()


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.point_base", sys.argv[1:])
    )
