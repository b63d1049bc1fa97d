"""Meshes of the latents stored with samples, made by the runs that generated them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.model.shape_model import ShapeModel
from pcgen.model.surfaces import has_field
from pcgen.reconstruct.batch import NamedCloud
from pcgen.shapes.mesh_files import Mesh


def mesh_of_run(
    run: Path | str, latent: NDArray[np.floating], resolution: int, device: str = "cpu"
) -> Mesh:
    """Mesh a latent (latent_dim,) with the field of a run, which stays in memory, on a device.

    Raises:
        DataError: there is no such run. InputError: the run has no field, or its latents differ.
    """
    model = _loaded(str(run), device)
    if model.surfaces is None:
        raise InputError(f"{run} has no field; train it on data with solids, see pcgen prepare")
    if np.shape(latent) != (model.latent_dim,):
        raise InputError(f"latents of {run} are ({model.latent_dim},), got {np.shape(latent)}")
    return model.surfaces.mesh(torch.from_numpy(np.asarray(latent, np.float32)), resolution)


@lru_cache(1)
def _loaded(run: str, device: str) -> ShapeModel:
    return ShapeModel.load(run, device)


def with_surfaces(clouds: Sequence[NamedCloud], device: str = "cpu") -> list[NamedCloud]:
    """The clouds; those whose latent's run has a field will be meshed with it, on a device."""
    known = {run: has_field(run) for run in {cloud.run for cloud in clouds if cloud.run}}
    return [
        replace(cloud, surface=partial(mesh_of_run, cloud.run, device=device))
        if cloud.latent is not None and known.get(cloud.run)
        else cloud
        for cloud in clouds
    ]
