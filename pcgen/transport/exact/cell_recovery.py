"""Cells that a Newton step would kill, raised again, so that it need not be shortened for them.

Where weights span orders of magnitude, or cells are cut off by the border, a few of hundreds of
cells vanish in a step that is good for all others, and damping shortens it to an eighth for their
sake. What a lost cell lacks is known: its plane lies below the envelope of the others by an amount
that is least at one of their corners. Raised above that corner it has a small cell there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pcgen.transport.exact.power_diagram import PowerCells

Array = NDArray[np.float64]

# With more lost cells than this the step is too long.
MOST_RAISED = 100
ROUNDS = 8


def raised(
    atoms: Array,
    potential: Array,
    cells: PowerCells,
    least: Array,
    cut: Callable[[Array], PowerCells],
) -> tuple[Array, PowerCells]:
    """Raise each cell whose mass is below ``least`` (n,) until it has that, if that can be.

    Args:
        atoms: (n, dim); potential: (n,); cells: theirs.
        cut: the cells of another potential.
    Returns:
        the potential (n,) and its cells, some perhaps below ``least`` still.
    """
    rise = np.zeros(len(atoms))
    potential = potential.copy()
    for _ in range(ROUNDS):
        lost = np.flatnonzero(cells.mass < least)
        if not 0 < len(lost) <= MOST_RAISED:
            break
        above = (cells.corners * atoms[cells.owner]).sum(1) + potential[cells.owner]
        short = above[:, None] - (cells.corners @ atoms[lost].T + potential[lost])
        # At its own corners a cell falls short by nothing but rounding.
        short[short <= 1e-12 * np.abs(short).max(0)] = np.inf
        nearest, second = np.partition(short, 1, axis=0)[:2]
        usable = np.isfinite(second)
        begun = rise[lost] > 0
        up = np.where(begun, 2 * rise[lost], 0.5 * (second - nearest))
        touching = np.where(begun | (cells.mass[lost] > 0), 0.0, nearest)
        lost, up, touching = lost[usable], up[usable], touching[usable]
        rise[lost] = up
        potential[lost] += touching + up
        cells = cut(potential)
    return potential, cells
