"""Data of a shape that take long to compute: its mesh and its nearest training shape.

Both are computed in the background, with their lighting.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pcgen.errors import InputError, PcgenError
from pcgen.evaluate.neighbours import Neighbour, Neighbours
from pcgen.shapes.mesh_files import Mesh
from pcgen.viewer import drawing
from pcgen.viewer.sources import RunSource, Source, ViewedShape, reconstruct_mesh

SKETCHED = 1000  # points of a coarse mesh


class DerivedData:
    """Computes the mesh of a shape and finds the nearest training shape."""

    def __init__(
        self,
        source: Source,
        open_training: Callable[[], Neighbours | None] | None = None,
        mesh_of: Callable[[ViewedShape], Mesh] = reconstruct_mesh,
    ) -> None:
        """
        Args:
            open_training: opens the training shapes, once; None if there are none.
            mesh_of: reconstructs a mesh from the points of a shape.
        """
        self._source = source
        self._open_training = open_training
        self._training: Neighbours | None = None
        self._mesh_of = mesh_of

    @property
    def comparable(self) -> bool:
        return self._open_training is not None

    def mesh(self, item: ViewedShape) -> Mesh:
        """The mesh of a shape; for samples of a run, from more points than are shown."""
        source = self._source
        known = isinstance(source, RunSource) and item.latent is not None
        mesh = self._mesh_of(source.denser(item) if known else item)  # type: ignore[union-attr]
        drawing.mesh_lighting(mesh)
        return mesh

    def coarse_mesh(self, item: ViewedShape) -> Mesh | None:
        """A mesh through a few of the points that are shown, to look at until the mesh is ready;
        None if they have none."""
        count = len(item.points)
        few = slice(None, None, max(1, -(-count // SKETCHED)))
        normals = None if item.normals is None else item.normals[few]
        try:
            mesh = self._mesh_of(
                dataclasses.replace(item, points=item.points[few], normals=normals)
            )
        except PcgenError:
            return None  # all points may succeed, or their error says why not
        drawing.mesh_lighting(mesh)
        return mesh

    def nearest(self, item: ViewedShape) -> Neighbour:
        """The training shape nearest to a shape.

        Raises:
            InputError: the training shapes do not exist.
        """
        if self._training is None and self._open_training is not None:
            self._training = self._open_training()
        if self._training is None:
            raise InputError("the training data of the run was not found; use --reference DATASET")
        found = self._training.nearest(item.points)
        drawing.cloud_lighting(found.points)
        return found
