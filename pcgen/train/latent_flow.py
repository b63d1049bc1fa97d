"""Stage 4: the latent flow from the base to the latents, teacher and one-step student."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from pcgen.batch_random import mine
from pcgen.errors import DataError
from pcgen.flow.characteristic import matching_loss, semigroup_loss
from pcgen.flow.networks import LatentFlowNetwork
from pcgen.runtime import staged
from pcgen.train.latents import load_coupling
from pcgen.train.stage import Context, fit_teacher_and_student

STAGE = "latent-flow"


@dataclass(frozen=True)
class CoupledLatents:
    """Coupled samples, one per row: a base point, the coordinates of the latent whose cell contains
    it, and the category of that latent."""

    start: Tensor
    end: Tensor
    label: Tensor


def train(context: Context) -> dict[str, object]:
    """Train ``latent-flow/teacher`` and ``latent-flow/student``."""
    settings = context.run.settings.latent_flow
    jitter = context.run.settings.base.jitter
    pairs = _pairs(context)
    classes = len(context.clouds.categories) if context.run.config.conditional else 0

    def build() -> LatentFlowNetwork:
        return LatentFlowNetwork(pairs.start.shape[1], settings.width, settings.blocks, classes)

    def batch(size: int, draw: Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        index = mine(torch.randint(len(pairs.start), (size,), generator=draw), draw)
        index = staged(index, context.device)
        end = pairs.end[index]
        noise = mine(torch.randn(size, end.shape[1], generator=draw), draw)
        end = end + staged(jitter * noise, context.device)
        label = None
        if classes:
            label = nn.functional.one_hot(pairs.label[index], classes).float()
        return pairs.start[index], end, label

    def teacher_loss(module: nn.Module, draw: Generator) -> Tensor:
        start, end, label = batch(settings.teacher.batch, draw)
        return matching_loss(lambda x, t, s: module(x, t, s, label), start, end, draw)

    def student_loss(
        module: nn.Module, average: nn.Module, teacher: nn.Module, draw: Generator
    ) -> Tensor:
        start, end, label = batch(settings.student.batch, draw)
        return semigroup_loss(
            lambda x, t, s: module(x, t, s, label),
            lambda x, t, s: average(x, t, s, label),
            lambda x, t, s: teacher(x, t, s, label),
            start,
            end,
            settings.characteristic,
            draw,
        )

    loops = (settings.teacher, settings.student)
    fit_teacher_and_student(context, STAGE, build, teacher_loss, student_loss, loops=loops)
    moved = (pairs.end - pairs.start).square().sum(1).mean().sqrt()
    return {"pairs": len(pairs.start), "root_mean_square_displacement": float(moved)}


@torch.no_grad()
def _pairs(context: Context) -> CoupledLatents:
    settings = context.run.settings.latent_flow
    device = context.device
    coupling = load_coupling(context).on_device(device)
    draw = torch.Generator(device=device).manual_seed(context.seed(STAGE, 3))
    start = coupling.omega.sample(settings.pool, draw)
    if not torch.isfinite(start).all():
        raise DataError(
            f"{context.run.stage('base')}: samples of the base are not finite; train it again"
        )
    cell = context.group.by_rows(lambda x: coupling.assign(x)[:, None], start)[:, 0]
    return CoupledLatents(
        start=start, end=coupling.y[cell], label=coupling.latents.label.to(device)[cell]
    )
