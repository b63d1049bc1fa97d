"""Stage 1: transport maps between training shapes, from which their children are drawn."""

from __future__ import annotations

import torch

from pcgen import progress
from pcgen.children import Maps
from pcgen.train.stage import Context

STAGE = "children"


def train(context: Context) -> dict[str, object]:
    """Compute ``children/maps.safetensors``; returns facts for ``done.json``."""
    settings = context.run.settings.children
    seconds = context.seconds(STAGE)

    def computed() -> int:
        # Seconds of wall time are those of the processor on each of the threads' cores.
        workers = torch.get_num_threads()
        budget = None if seconds is None else seconds * workers
        return len(_build(context, budget, workers))

    count = context.group.value(computed)
    progress.say(f"children       {count} maps between {len(context.clouds)} shapes")
    return {"maps": count, "points": settings.maps.points}


def load_maps(context: Context) -> Maps:
    """The maps of the run, with its clouds."""
    return _build(context, None, 1)


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
