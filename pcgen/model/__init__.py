"""A trained run, assembled: draw latents, decode them into clouds, interpolate, encode.

What enters is a run directory, what leaves are clouds in the per-shape box frame ([-1, 1] along
the longest side, +Y up)::

    base ω --latent flow--> z            latents: LatentSampler
    z --base points, point flow--> cloud clouds: CloudDecoder
    z --signed distance--> mesh          surfaces: Surfaces
    all, from a run directory           shape_model: ShapeModel

This is the one place that knows how the stages fit together when generating; training has its own
way in :mod:`pcgen.train`.
"""

from pcgen.model.clouds import CloudDecoder, Decoded
from pcgen.model.latents import LatentDraw, LatentSampler
from pcgen.model.shape_model import ShapeModel

__all__ = ["CloudDecoder", "Decoded", "LatentDraw", "LatentSampler", "ShapeModel"]
