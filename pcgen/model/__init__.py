"""A trained run, loaded for use: sample latents, decode them into clouds, interpolate, encode.

A run directory goes in; clouds in the per-shape box frame come out ([-1, 1] along the longest
side, +Y up)::

    base ω --latent flow--> z            latents: LatentSampler
    z --base points, point flow--> cloud clouds: CloudDecoder
    z --signed distance--> mesh          surfaces: LatentMesher
    all, from a run directory           shape_model: ShapeModel

Only this package combines the stages for generation; :mod:`pcgen.train` combines them for training.
"""

from pcgen.model.clouds import CloudDecoder, DecodedClouds
from pcgen.model.latents import LatentSampler, LatentSamples
from pcgen.model.shape_model import ShapeModel

__all__ = ["CloudDecoder", "DecodedClouds", "LatentSampler", "LatentSamples", "ShapeModel"]
