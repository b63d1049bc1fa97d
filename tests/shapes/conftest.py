"""Fixtures around :mod:`tests.shapes.small_shapes`."""

import pytest

from pcgen.shapes.mesh_files import Mesh
from tests.shapes.small_shapes import box_mesh, every_format


@pytest.fixture
def box() -> Mesh:
    """A box of 2 × 1 × 0.5 off the origin: area 7, volume 1."""
    return box_mesh()


@pytest.fixture
def box_files(box) -> dict[str, bytes]:
    return every_format(box)
