"""A codec and the proportions together, and the loss that trains them.

A latent is a code of the shape with its proportions taken out, followed by the proportions: the
cloud is encoded after each axis was stretched to the full box, and what the code decodes to is
stretched back. So a stretched shape keeps its code exactly, the networks need not learn what a
stretch does, and proportions are varied, blended and transported as the plain numbers they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn

from pcgen import checkpoint
from pcgen.batch_random import mine, whole
from pcgen.errors import InputError
from pcgen.latent.decoder import MixtureDecoder
from pcgen.latent.encoder import ENCODERS, build_encoder
from pcgen.latent.mixture import Drawn, MixtureBatch
from pcgen.latent.patches import PatchCodec
from pcgen.latent.tokens import TokenCodec
from pcgen.runtime import staged
from pcgen.shapes.normalise import FLAT

CODECS = ("patches", "tokens", *ENCODERS)
"""What turns clouds into codes and back: local patches, tokens, or one global code by one of
:data:`pcgen.latent.encoder.ENCODERS`."""

# Extents below this share of the longest one count as this share: noise on a flat shape must not
# be stretched to the size of the box.
FLATTEST = FLAT
# Of the logarithm of an extent in a latent, so that it varies about as much as a code's number.
EXTENT_SCALE = 2.0


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings:
    """Sizes of the autoencoder.

    Attributes:
        encoder: one of :data:`CODECS`.
        levels: of ``patches``: there are 2^levels of them.
        code: of ``patches`` and ``tokens``: numbers for what each looks like.
        neighbours: of ``patches``: points that a code is read off.
        patch_parts: of ``patches``: Gaussians of each.
        patch_width: of ``patches``: of the hidden layers.
        tokens: how many ``tokens``.
        latent_dim: of a global code: its numbers, proportions (one for each axis) included.
        width: of a global code and of ``tokens``: of the hidden layers.
        parts: of a global code and of ``tokens``: Gaussians per shape.
        thickness: floor under their standard deviations, in box units (the box has side 2).
        latent_noise: standard deviation added to the code in training, where it has variance
            one; makes neighbouring codes decode alike. Positions of patches get none.
        points: per shape and step, to encode; scored: likewise, to score, other ones.
        prune: weight of the sparsest components that the base of the point flow does without.
        reach: how many standard deviations from a component's centre its points may start.
        fuzz: of the thickness, how much a drawn point is moved off its component. The likelihood
            needs the thickness; drawn in full it is a blur that tells generated clouds apart.
    """

    encoder: str = "patches"
    levels: int = 8
    code: int = 12
    neighbours: int = 24
    patch_parts: int = 4
    patch_width: int = 128
    tokens: int = 32
    latent_dim: int = 128
    width: int = 512
    parts: int = 256
    thickness: float = 0.012
    latent_noise: float = 0.1
    points: int = 1536
    scored: int = 512
    prune: float = 0.03
    reach: float = 1.5
    fuzz: float = 0.3

    def __post_init__(self) -> None:
        sizes = (
            "latent_dim",
            "width",
            "parts",
            "points",
            "scored",
            "code",
            "neighbours",
            "patch_parts",
        )
        for name in (*sizes, "tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"autoencoder {name} must be at least 1")
        if self.encoder not in CODECS:
            raise InputError(f"encoder must be one of {', '.join(CODECS)}, got {self.encoder!r}")
        if not 0 <= self.levels <= 12 or self.patch_width < 4:
            raise InputError(
                "patches need 0 <= levels <= 12 and patch_width >= 4, got "
                f"{self.levels} and {self.patch_width}"
            )
        if self.encoder == "tokens" and self.parts % self.tokens:
            raise InputError(f"{self.parts} parts cannot be shared by {self.tokens} tokens")
        if self.thickness <= 0:
            raise InputError(f"thickness must be positive, got {self.thickness}")
        if not (0 <= self.prune < 1 and self.reach > 0 and self.fuzz >= 0):
            raise InputError(
                "a base needs 0 <= prune < 1, reach > 0 and fuzz >= 0, got "
                f"{self.prune}, {self.reach} and {self.fuzz}"
            )


class GlobalCodec(nn.Module):
    """One code for the whole shape: an encoder of :mod:`.encoder`, an MLP to all components."""

    position_numbers = 0

    def __init__(self, kind: str, code_dim: int, width: int, thickness: float, centres: Tensor):
        super().__init__()
        self.code_dim = code_dim
        self.encoder = build_encoder(kind, centres.shape[1], code_dim, width)
        self.decoder = MixtureDecoder(code_dim, width, thickness, centres)

    def encode(self, points: Tensor) -> Tensor:
        """(batch, n, dim) to (batch, code_dim)."""
        return self.encoder(points)

    def decode(self, code: Tensor) -> MixtureBatch:
        """(batch, code_dim) to mixtures."""
        return self.decoder(code)


Codec = PatchCodec | TokenCodec | GlobalCodec


def build_codec(settings: AutoencoderSettings, centres: Tensor) -> Codec:
    """The codec that ``settings`` ask for.

    Args:
        centres: (parts, dim) where the components of a global code or of tokens start.
    """
    dim = centres.shape[1]
    if settings.encoder == "patches":
        return PatchCodec(
            dim,
            levels=settings.levels,
            code=settings.code,
            neighbours=settings.neighbours,
            cloud_points=settings.points,
            parts=settings.patch_parts,
            width=settings.patch_width,
            thickness=settings.thickness,
        )
    if settings.encoder == "tokens":
        return TokenCodec(
            settings.tokens, settings.code, settings.width, settings.thickness, centres
        )
    code = settings.latent_dim - dim
    if code < 1:
        raise InputError(
            f"latent_dim must be more than the {dim} that hold the proportions, "
            f"got {settings.latent_dim}"
        )
    return GlobalCodec(settings.encoder, code, settings.width, settings.thickness, centres)


@dataclass(frozen=True)
class Local:
    """What latents say around some points.

    Attributes:
        code: (batch, n, c), what the patch of each point looks like.
        mean: (batch, n, dim), where that patch lies in the box.
        size: (batch, dim), its extent along the axes, which the code does not tell.
    """

    code: Tensor
    mean: Tensor
    size: Tensor


class Autoencoder(nn.Module):
    """``encode`` clouds, ``decode`` latents, ``loss`` of both on two draws of one surface.

    Attributes:
        dim: of the points; latent_dim: numbers in a latent, a code and then ``dim`` proportions.
    """

    def __init__(self, settings: AutoencoderSettings, centres: Tensor) -> None:
        super().__init__()
        self.settings = settings
        self.dim = centres.shape[1]
        self.codec = build_codec(settings, centres)

    @property
    def latent_dim(self) -> int:
        return self.codec.code_dim + self.dim

    @classmethod
    def untrained(cls, settings: AutoencoderSettings, clouds: Any, seed: int) -> Autoencoder:
        """One with random weights from ``seed``, its components at random points of the training
        clouds (count, n, dim), a tensor or indexed like one."""
        draw = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            shape, point = (
                torch.randint(size, (settings.parts,), generator=draw) for size in clouds.shape[:2]
            )
            return cls(settings, clouds[shape, point] / proportions(clouds[shape]))

    @classmethod
    def trained(cls, settings: AutoencoderSettings, weights: dict[str, Tensor]) -> Autoencoder:
        """One with weights that training left, frozen; they tell the dimension of the points.

        Raises:
            ValueError: they are of another network.
        """
        faults: list[ValueError] = []
        for dim in (3, 2, 1, 4):
            # Of no memory, since a damaged file may ask for any number of them.
            centres = torch.zeros(1, dim).expand(settings.parts, dim)
            try:
                model = checkpoint.filled(partial(cls, settings, centres), weights)
                return model.eval().requires_grad_(False)
            except ValueError as error:
                faults.append(error)
        raise faults[0]

    def encode(self, points: Tensor) -> Tensor:
        """(batch, n, dim) in the box frame, any n, to (batch, latent_dim)."""
        return self._encode(points, proportions(points))

    def decode(self, z: Tensor) -> MixtureBatch:
        """(batch, latent_dim) to a mixture each, whose likelihood the training raises."""
        code, sizes = self._parted(z)
        return self.codec.decode(code).stretched(sizes)

    def local(self, z: Tensor, part: Tensor) -> Local:
        """What a latent says around points of components ``part`` (batch, n), see :class:`Local`.

        A code that is not local says nothing there.
        """
        code, sizes = self._parted(z)
        if isinstance(self.codec, PatchCodec):
            looks, mean = self.codec.local(code, part)
            return Local(looks, mean * sizes[:, None], sizes * self.codec.scale)
        nothing = z.new_zeros(*part.shape, 0)
        return Local(nothing, z.new_zeros(*part.shape, self.dim), sizes)

    @property
    def local_numbers(self) -> int:
        """Numbers in the code of a patch, 0 where a code is not local."""
        return self.codec.code if isinstance(self.codec, PatchCodec) else 0

    def _parted(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes, and extents along the axes over the longest one, of latents."""
        code, logs = z.split([z.shape[1] - self.dim, self.dim], dim=1)
        logs = logs / EXTENT_SCALE
        return code, (logs - logs.amax(1, keepdim=True)).exp().clamp_min(FLATTEST)

    def extents(self, z: Tensor) -> Tensor:
        """Extents (batch, dim) along the axes over the longest one, of latents."""
        return self._parted(z)[1]

    def noisy(self, z: Tensor, generator: Generator) -> Tensor:
        """Latents with the noise that the decoder is trained under.

        Proportions and positions of patches stay.
        """
        rows = whole(len(z), generator)
        drawn = mine(torch.randn(rows, z.shape[1], generator=generator), generator)
        noise = self.settings.latent_noise * drawn
        noise[:, z.shape[1] - self.dim :] = 0
        noise[:, : self.codec.position_numbers] = 0
        return z + staged(noise.to(z.dtype), z.device)

    def draw_base(
        self,
        z: Tensor,
        count: int,
        generator: Generator | Sequence[Generator],
        clouds: int = 1,
    ) -> tuple[MixtureBatch, Drawn]:
        """The base of each shape in point space, and ``count`` points of it: where a point
        flow starts. Or several such ``clouds``, one after the other along the points.

        It is sharper than the mixture that the likelihood asks for: training clouds decoded after
        one hour on 1,401 shapes, 2048 points each, had a squared Chamfer distance of 4.07e-3, not
        4.27e-3, to another draw of their surface (two draws of it 3.02e-3), and 56.9, not 60.2, in
        100 of them had a generated nearest neighbour, where 50 is ideal.
        """
        chosen = self.settings
        mixture = self.decode(z).pruned(chosen.prune)
        drawn = [
            mixture.sample(count, generator, reach=chosen.reach, fuzz=chosen.fuzz)
            for _ in range(clouds)
        ]
        return mixture, Drawn(
            points=torch.cat([draw.points for draw in drawn], 1),
            part=torch.cat([draw.part for draw in drawn], 1),
            local=torch.cat([draw.local for draw in drawn], 1),
        )

    def loss(self, points: Tensor, generator: Generator) -> Tensor:
        """Negative log-likelihood of some of the points, given the latent of the others.

        Of fewer points than ``points`` + ``scored``, as large shares are encoded and scored.

        Two disjoint draws keep the code about the surface and not about the sample.
        """
        # The extents are those of all the points, or a tip that one half missed would rescale it.
        sizes = proportions(points)
        count, chosen = points.shape[1], self.settings
        first = max(1, count * chosen.points // (chosen.points + chosen.scored))
        seen, scored = points[:, :first], points[:, first:]
        z = self.noisy(self._encode(seen, sizes), generator)
        return -self.decode(z).log_likelihood(scored).mean()

    def _encode(self, points: Tensor, sizes: Tensor) -> Tensor:
        code = self.codec.encode(points / sizes[:, None])
        return torch.cat([code, EXTENT_SCALE * sizes.log()], dim=1)


def proportions(points: Tensor) -> Tensor:
    """Extents of clouds (batch, n, dim) along the axes over the longest one: (batch, dim)."""
    extents = points.amax(1) - points.amin(1)
    longest = extents.amax(1, keepdim=True).clamp_min(1e-6)
    return (extents / longest).clamp_min(FLATTEST)
