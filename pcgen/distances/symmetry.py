"""Whether clouds are their own mirror images along an axis.

Two samplings of a symmetric shape are as far from each other when one of them is mirrored as when
none is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pcgen.distances.novelty import Clouds, two_draw_distances
from pcgen.distances.tables import Work
from pcgen.progress import shown

#: Ratio up to which a clean cloud counts as symmetric.
SYMMETRIC = 1.15


def mirror_ratios(first: Clouds, second: Clouds) -> NDArray[np.float64]:
    """(n, 3) CD from clouds to their mirror images along x, y and z over CD between two samplings.

    About 1 for a symmetric shape; noise of 1,024 points changes that by a tenth.

    Args:
        first, second: (n, P, 3), two samplings of each shape, with the mirror planes through 0.
    """
    mirrors = [np.ones(3, np.float32), *(1 - 2 * np.eye(3, dtype=np.float32))]
    with shown(False):
        same, *images = (two_draw_distances(first, second * m, Work()) for m in mirrors)
    return np.stack(images, axis=1) / np.maximum(same, 1e-12)[:, None]
