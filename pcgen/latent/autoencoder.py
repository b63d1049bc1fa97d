"""A codec combined with the proportions of a shape, and the training loss.

A latent is the code of the normalised shape, followed by its proportions: each axis of the cloud is
stretched to fill the box before encoding, and the decoded shape is stretched back. So a stretched
shape keeps its code exactly, the networks need not learn the effect of stretching, and proportions
are varied, blended and transported as plain numbers.
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
from pcgen.latent.mixture import MixtureBatch, MixtureSamples
from pcgen.latent.patches import PatchCodec
from pcgen.latent.tokens import TokenCodec
from pcgen.runtime import staged
from pcgen.shapes.normalise import FLAT

CODECS = ("patches", "tokens", *ENCODERS)
"""Codecs: local patches, tokens, or one global code by an encoder of
:data:`pcgen.latent.encoder.ENCODERS`."""

# Extents below this share of the longest one are treated as this share: noise on a flat shape must
# not be stretched to the size of the box.
FLATTEST = FLAT
# Factor of the log extents in a latent, so that they vary about as much as the code.
EXTENT_SCALE = 2.0
# Refinement: the first learning rate, which falls linearly; the decays of Adam's averages; points
# per step. With twice the points a step takes twice as long and gains less than a second step.
REFINE_RATE, REFINE_DECAYS, REFINE_POINTS = 0.05, (0.8, 0.95), 512
# The refining steps of the settings are enough for this many points. More points are worth more
# steps, up to this many times as many; see docs/notes/local-codes.md.
REFINED, MOST_REFINED = 2048, 4


@dataclass(frozen=True, kw_only=True)
class AutoencoderSettings:
    """Settings of the autoencoder.

    Attributes:
        encoder: one of :data:`CODECS`.
        levels: ``patches``: levels of splitting; there are 2^levels patches.
        code: ``patches``, ``tokens``: size of the code of each.
        neighbours: ``patches``: points from which a code is computed.
        position_scale: ``patches``: factor of their positions in a latent.
        patch_parts: ``patches``: Gaussians per patch.
        patch_width: ``patches``: width of the hidden layers.
        tokens: ``tokens``: number of tokens.
        latent_dim: global codes: size of the latent, including one proportion per axis.
        width: global codes, ``tokens``: width of the hidden layers.
        parts: global codes, ``tokens``: Gaussians per shape.
        thickness: lower bound on their standard deviations, in box units (the box has side 2).
        latent_noise: standard deviation of the noise added to the code in training, where the
            code has variance one; makes similar codes decode alike. Patch positions get none.
        points: points per shape and step to encode; scored: other points, to score.
        prune: weight of the sparsest components that the base of the point flow leaves out.
        reach: maximum distance of a start from its component's centre, in standard deviations.
        fuzz: noise of a sampled point about its component, relative to the thickness. The
            likelihood needs the thickness, but sampling with all of it blurs generated clouds.
        refinement: gradient steps of :meth:`Autoencoder.refined`; 0 in runs from before.
    """

    encoder: str = "patches"
    levels: int = 8
    code: int = 12
    position_scale: float = 4.0
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
    reach: float = 2.0
    fuzz: float = 0.3
    refinement: int = 0

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
            raise InputError(
                f"{self.parts} parts cannot be divided evenly among {self.tokens} tokens"
            )
        for name in ("thickness", "position_scale"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")
        if not (0 <= self.prune < 1 and self.reach > 0 and self.fuzz >= 0):
            raise InputError(
                "a base needs 0 <= prune < 1, reach > 0 and fuzz >= 0, got "
                f"{self.prune}, {self.reach} and {self.fuzz}"
            )
        if self.refinement < 0:
            raise InputError(f"refinement must be at least 0, got {self.refinement}")


class GlobalCodec(nn.Module):
    """One code for the whole shape: an encoder of :mod:`.encoder`, then an MLP decoder."""

    position_numbers = 0

    def __init__(self, kind: str, code_dim: int, width: int, thickness: float, centres: Tensor):
        super().__init__()
        self.code_dim = code_dim
        self.encoder = build_encoder(kind, centres.shape[1], code_dim, width)
        self.decoder = MixtureDecoder(code_dim, width, thickness, centres)

    def encode(self, points: Tensor) -> Tensor:
        """Encode (batch, n, dim) to (batch, code_dim)."""
        return self.encoder(points)

    def decode(self, code: Tensor) -> MixtureBatch:
        """Decode (batch, code_dim) to mixtures."""
        return self.decoder(code)


Codec = PatchCodec | TokenCodec | GlobalCodec


def build_codec(settings: AutoencoderSettings, centres: Tensor) -> Codec:
    """Build the codec that ``settings`` specify.

    Args:
        centres: (parts, dim) initial centres of the components of a global code or of tokens.
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
            position_scale=settings.position_scale,
        )
    if settings.encoder == "tokens":
        return TokenCodec(
            settings.tokens, settings.code, settings.width, settings.thickness, centres
        )
    code = settings.latent_dim - dim
    if code < 1:
        raise InputError(
            f"latent_dim must be more than the {dim} proportions, got {settings.latent_dim}"
        )
    return GlobalCodec(settings.encoder, code, settings.width, settings.thickness, centres)


@dataclass(frozen=True)
class LocalCodes:
    """What latents encode around some points.

    Attributes:
        code: (batch, n, c), the code of each point's patch.
        mean: (batch, n, dim), the position of that patch in the box.
        size: (batch, dim), extents along the axes, which the code does not contain.
    """

    code: Tensor
    mean: Tensor
    size: Tensor


class Autoencoder(nn.Module):
    """``encode`` clouds, ``decode`` latents; ``loss`` uses two samples of one surface.

    Attributes:
        dim: of the points; latent_dim: size of a latent, a code and then ``dim`` proportions.
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
        """Build one with random weights from ``seed`` and its components at random points of
        ``clouds`` (count, n, dim), a tensor or indexed like one."""
        draw = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            shape, point = (
                torch.randint(size, (settings.parts,), generator=draw) for size in clouds.shape[:2]
            )
            return cls(settings, clouds[shape, point] / proportions(clouds[shape]))

    @classmethod
    def trained(cls, settings: AutoencoderSettings, weights: dict[str, Tensor]) -> Autoencoder:
        """Build one with trained, frozen weights; these determine the dimension of the points.

        Raises:
            ValueError: the weights belong to a different network.
        """
        faults: list[ValueError] = []
        for dim in (3, 2, 1, 4):
            # Allocates no memory, as a damaged file may state any size.
            centres = torch.zeros(1, dim).expand(settings.parts, dim)
            try:
                model = checkpoint.filled(partial(cls, settings, centres), weights)
                return model.eval().requires_grad_(False)
            except ValueError as error:
                faults.append(error)
        raise faults[0]

    def encode(self, points: Tensor) -> Tensor:
        """Encode clouds (batch, n, dim) in the box frame, any n, to (batch, latent_dim)."""
        return self._encode(points, proportions(points))

    def refined(self, points: Tensor, factor: int = 1) -> Tensor:
        """Encode clouds as :meth:`encode`, then improve the latents (batch, latent_dim) by gradient
        steps (Adam) that increase the likelihood of the points.

        The encoder alone uses half of the precision that the decoder has: see
        docs/notes/local-codes.md. Clouds of fewer points than the encoder is trained with are only
        encoded: the steps would fit gaps between their points. Rows do not depend on each other,
        and the order of the points hardly matters, as each step takes others, chosen once.
        Source: Kim et al., Semi-Amortized Variational Autoencoders, 2018.

        Args:
            points: (batch, n, dim) in the box frame. factor: takes this many times the steps of the
                settings.
        """
        count, steps = points.shape[1], factor * self.settings.refinement
        if not steps or count < self.settings.points:
            return self.encode(points)
        order = torch.randperm(count, generator=Generator().manual_seed(0))
        stride = max(1, count // REFINE_POINTS)
        first, second = REFINE_DECAYS
        # torch.optim would import torch's compiler, which takes a second.
        with torch.inference_mode(False), torch.enable_grad():
            points = points[:, staged(order, points.device)]
            z = self.encode(points).detach()
            mean, square = torch.zeros_like(z), torch.zeros_like(z)
            for step in range(steps):
                z.requires_grad_()
                loss = -self.decode(z).log_likelihood(points[:, step % stride :: stride]).sum()
                (slope,) = torch.autograd.grad(loss, z)
                slope[:, z.shape[1] - self.dim :] = 0  # proportions are known
                mean = first * mean + (1 - first) * slope
                square = second * square + (1 - second) * slope.square()
                size = (square / (1 - second ** (step + 1))).sqrt() + 1e-8
                rate = REFINE_RATE * (1 - step / steps) / (1 - first ** (step + 1))
                z = z.detach() - rate * mean / size
        return z

    def decode(self, z: Tensor) -> MixtureBatch:
        """Decode (batch, latent_dim) to the mixtures whose likelihood the training maximises."""
        code, sizes = self._parted(z)
        return self.codec.decode(code).stretched(sizes)

    def local(self, z: Tensor, part: Tensor) -> LocalCodes:
        """What latents encode around points of ``part`` (batch, n), see :class:`LocalCodes`.

        A global code has no local information.
        """
        code, sizes = self._parted(z)
        if isinstance(self.codec, PatchCodec):
            looks, mean = self.codec.local(code, part)
            return LocalCodes(looks, mean * sizes[:, None], sizes * self.codec.scale)
        nothing = z.new_zeros(*part.shape, 0)
        return LocalCodes(nothing, z.new_zeros(*part.shape, self.dim), sizes)

    @property
    def local_numbers(self) -> int:
        """Size of a patch's code; 0 for a global code."""
        return self.codec.code if isinstance(self.codec, PatchCodec) else 0

    def _parted(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Split latents into codes and extents along the axes, relative to the longest."""
        code, logs = z.split([z.shape[1] - self.dim, self.dim], dim=1)
        logs = logs / EXTENT_SCALE
        return code, (logs - logs.amax(1, keepdim=True)).exp().clamp_min(FLATTEST)

    def extents(self, z: Tensor) -> Tensor:
        """Extents (batch, dim) of latents along the axes, relative to the longest."""
        return self._parted(z)[1]

    def noisy(self, z: Tensor, generator: Generator) -> Tensor:
        """Latents with the noise that the decoder is trained with.

        Proportions and positions of patches are unchanged.
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
    ) -> tuple[MixtureBatch, MixtureSamples]:
        """The base of each shape in point space, and ``count`` samples of it: the start of the
        point flow. Or several such ``clouds``, concatenated along the points.

        It is sharper than the mixture with the best likelihood: training clouds decoded after
        one hour on 1,401 shapes, 2048 points each, had a squared Chamfer distance of 4.07e-3, not
        4.27e-3, to another sample of their surface (two samples of it 3.02e-3), and 56.9, not 60.2,
        in 100 of them had a generated nearest neighbour, where 50 is ideal.
        """
        chosen = self.settings
        mixture = self.decode(z).pruned(chosen.prune)
        drawn = [
            mixture.sample(count, generator, reach=chosen.reach, fuzz=chosen.fuzz)
            for _ in range(clouds)
        ]
        return mixture, MixtureSamples(
            points=torch.cat([draw.points for draw in drawn], 1),
            part=torch.cat([draw.part for draw in drawn], 1),
            local=torch.cat([draw.local for draw in drawn], 1),
        )

    def loss(self, points: Tensor, generator: Generator) -> Tensor:
        """Negative log-likelihood of some of the points, given the latent of the others.

        Fewer points than ``points`` + ``scored`` are divided in the same proportion. As the two
        sets are disjoint, the code describes the surface rather than the sample.
        """
        # Extents of all points: a tip missing from one half would otherwise rescale it.
        sizes = proportions(points)
        count, chosen = points.shape[1], self.settings
        first = max(1, count * chosen.points // (chosen.points + chosen.scored))
        seen, scored = points[:, :first], points[:, first:]
        z = self.noisy(self._encode(seen, sizes), generator)
        return -self.decode(z).log_likelihood(scored).mean()

    def _encode(self, points: Tensor, sizes: Tensor) -> Tensor:
        code = self.codec.encode(points / sizes[:, None])
        return torch.cat([code, EXTENT_SCALE * sizes.log()], dim=1)


def refining_factor(points: int) -> int:
    """The factor of :meth:`Autoencoder.refined` for clouds of so many independent points."""
    return min(MOST_REFINED, max(1, points // REFINED))


def proportions(points: Tensor) -> Tensor:
    """Extents (batch, dim) of clouds (batch, n, dim) along the axes, relative to the longest."""
    extents = points.amax(1) - points.amin(1)
    longest = extents.amax(1, keepdim=True).clamp_min(1e-6)
    return (extents / longest).clamp_min(FLATTEST)
