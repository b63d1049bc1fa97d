"""One shape from one file, mesh or cloud, as a normalised cloud."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError, MeshError
from pcgen.shapes.normalise import box_frame

if TYPE_CHECKING:
    from pcgen.shapes.mesh_files import Mesh

MESHES = (".obj", ".off", ".stl", ".glb", ".gltf")


def read_shape(path: Path | str, *, points: int, seed: int = 0) -> NDArray[np.float32]:
    """The shape in ``path`` as (points, 3) float32 in its box frame.

    A mesh is sampled by area; of a cloud, ``points`` are drawn, with repeats where it has fewer.
    A file of several clouds gives its first.

    Raises:
        InputError: unknown ending, or a file with nothing in it; DataError, MeshError: damaged.
    """
    from pcgen.shapes.cloud_files import read_clouds
    from pcgen.shapes.surface import sample_surface

    path = Path(path)
    rng = np.random.default_rng(seed)
    if not path.is_file():
        raise InputError(f"no file {path}; expected a mesh or a cloud")
    mesh = _mesh(path)
    if mesh is not None:
        cloud, _ = sample_surface(mesh, points, rng)
    else:
        whole = read_clouds(path).clouds[0].points
        cloud = whole[rng.choice(len(whole), points, replace=len(whole) < points)]
    batch = np.asarray(cloud, np.float64)[None]
    return box_frame(batch).apply(batch)[0].astype(np.float32)


def _mesh(path: Path) -> Mesh | None:
    """The mesh in a file; None for a cloud. A PLY may be either."""
    from pcgen.shapes.mesh_files import read_mesh

    if path.suffix.lower() in MESHES:
        return read_mesh(path)
    if path.suffix.lower() != ".ply":
        return None
    try:
        return read_mesh(path)
    except MeshError:
        return None
