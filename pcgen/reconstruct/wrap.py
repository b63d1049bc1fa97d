"""Shrink-wrap for noisy points: closed walls and whole rods take precedence over small gaps.

For noisy points no plane is certain, so facets that must lie in planes tear: walls get holes and
legs fall to pieces. Here all small Delaunay cells count as material, as in an alpha shape, which
keeps rods whole. So does every room with a narrow entrance, regardless of its content, which closes
walls that the points cover badly. The cost: real openings narrower than that, and invisible inner
walls. Measurements: docs/notes/meshing.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.reconstruct.cloud import CleanCloud, joggled
from pcgen.reconstruct.facets import facet_shape
from pcgen.reconstruct.inside_cells import Rooms, cells, circumradius, delaunay, inside, surface

SMALL = 1.3  # largest circumradius, in spacings, of cells and sheets that are material
SEALED = Rooms(gate=2.0, width=1.1, opening=3.5, furnished=False)


def wrap(cloud: CleanCloud) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The boundary of small cells and of rooms behind narrow gates, and the small isolated facets.

    Returns:
        points (P, 3) and facets (F, 3) of their Delaunay complex.
    Raises:
        InputError: the points lie in one plane.
    """
    if cloud.rank == 2:
        raise InputError("the points lie in one plane and cannot be wrapped; use method facets")
    points = joggled(cloud.points, cloud)
    complex_ = cells(delaunay(points))
    _, radius, area = facet_shape(points, complex_.facets)
    solid = circumradius(points, complex_.corners) < SMALL * cloud.spacing
    material = np.r_[solid, False][complex_.cells_of].any(axis=1)
    material |= radius < SMALL * cloud.spacing
    solid |= inside(points, complex_, material, radius, area, cloud.spacing, SEALED)
    return points, complex_.facets[surface(complex_, solid, material)]
