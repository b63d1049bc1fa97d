"""One shape from one file, mesh or cloud, as a normalised cloud."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcgen import progress
from pcgen.shapes.mesh_files import Mesh
from pcgen.shapes.normalise import box_frame
from pcgen.shapes.reading import open_file


def read_shape(path: Path | str, *, points: int, seed: int = 0) -> NDArray[np.float32]:
    """The shape in ``path`` as (points, 3) float32 in its box frame.

    A mesh is sampled by area; of a cloud, ``points`` are drawn, with repeats where it has fewer.
    A file of several clouds gives its first.

    Raises:
        InputError: see :func:`pcgen.shapes.reading.open_file`.
    """
    from pcgen.shapes.surface import sample_surface

    rng = np.random.default_rng(seed)
    content = open_file(path)
    for note in content.notes:
        progress.say(f"{path}: {note}")
    shape = content.shapes[0]
    if isinstance(shape, Mesh):
        cloud, _ = sample_surface(shape, points, rng)
    else:
        whole = shape.points
        cloud = whole[rng.choice(len(whole), points, replace=len(whole) < points)]
    batch = np.asarray(cloud, np.float64)[None]
    return box_frame(batch).apply(batch)[0].astype(np.float32)
