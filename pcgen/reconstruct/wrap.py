"""A skin drawn over noisy points: whole legs and closed faces before small gaps.

Where points are noisy no plane at a point is sure, so facets that must lie in planes tear: walls
get holes, legs fall to pieces. Here all small Delaunay cells are material, as in an alpha shape,
which keeps rods whole; and so is every room whose way out is narrow, whatever lies in it, which
seals walls that the points cover badly. What it costs is what is really open by less than that,
and inner walls, which nobody sees.

Seven seats of the starter set, four for training and three for testing, encoded and decoded by
the run of `pcgen demo` with 16,000 points and predicted normals; F-score at 1 and at 2 % of the
box against samples of the originals, inner walls included:

=========================================  =====  =====  =====  ======
what counts as material                    F 1 %  F 2 %  genus  pieces
=========================================  =====  =====  =====  ======
facets in planes (``facets``)              0.667  0.837   66.0     1.7
cells of radius 1.0 (``alpha``)            0.651  0.832   28.4     2.1
cells of radius 1.3                        0.637  0.814   17.4     1.1
... and rooms of gate 2.0, 1.6 as wide     0.614  0.772    8.9     1.1
... of gate 2.0, 1.1 as wide (``wrap``)    0.607  0.772    5.3     1.0
... of gate 2.5, 1.1 as wide               0.590  0.765    4.3     1.0
``wrap`` of 6,000 points                   0.570  0.758    2.4     1.3
=========================================  =====  =====  =====  ======

Lengths are in spacings of the smoothed and thinned points. From a gate of 4 on, webs grow between
legs.
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
    """The boundary of small cells and of rooms behind narrow gates, and the small lone facets.

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
