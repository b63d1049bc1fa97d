"""Lower bounds of Chamfer distances, for an exact search that computes few distances.

Let c be the centre of the cell of a point x in a grid of G³ cells, r = |x − c|, and d the distance
from c to the nearest point of the other cloud y. By the triangle inequality

    min_j |x − y_j| ≥ d − r,  so if d ≥ r, min_j |x − y_j|² ≥ d² − 2 d r + r².

Otherwise, and for points outside the grid, the bound is 0. The sum over x is a product of the
vectors (count, Σ r, Σ r²) per cell of one cloud and (d², −2 d, 1) of the other, so all bounds
between two sets are products of a sparse and a dense matrix. A mirror image in x permutes the
cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CELLS = 16  # along an axis
PART = 128  # clouds of the dense factor that are in memory at a time
# Margin of the bounds for rounding: distances are float32 and at most a few times scale.
SLACK = 1e-5

Clouds = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Sketches:
    """The data of some clouds that the bounds need.

    Attributes:
        scale: half side of the grid, in units of the clouds.
        cells: (N, 3 G³) sparse: per cell the share of the points, the mean of r and of r².
        gap: (N, G³) float16: per cell d / scale, rounded down.
    """

    scale: float
    cells: csr_array
    gap: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.gap)


def sketch(clouds: Clouds, scale: float = 1.0) -> Sketches:
    """Sketch clouds (N, P, 3); points outside [-scale, scale]³ do not contribute."""
    import torch
    from scipy import sparse

    from pcgen import kernels

    centres = _centres()
    rows, gap = [], np.empty((len(clouds), len(centres)), np.float16)
    for start in range(0, len(clouds), PART):
        part = np.asarray(clouds[start : start + PART], np.float32) / np.float32(scale)
        rows.append(_counted(part, centres))
        from_ = torch.from_numpy(centres).expand(len(part), -1, -1)
        squared, _ = kernels.nearest(from_, torch.from_numpy(part))
        found = np.sqrt(squared[..., 0].numpy()) * np.float32(1 - 2.0**-10)
        gap[start : start + PART] = np.minimum(found, np.float32(6e4))
    return Sketches(scale=scale, cells=sparse.vstack(rows, format="csr"), gap=gap)


def concatenate_sketches(parts: Sequence[Sketches]) -> Sketches:
    """Concatenate sketches of equal scale."""
    from scipy import sparse

    return Sketches(
        scale=parts[0].scale,
        cells=sparse.vstack([part.cells for part in parts], format="csr"),
        gap=np.concatenate([part.gap for part in parts]),
    )


def lower_bounds(first: Sketches, second: Sketches, *, mirrors: bool) -> NDArray[np.float32]:
    """(n, N, 1) lower bounds of the Chamfer distances, or (n, N, 2) with mirror images in x.

    Along the last axis: the shapes of the second set, then their mirror images.
    """
    images = 2 if mirrors else 1
    out = np.empty((len(first), len(second), images), np.float32)
    for one, other, side in ((first, second, out), (second, first, out.transpose(1, 0, 2))):
        for start in range(0, len(other), PART):
            dense = _dense(other.gap[start : start + PART])
            for image in range(images):
                order = _mirrored() if image else slice(None)
                found = one.cells @ dense[:, order].reshape(-1, dense.shape[2])
                place = side[:, start : start + PART, image]
                if side is out:
                    place[...] = found
                else:
                    place += found
    out -= SLACK * (1 + np.abs(out))
    out *= first.scale**2
    return out


@cache
def _centres() -> NDArray[np.float32]:
    """(G³, 3) cell centres in [-1, 1]³, x slowest."""
    line = (np.arange(CELLS, dtype=np.float32) + 0.5) * (2 / CELLS) - 1
    return np.stack(np.meshgrid(line, line, line, indexing="ij"), 3).reshape(-1, 3)


@cache
def _mirrored() -> NDArray[np.int64]:
    """The permutation of the cells by a mirror image in x."""
    return np.arange(CELLS**3).reshape(CELLS, -1)[::-1].reshape(-1)


def _counted(clouds: Clouds, centres: NDArray[np.float32]) -> csr_array:
    """The sparse factor: per cell the share of the points, the mean r and r²."""
    from scipy import sparse

    count, points, _ = clouds.shape
    at = np.clip((clouds + 1) * (CELLS / 2), 0, CELLS - 0.5).astype(np.int64)
    cell = (at[..., 0] * CELLS + at[..., 1]) * CELLS + at[..., 2]
    away = np.linalg.norm(clouds - centres[cell], axis=2)
    inside = away <= _radius()
    row = np.repeat(np.arange(count), points).reshape(count, points)[inside]
    cell, away, total = cell[inside], away[inside], CELLS**3
    values = np.concatenate([np.ones_like(away), away, away * away]) / np.float32(points)
    columns = np.concatenate([cell + kind * total for kind in range(3)])
    shape = (count, 3 * total)
    return sparse.coo_array((values, (np.tile(row, 3), columns)), shape=shape).tocsr()


def _dense(gap: NDArray[np.float16]) -> NDArray[np.float32]:
    """The dense factor (3, G³, N): d², −2 d and 1 where d is at least every r, else 0."""
    d = np.ascontiguousarray(gap.T, np.float32)
    far = (d >= _radius()).astype(np.float32)
    return np.stack([far * d * d, -2 * far * d, far])


def _radius() -> float:
    """Half the diagonal of a cell."""
    return 3**0.5 / CELLS
