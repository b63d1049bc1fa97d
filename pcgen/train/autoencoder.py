"""Stage 2: the autoencoder, trained on augmented children and on the training shapes themselves."""

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
    """Train and write ``autoencoder/weights.safetensors``; return what ``done.json`` records."""
    settings = context.run.settings
    clouds = context.clouds
    sizes = settings.autoencoder

    def build() -> Autoencoder:
        return Autoencoder.untrained(sizes, clouds.points, context.seed(STAGE))

    # The normals of these children are not used.
    maps = load_maps(context).on_device(context.device, normals=False)
    children = settings.children
    points = min(sizes.points + sizes.scored, maps.to.shape[1])
    copies = max(maps.settings.copies, children.copies)
    # Uses all maps: those for the base are chosen later, with a trained autoencoder.
    blending = dataclasses.replace(maps.settings, partners=maps.farthest, copies=copies)
    batch = settings.autoencoder_loop.batch

    def loss(module: nn.Module, generator: Generator) -> Tensor:
        assert isinstance(module, Autoencoder)
        shapes = mine(torch.randint(len(clouds), (batch,), generator=generator), generator)
        drawn = maps.of_shapes(shapes, points, generator, blending).points
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
