"""One picture of how a shape of a run is generated: sampled, decoded, meshed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pcgen.errors import PcgenError
from pcgen.reconstruct import MESH_POINTS
from pcgen.render.camera import AZIMUTH, ELEVATION
from pcgen.render.explain import explain
from pcgen.render.renderer import Image

if TYPE_CHECKING:
    from pcgen.model import ShapeModel

STEPS = 8  # flow steps, enough to show a path


def overview(
    model: ShapeModel,
    *,
    seed: int = 0,
    category: str | None = None,
    steps: int = 1,
    points: int = 2048,
    size: int = 400,
    azimuth: float = AZIMUTH,
    elevation: float = ELEVATION,
) -> Image:
    """See :func:`pcgen.render.explain`.

    Args:
        steps: evaluations of each flow; as a single one shows no path, :data:`STEPS` are used then.
        size: side of a panel in pixels.
    """
    steps = steps if steps > 1 else STEPS
    latent = model.draw(1, seed=seed, category=category, steps=steps).z
    shape = model.decode(latent, points=points, seed=seed, steps=steps, trace=True)
    mesh = None
    with contextlib.suppress(PcgenError):  # points that cannot be meshed are shown without a mesh
        from pcgen.reconstruct.methods import reconstruct

        dense = model.decode(latent, points=MESH_POINTS, seed=seed, steps=steps)
        mesh = reconstruct(dense.points[0].numpy(), dense.normals[0].numpy()).mesh
    return explain(shape, mesh=mesh, size=size, azimuth=azimuth, elevation=elevation)
