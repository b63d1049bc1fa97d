"""Stage 6: the signed distance field of latents, learned from solids, for meshing."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from pcgen import progress
from pcgen.batch_random import mine
from pcgen.latent.field import Field
from pcgen.latent.patches import PatchCodec
from pcgen.runtime import staged
from pcgen.train.latents import load_autoencoder
from pcgen.train.stage import Context, fit

STAGE = "field"


def train(context: Context) -> dict[str, object]:
    """Train and write ``field/weights.safetensors``, if there are solids and local codes."""
    settings, clouds = context.run.settings, context.clouds
    sizes, loop = settings.field, settings.field.loop
    model = load_autoencoder(context).to(context.device)
    codec = model.codec
    if clouds.solids is None or not isinstance(codec, PatchCodec) or codec.dim != 3:
        why = "the data have no solids" if clouds.solids is None else "codes are not local"
        progress.say(f"field          none: {why}; meshes are made of points")
        return {"shapes": 0}
    known = clouds.shapes_with_solids
    points = min(settings.autoencoder.points, clouds.points.shape[1])

    def build() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed(STAGE))
            return Field(
                codec.patches,
                codec.code,
                position_scale=codec.position_scale,
                width=sizes.width,
                layers=sizes.layers,
                nearest=sizes.nearest,
            )

    def loss(module: nn.Module, draw: Generator) -> Tensor:
        assert isinstance(module, Field)
        pick = torch.randint(len(known), (loop.batch,), generator=draw)
        left = torch.where(torch.rand(loop.batch, generator=draw) < 0.5, -1.0, 1.0)
        shapes, left = mine(known[pick], draw), mine(left, draw)
        mirror = torch.stack([left, torch.ones_like(left), torch.ones_like(left)], 1)[:, None]
        cloud = staged(clouds.draw(shapes, points, draw)[0] * mirror, context.device)
        solid = clouds.draw_solids(shapes, sizes.places, draw)
        places = staged(solid[..., :3] * mirror, context.device)
        with torch.no_grad():
            z = model.noisy(model.encode(cloud), draw)
        return module.loss(z, places, staged(solid[..., 3], context.device))

    fit(context, STAGE, build, lambda _: loss, loop, seed=context.seed(STAGE, 1))
    return {"shapes": len(known)}
