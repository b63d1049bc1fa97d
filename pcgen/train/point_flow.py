"""Stage 5: the point flow from the mixture of a latent to its surface, teacher and student."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor, nn

from pcgen import progress
from pcgen.batch_random import mine
from pcgen.flow.characteristic import matching_loss, semigroup_loss
from pcgen.flow.coupling import surface_targets
from pcgen.flow.networks import BoundPointSlope, PointCondition, PointSlope
from pcgen.latent.augment import augment
from pcgen.latent.autoencoder import Autoencoder
from pcgen.train.latents import load_autoencoder
from pcgen.train.stage import Context, fit_teacher_and_student

STAGE = "point-flow"


@dataclass(frozen=True)
class CoupledClouds:
    """Base points and surface points, matched; one row a cloud.

    Attributes:
        start, end: (count, n, dim); condition: the surroundings of each start.
        normal: (count, n, dim) at ``end``, or None.
    """

    start: Tensor
    condition: PointCondition
    end: Tensor
    normal: Tensor | None


def train(context: Context) -> dict[str, object]:
    """Train ``point-flow/teacher`` and ``point-flow/student``."""
    settings = context.run.settings.point_flow
    pairs = couple(context, load_autoencoder(context))

    def build() -> PointSlope:
        slope = PointSlope(pairs.start.shape[-1], settings.width, settings.blocks)
        if pairs.normal is None:
            slope.forget_normals()
        return slope

    def batch(size: int, draw: Generator) -> CoupledClouds:
        shapes = mine(torch.randint(len(pairs.start), (size,), generator=draw), draw)
        normal = None if pairs.normal is None else pairs.normal[shapes].to(context.device)
        return CoupledClouds(
            pairs.start[shapes].to(context.device),
            pairs.condition[shapes].to(context.device),
            pairs.end[shapes].to(context.device),
            normal,
        )

    def teacher_loss(module: nn.Module, draw: Generator) -> Tensor:
        data = batch(settings.teacher.batch, draw)
        slope = BoundPointSlope(module, data.condition)
        loss = matching_loss(slope, data.start, data.end, draw)
        return loss + settings.normal_weight * _normal_loss(slope.normal, data.normal)

    def student_loss(
        module: nn.Module, average: nn.Module, teacher: nn.Module, draw: Generator
    ) -> Tensor:
        data = batch(settings.student.batch, draw)
        slope = BoundPointSlope(module, data.condition)
        loss = semigroup_loss(
            slope,
            BoundPointSlope(average, data.condition),
            BoundPointSlope(teacher, data.condition),
            data.start,
            data.end,
            settings.characteristic,
            draw,
        )
        return loss + settings.normal_weight * _normal_loss(slope.normal, data.normal)

    loops = (settings.teacher, settings.student)
    fit_teacher_and_student(context, STAGE, build, teacher_loss, student_loss, loops=loops)
    moved = (pairs.end - pairs.start).norm(dim=-1).mean()
    return {"pairs": len(pairs.start), "mean_displacement": float(moved)}


def _normal_loss(predicted: Tensor, true: Tensor | None) -> Tensor:
    """Mean sin² between predicted normals and those at the data end; the sign is left free.

    Meshes of the field have faces of both orientations, so a signed target would be noise.
    """
    if true is None:
        return predicted.new_zeros(())
    cosine = nn.functional.cosine_similarity(predicted, true, dim=-1)
    return (1 - cosine.square()).mean()


@torch.no_grad()
def couple(context: Context, model: Autoencoder) -> CoupledClouds:
    """Draw clouds, augment them, decode their noisy latents and match base to surface.

    The surfaces are those of training shapes: children have seams, which are not to be learned.
    Recomputed on resume rather than stored: everything comes from one seed.
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
    starts, conditions, ends, normals = [], [], [], []
    with progress.bar("coupling", count) as bar:
        for chunk in rows.split(32):
            drawn, up = clouds.draw(chunk, surface, draw)
            whole, up = augment(drawn, settings.augment, draw, up)
            z = model.noisy(model.encode(whole[:, :points]), draw)
            mixture, start = model.draw_base(z, points, draw)
            end, normal = torch.zeros_like(start.points), torch.zeros_like(start.points)
            for row in range(len(chunk))[context.group.rows(len(chunk))]:
                end[row], there = surface_targets(
                    start.points[row],
                    whole[row],
                    None if up is None else up[row],
                    seed=int(chunk[row]),
                    method=flow.coupling,
                )
                if there is not None:
                    normal[row] = there
            context.group.sum_([end, normal])
            bar.advance(len(chunk))
            starts.append(start.points)
            conditions.append(PointCondition.of(mixture, start, flow.neighbours))
            ends.append(end)
            if up is not None:
                normals.append(normal)
    condition = PointCondition(
        *(torch.cat([getattr(part, f.name) for part in conditions]) for f in fields(PointCondition))
    )
    normal = torch.cat(normals) if normals else None
    return CoupledClouds(torch.cat(starts), condition, torch.cat(ends), normal)
