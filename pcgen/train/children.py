"""Stage 1: transport maps between training shapes, from which their children are drawn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pcgen import processes, progress
from pcgen.children import Choice, Maps
from pcgen.children.maps import Clouds, Pairing
from pcgen.config import from_plain, to_plain
from pcgen.train.stage import Context

STAGE = "children"


def train(context: Context) -> dict[str, object]:
    """Compute ``children/maps.safetensors``; returns facts for ``done.json``."""
    settings = context.run.settings.children
    seconds = context.seconds(STAGE)

    def computed() -> int:
        # Seconds of wall time are those of the processor on each of the threads' cores, and those
        # of the processes of this machine that wait meanwhile.
        workers = torch.get_num_threads() * processes.place().local_size
        budget = None if seconds is None else seconds * workers
        return len(_build(context, budget, workers))

    count = context.group.value(computed)
    progress.say(f"children       {count} maps between {len(context.clouds)} shapes")
    return {"maps": count, "points": settings.maps.points}


def load_maps(context: Context) -> Maps:
    """The maps of the run, with its clouds; read by the first process for all."""
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


def _build(context: Context, seconds: float | None, workers: int) -> Maps:
    clouds, run = context.clouds, context.run
    return Maps.build(
        clouds.points,
        clouds.normals,
        clouds.label,
        run.settings.children.maps,
        run.stage(STAGE),
        budget_seconds=seconds,
        seed=context.seed(STAGE),
        workers=workers,
    )
