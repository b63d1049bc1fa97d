"""Stage 1: transport maps between training shapes, from which children are sampled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pcgen import processes, progress
from pcgen.children import Choice, Maps, build_maps
from pcgen.children.clouds import Clouds
from pcgen.children.maps import Pairing
from pcgen.children.planning import nature_of
from pcgen.children.rule import Nature
from pcgen.config import from_plain, to_plain
from pcgen.train.stage import Context

STAGE = "children"
OVERRUN = 1.1  # of the time of the stage, before planned maps are left out


def train(context: Context) -> dict[str, object]:
    """Write ``children/maps.safetensors``; return what ``done.json`` records."""
    settings = context.run.settings.children
    seconds = context.seconds(STAGE)

    def computed() -> int:
        # The other processes on this machine wait for this one, so their cores are free.
        workers = torch.get_num_threads() * processes.place().local_size
        return len(_build(context, seconds, workers))

    count = context.group.value(computed)
    progress.say(f"children       {count} maps between {len(context.clouds)} shapes")
    return {"maps": count, "points": settings.maps.points}


def load_maps(context: Context) -> Maps:
    """The maps of the run with its clouds; the first process reads them for all."""
    if context.group.size == 1:
        return _build(context, None, 1)
    clouds = context.clouds

    def read() -> tuple[dict[str, Tensor], dict[str, Any]]:
        maps = _build(context, None, 1)
        return {**vars(maps.pairing), "to": maps.to}, to_plain(maps.choice)

    tensors, choice = context.group.tensors(read)
    to = tensors.pop("to")
    return Maps.of(
        Clouds.of(clouds.points, clouds.normals, clouds.label),
        Pairing(**tensors),
        to,
        from_plain(Choice, choice),
    )


def load_nature(context: Context, maps: Maps) -> Nature:
    """The novelty of training shapes relative to each other, read or computed again."""
    settings, folder = context.run.settings.children.maps, context.run.stage(STAGE)
    return nature_of(maps.clouds, settings, folder, context.seed(STAGE))


def _build(context: Context, seconds: float | None, workers: int) -> Maps:
    clouds, run = context.clouds, context.run
    return build_maps(
        clouds.points,
        clouds.normals,
        clouds.label,
        run.settings.children.maps,
        run.stage(STAGE),
        # A second of wall time is a second of processor time on each thread's core.
        budget_seconds=None if seconds is None else seconds * workers,
        wall_seconds=None if seconds is None else OVERRUN * seconds,
        seed=context.seed(STAGE),
        workers=workers,
    )
