"""Stage 2: the autoencoder, on augmented children of training shapes and on these themselves."""

from __future__ import annotations

import dataclasses

import torch
from torch import Generator, Tensor, nn

from pcgen.batch_random import mine
from pcgen.latent.augment import augment
from pcgen.latent.autoencoder import Autoencoder
from pcgen.runtime import staged
from pcgen.train.children import load_maps
from pcgen.train.stage import Context, fit

STAGE = "autoencoder"


def train(context: Context) -> dict[str, object]:
    """Train to ``autoencoder/weights.safetensors``; returns facts for ``done.json``."""
    settings = context.run.settings
    clouds = context.clouds
    sizes = settings.autoencoder

    def build() -> Autoencoder:
        return Autoencoder.untrained(sizes, clouds.points, context.seed(STAGE))

    # Nobody looks at the normals of these children.
    maps = load_maps(context).on_device(context.device, normals=False)
    children = settings.children
    points = min(sizes.points + sizes.scored, maps.to.shape[1])
    copies = max(maps.reach.copies, children.copies)
    # Of all maps: how far the base goes is chosen when there is an autoencoder to judge it by.
    reach = dataclasses.replace(maps.reach, partners=maps.farthest, copies=copies)
    batch = settings.autoencoder_loop.batch

    def loss(module: nn.Module, generator: Generator) -> Tensor:
        assert isinstance(module, Autoencoder)
        shapes = mine(torch.randint(len(clouds), (batch,), generator=generator), generator)
        drawn = maps.of_shapes(shapes, points, generator, reach).points
        moved, _ = augment(staged(drawn, context.device), settings.augment, generator)
        return module.loss(moved, generator)

    fit(
        context,
        STAGE,
        build,
        lambda _: loss,
        settings.autoencoder_loop,
        seed=context.seed(STAGE, 1),
    )
    return {"shapes": len(clouds)}
