"""Meshes of latents: the zero level set of a run's signed distance field, cleaned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pcgen import checkpoint
from pcgen.errors import DataError, MeshError
from pcgen.latent.autoencoder import Autoencoder
from pcgen.latent.field import FAR, Field
from pcgen.latent.patches import PatchCodec
from pcgen.model.trajectories import load_weights
from pcgen.reconstruct.level_set import RESOLUTION, check_resolution, level_set
from pcgen.reconstruct.watertight import decimate, without_bubbles
from pcgen.runfile import read_run
from pcgen.shapes.mesh_files import Mesh

HALF = 1.125  # half the side of the grid; the shape fills [-1, 1]
AT_ONCE = 4096  # positions whose data stay in a processor's cache
FACES = 40_000  # approximate upper limit


class LatentMesher:
    """The signed distance of a run's latents, and meshes of its zero level set."""

    def __init__(
        self, folder: Path, sizes: dict[str, Any], autoencoder: Autoencoder, device: str
    ) -> None:
        """
        Args:
            folder: of the field stage; sizes: its settings.
        Raises:
            ValueError: the weights belong to a different network.
        """
        codec, tensors = autoencoder.codec, load_weights(folder)
        if not isinstance(codec, PatchCodec):
            raise ValueError("a field needs local codes")
        known = {name: sizes[name] for name in ("width", "layers", "nearest")}
        # A damaged run may state any number of layers.
        if (
            not all(type(n) is int and n > 0 for n in known.values())
            or len(tensors) < known["layers"]
        ):
            raise ValueError(f"no field of {known} has {len(tensors)} tensors")
        network = checkpoint.filled(
            lambda: Field(codec.patches, codec.code, position_scale=codec.position_scale, **known),
            tensors,
        )
        self._field: Field = network.eval().requires_grad_(False).to(device)
        self._autoencoder, self._device = autoencoder, device

    @torch.no_grad()
    def distance(self, latent: Tensor, places: NDArray[np.floating]) -> NDArray[np.float64]:
        """Signed distances (n,) at positions (n, 3), up to about ``FAR``, negative inside.

        Both are in the frame of :mod:`pcgen.shapes.signed_distances`.
        """
        mean, features = self._field.patch_features(latent[None].to(self._device))
        parts = torch.from_numpy(np.asarray(places, np.float32)).to(self._device).split(AT_ONCE)
        found = [self._field.at(mean, features, part[None])[0] for part in parts]
        return torch.cat(found).clamp(-FAR, FAR).cpu().numpy().astype(np.float64)

    def mesh(self, latent: Tensor, resolution: int = RESOLUTION) -> Mesh:
        """A closed manifold mesh in the box frame, with faces oriented outwards.

        Args:
            latent: (latent_dim,), finite.
            resolution: cells along an axis; time grows with its square, memory with its cube.
        Raises:
            InputError: the resolution is out of range. MeshError: the field has no interior.
        """
        cells = check_resolution(resolution)
        vertices, faces, _ = level_set(lambda x: self.distance(latent, x), HALF, cells)
        if not len(faces):
            raise MeshError(
                "the field of this latent has no interior; the latent is far from those of shapes"
            )
        vertices, faces = without_bubbles(vertices, faces)
        extents = self._autoencoder.extents(latent[None].to(self._device))[0]
        vertices = vertices * extents.cpu().numpy().astype(np.float64)
        return Mesh(*decimate(vertices, faces, FACES))


def has_field(run: Path | str) -> bool:
    """Whether a run can mesh latents; False if there is no readable run."""
    try:
        read_run(run)
    except DataError:
        return False
    return (Path(run) / "field" / "weights.safetensors").is_file()
