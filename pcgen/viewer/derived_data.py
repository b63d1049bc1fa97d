"""What a shape is not shown with at once, because it takes long: its mesh, its nearest neighbour.

Both are called in the background, one after the other, and leave their light computed.
"""

from __future__ import annotations

from collections.abc import Callable

from pcgen.errors import InputError
from pcgen.evaluate.neighbours import Neighbour, Neighbours
from pcgen.shapes.mesh_files import Mesh
from pcgen.viewer import drawing
from pcgen.viewer.sources import RunSource, Source, ViewedShape, reconstruct_mesh


class DerivedData:
    """Makes the mesh of a shape and finds the training shape nearest to it."""

    def __init__(
        self,
        source: Source,
        open_training: Callable[[], Neighbours | None] | None = None,
        mesh_of: Callable[[ViewedShape], Mesh] | None = None,
    ) -> None:
        """
        Args:
            open_training: opens the training shapes, once; None where nothing can be compared.
            mesh_of: reconstructs a mesh from an item's points.
        """
        self._source = source
        self._open_training = open_training
        self._training: Neighbours | None = None
        self._mesh_of = mesh_of or reconstruct_mesh

    @property
    def comparable(self) -> bool:
        return self._open_training is not None

    def mesh(self, item: ViewedShape) -> Mesh:
        """A mesh of the item; of a run's from more points than are shown."""
        source = self._source
        known = isinstance(source, RunSource) and item.latent is not None
        mesh = self._mesh_of(source.denser(item) if known else item)  # type: ignore[union-attr]
        drawing.mesh_lighting(mesh)
        return mesh

    def nearest(self, item: ViewedShape) -> Neighbour:
        """The training shape nearest to the item.

        Raises:
            InputError: the training shapes are gone.
        """
        if self._training is None and self._open_training is not None:
            self._training = self._open_training()
        if self._training is None:
            raise InputError("the training data is not where the run says; use --reference DATASET")
        found = self._training.nearest(item.points)
        drawing.cloud_lighting(found.points)
        return found
