"""Stage 4: the point flow from the mixture of a latent to its surface, teacher and student."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from pcgen import progress
from pcgen.batch_random import mine
from pcgen.flow.characteristic import matching_loss, semigroup_loss
from pcgen.flow.coupling import match_points
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
        z: (count, latent_dim), with the noise the decoder was trained under.
        start, end: (count, n, dim); part: (count, n), the component of each start.
        normal: (count, n, dim) at ``end``, or None.
    """

    z: Tensor
    start: Tensor
    part: Tensor
    end: Tensor
    normal: Tensor | None


@dataclass(frozen=True)
class Batch:
    condition: PointCondition
    start: Tensor
    end: Tensor
    normal: Tensor | None


def train(context: Context) -> dict[str, object]:
    """Train ``point-flow/teacher`` and ``point-flow/student``."""
    settings = context.run.settings.point_flow
    model = load_autoencoder(context)
    pairs = couple(context, model)
    model = model.to(context.device)
    sizes = context.run.settings.autoencoder

    def build() -> PointSlope:
        dim = pairs.start.shape[-1]
        slope = PointSlope(dim, sizes.latent_dim, sizes.parts, settings.width, settings.blocks)
        if pairs.normal is None:
            slope.forget_normals()
        return slope

    def batch(size: int, draw: Generator) -> Batch:
        shapes = mine(torch.randint(len(pairs.z), (size,), generator=draw), draw)
        points = torch.randperm(pairs.start.shape[1], generator=draw)[: settings.batch_points]

        def chosen(values: Tensor) -> Tensor:
            return values[shapes][:, points].to(context.device)

        z = pairs.z[shapes].to(context.device)
        with torch.no_grad():
            mixture = model.decode(z)
        condition = PointCondition(z=z, mixture=mixture, part=chosen(pairs.part))
        normal = None if pairs.normal is None else chosen(pairs.normal)
        return Batch(condition, chosen(pairs.start), chosen(pairs.end), normal)

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
    return {"pairs": len(pairs.z), "mean_displacement": float(moved)}


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

    Recomputed on resume rather than stored: everything comes from one seed.
    """
    settings, clouds = context.run.settings, context.clouds
    flow = settings.point_flow
    draw = torch.Generator().manual_seed(context.seed(STAGE, 3))
    points = min(flow.points, clouds.points.shape[1])
    # A projection wants the surface as dense as it is known, a bijection as many points as base.
    surface = clouds.points.shape[1] if flow.coupling == "nearest" else points
    count = max(flow.pairs, 1)
    rows = torch.cat(
        [torch.randperm(len(clouds), generator=draw) for _ in range(-(-count // len(clouds)))]
    )[:count]
    chunks: list[CoupledClouds] = []
    with progress.bar("coupling", count) as bar:
        for chunk in rows.split(32):
            drawn, normals = clouds.draw(chunk, surface, draw)
            whole, normals = augment(drawn, settings.augment, draw, normals)
            z = model.noisy(model.encode(whole[:, :points]), draw)
            _, start = model.draw_base(z, points, draw)
            index = torch.zeros(start.part.shape, dtype=torch.int64)
            for row in range(len(chunk))[context.group.rows(len(chunk))]:
                index[row] = match_points(
                    start.points[row], whole[row], method=flow.coupling, seed=int(chunk[row])
                )
            context.group.sum_([index])
            bar.advance(len(chunk))
            at = torch.arange(len(chunk))[:, None]
            end = whole[at, index]
            normals = None if normals is None else normals[at, index]
            chunks.append(CoupledClouds(z, start.points, start.part, end, normals))

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(chunk, name) for chunk in chunks])

    normal = None if clouds.normals is None else joined("normal")
    return CoupledClouds(joined("z"), joined("start"), joined("part"), joined("end"), normal)
