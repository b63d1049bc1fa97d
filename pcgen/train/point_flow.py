"""Stage 5: the point flow from the mixture of a latent to its surface, teacher and student."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor, nn

from pcgen import progress, runtime
from pcgen.batch_random import mine
from pcgen.errors import TrainingError
from pcgen.flow.characteristic import matching_loss, semigroup_loss
from pcgen.flow.coupling import surface_targets
from pcgen.flow.networks import BoundPointFlow, PointCondition, PointFlowNetwork
from pcgen.latent.augment import augment
from pcgen.latent.autoencoder import Autoencoder
from pcgen.runtime import staged
from pcgen.train.latents import load_autoencoder
from pcgen.train.stage import Context, fit_teacher_and_student

STAGE = "point-flow"


@dataclass(frozen=True)
class CoupledClouds:
    """Matched base points and surface points, one cloud per row.

    Attributes:
        start, end: (count, n, dim); condition: describes the mixture around each start.
        normal: (count, n, dim) at ``end``, or None.
    """

    start: Tensor
    condition: PointCondition
    end: Tensor
    normal: Tensor | None


def train(context: Context) -> dict[str, object]:
    """Train ``point-flow/teacher`` and ``point-flow/student``."""
    model = load_autoencoder(context).to(context.device)
    pairs = couple(context, model)
    fit(context, model, pairs)
    moved = (pairs.end - pairs.start).norm(dim=-1).mean()
    return {"pairs": len(pairs.start), "mean_displacement": float(moved)}


def fit(context: Context, model: Autoencoder, pairs: CoupledClouds) -> None:
    """Train the flow of these pairs."""
    settings = context.run.settings.point_flow
    # Losses are in squared point spacings: in squared box units they would be negligible beside
    # those of the normals.
    spacing = float(pairs.condition.scale.square().mean())

    def build() -> PointFlowNetwork:
        slope = PointFlowNetwork(model.dim, model.local_numbers, settings.width, settings.blocks)
        if pairs.normal is None:
            slope.forget_normals()
        return slope

    def batch(size: int, draw: Generator) -> CoupledClouds:
        shapes = mine(torch.randint(len(pairs.start), (size,), generator=draw), draw)
        shapes = staged(shapes, pairs.start.device)
        normal = None if pairs.normal is None else pairs.normal[shapes].to(context.device)
        return CoupledClouds(
            pairs.start[shapes].to(context.device),
            pairs.condition[shapes].to(context.device),
            pairs.end[shapes].to(context.device),
            normal,
        )

    def teacher_loss(module: nn.Module, draw: Generator) -> Tensor:
        data = batch(settings.teacher.batch, draw)
        slope = BoundPointFlow(module, data.condition)
        loss = matching_loss(slope, data.start, data.end, draw) / spacing
        return loss + settings.normal_weight * _normal_loss(slope.normal, data.normal)

    def student_loss(
        module: nn.Module, average: nn.Module, teacher: nn.Module, draw: Generator
    ) -> Tensor:
        data = batch(settings.student.batch, draw)
        slope = BoundPointFlow(module, data.condition)
        loss = semigroup_loss(
            slope,
            BoundPointFlow(average, data.condition),
            BoundPointFlow(teacher, data.condition),
            data.start,
            data.end,
            settings.characteristic,
            draw,
        )
        return loss / spacing + settings.normal_weight * _normal_loss(slope.normal, data.normal)

    loops = (settings.teacher, settings.student)
    fit_teacher_and_student(context, STAGE, build, teacher_loss, student_loss, loops=loops)


def _normal_loss(predicted: Tensor, true: Tensor | None) -> Tensor:
    """Mean sin² between predicted normals and those at the data end; signs are ignored.

    Meshes in this field have faces of both orientations, so a signed target would be noisy.
    """
    if true is None:
        return predicted.new_zeros(())
    cosine = nn.functional.cosine_similarity(predicted, true, dim=-1)
    return (1 - cosine.square()).mean()


def _home(device: str, condition: PointCondition, times: float) -> str:
    """Where to keep the matched points and their conditions: on ``device`` if they fill at most a
    third of it, which leaves room to concatenate them and for a step."""
    held = sum(getattr(condition, f.name).nbytes for f in fields(condition))
    return device if 4 * times * held < runtime.free_bytes(device) else "cpu"


@torch.no_grad()
def couple(context: Context, model: Autoencoder) -> CoupledClouds:
    """Draw and augment clouds, decode their noisy latents, and match base points to surfaces.

    Only training shapes are used: children have seams, which must not be learned. When resuming,
    the pairs are recomputed rather than loaded, as everything comes from one seed.
    """
    settings, clouds = context.run.settings, context.clouds
    flow = settings.point_flow
    draw = torch.Generator().manual_seed(context.seed(STAGE, 3))
    points = min(flow.points, clouds.points.shape[1])
    surface = clouds.points.shape[1]
    count = max(flow.pairs, 1)
    rows = torch.cat(
        [torch.randperm(len(clouds), generator=draw) for _ in range(-(-count // len(clouds)))]
    )[:count]
    starts: list[Tensor] = []
    conditions: list[PointCondition] = []
    ends: list[Tensor] = []
    normals: list[Tensor] = []
    with progress.bar("coupling", count) as bar:
        for chunk in rows.split(32):
            drawn, up = clouds.draw(chunk, surface, draw)
            drawn = staged(drawn, context.device)
            up = None if up is None else staged(up, context.device)
            whole, up = augment(drawn, settings.augment, draw, up)
            z = model.noisy(context.group.by_rows(model.refined, whole), draw)
            mixture, start = model.draw_base(z, points, draw)
            if not torch.isfinite(start.points).all():
                raise TrainingError(
                    "point-flow: a decoded point is not finite; train the autoencoder again"
                )
            end, facing = torch.zeros_like(start.points), torch.zeros_like(start.points)
            for row in range(len(chunk))[context.group.rows(len(chunk))]:
                end[row], there = surface_targets(
                    start.points[row],
                    whole[row],
                    None if up is None else up[row],
                    seed=int(chunk[row]),
                    method=flow.coupling,
                )
                if there is not None:
                    facing[row] = there
            context.group.sum_([end, facing])
            bar.advance(len(chunk))
            local = model.local(z, start.part)
            condition = PointCondition.of(mixture, start, local, flow.neighbours)
            if not starts:
                home = _home(context.device, condition, count / len(chunk))
            starts.append(start.points.to(home))
            conditions.append(condition.to(home))
            ends.append(end.to(home))
            if up is not None:
                normals.append(facing.to(home))
    condition = PointCondition(
        *(torch.cat([getattr(part, f.name) for part in conditions]) for f in fields(PointCondition))
    )
    return CoupledClouds(
        torch.cat(starts), condition, torch.cat(ends), torch.cat(normals) if normals else None
    )
