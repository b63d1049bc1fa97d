"""Handwritten digits as 2D point clouds, and their latents.

The 1,797 digits of 8 × 8 pixels in scikit-learn (Alpaydin and Kaynak, "Optical Recognition of
Handwritten Digits", UCI) are sampled by brightness, each in its own box. The autoencoder is that of
the 3D shapes, which accepts points of any dimension.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pcgen.errors import MissingPackage

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pcgen.latent.autoencoder import Autoencoder

POINTS = 512
STEPS = 1500
HELD_OUT = 1 / 3


def digit_clouds(generator: Generator, points: int = POINTS) -> tuple[Tensor, Tensor]:
    """(1797, points, 2) float32 clouds in the box [-1, 1]², +y up, and (1797,) digits 0 to 9."""
    import torch

    from pcgen.shapes.normalise import box_frame

    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingPackage("scikit-learn", "bench", "the digits benchmark") from None
    images, labels = load_digits(return_X_y=True)
    ink = torch.from_numpy(images).float()
    pixel = torch.multinomial(ink, points, replacement=True, generator=generator)
    corner = torch.stack([pixel % 8, 7 - pixel // 8], -1).float()
    clouds = corner + torch.rand(corner.shape, generator=generator)
    inked = clouds.numpy()
    return torch.from_numpy(box_frame(inked).apply(inked)), torch.from_numpy(labels)


def train_digits(clouds: Tensor, seed: int, steps: int = STEPS) -> Autoencoder:
    """A small autoencoder of 2D clouds (count, n, 2), trained in memory."""
    import torch
    from torch import nn

    from pcgen.batch_random import mine
    from pcgen.latent.autoencoder import Autoencoder, AutoencoderSettings
    from pcgen.train.loop import LoopSettings, Trainer

    sizes = AutoencoderSettings(
        encoder="basis-points",
        latent_dim=16,
        width=256,
        parts=32,
        thickness=0.03,
        points=256,
        scored=256,
    )
    model = Autoencoder.untrained(sizes, clouds, seed)

    def loss(module: nn.Module, generator: Generator) -> Tensor:
        assert isinstance(module, Autoencoder)
        rows = mine(torch.randint(len(clouds), (32,), generator=generator), generator)
        order = torch.randperm(clouds.shape[1], generator=generator)
        return module.loss(clouds[rows][:, order], generator)

    with TemporaryDirectory() as folder:
        settings = LoopSettings(steps=steps, batch=32, rate=2e-3)
        trainer = Trainer(Path(folder), model, loss, settings, seed=seed)
        for _ in trainer.steps():
            pass
    average = trainer.average
    assert isinstance(average, Autoencoder)
    return average.eval()


def digit_latents(generator: Generator) -> tuple[Tensor, Tensor]:
    """Latents (n, 16) of the two thirds of the digits used for training, and of the rest."""
    import torch

    clouds, _ = digit_clouds(generator)
    clouds = clouds[torch.randperm(len(clouds), generator=generator)]
    learned, rest = clouds.tensor_split([int((1 - HELD_OUT) * len(clouds))])
    model = train_digits(learned, seed=int(torch.randint(2**31, (1,), generator=generator)))
    with torch.no_grad():
        return model.encode(learned), model.encode(rest)
