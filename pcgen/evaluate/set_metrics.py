"""Metrics between two sets of shapes, from tables of distances: 1-NNA, COV, MMD, and JSD.

The tables are keyword-only and named by their axes, generated first, because a transposed table
changes COV and MMD silently. Both sets must have the same size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pcgen.distances.symmetry import SYMMETRIC, mirror_ratios
from pcgen.errors import InputError
from pcgen.shapes.normalise import proportion_free

Table = NDArray[np.float64]
JSD_RESOLUTION = 28


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Leave-one-out 1-NN accuracy as fractions; 0.5 is ideal.

    Attributes:
        overall: on both sets together.
        reference: share of reference shapes whose nearest neighbour is a reference shape.
        generated: likewise for generated shapes. 0.84 here and 0.30 for the reference are a
            collapse, although their mean is 0.57.
    """

    overall: float
    reference: float
    generated: float


def nearest_neighbour_accuracy(
    *, generated: Table, generated_reference: Table, reference: Table
) -> Accuracy:
    """1-NNA of n generated and n reference shapes.

    Args:
        generated: (n, n) within the generated shapes; its diagonal is ignored.
        generated_reference: (n, n), one row per generated shape.
        reference: (n, n) within the reference shapes; its diagonal is ignored.
    """
    _check_square(generated, generated_reference, reference)
    count = len(generated)
    union = np.block([[generated, generated_reference], [generated_reference.T, reference]])
    np.fill_diagonal(union, np.inf)
    is_generated = np.arange(2 * count) < count
    right = is_generated[union.argmin(1)] == is_generated
    return Accuracy(
        overall=float(right.mean()),
        reference=float(right[count:].mean()),
        generated=float(right[:count].mean()),
    )


def coverage(*, generated_reference: Table) -> float:
    """Share of the reference shapes that are the nearest of some generated shape."""
    return len(np.unique(generated_reference.argmin(1))) / generated_reference.shape[1]


def minimum_matching_distance(*, generated_reference: Table) -> float:
    """Mean over the reference shapes of the distance to the nearest generated one."""
    return float(generated_reference.min(0).mean())


def symmetry_rate(points: NDArray[np.float32]) -> float:
    """Share of clouds (n, P, 3) that equal their mirror image along some axis of their box.

    Half of the points of a cloud are compared with the others, mirrored; of a few hundred points,
    only large differences show. 0 for clouds of one point.
    """
    half = points.shape[1] // 2
    if half == 0:
        return 0.0
    cubes = proportion_free(points[:, : 2 * half])
    first, second = (np.ascontiguousarray(cubes[:, k::2]) for k in (0, 1))
    return float((mirror_ratios(first, second) <= SYMMETRIC).any(axis=1).mean())


def jensen_shannon(
    generated: NDArray[np.float32], reference: NDArray[np.float32], *, scale: float = 1.0
) -> float:
    """JSD, base 2, of the distributions of all points of both sets over PointFlow's grid.

    Args:
        generated, reference: (n, P, 3) clouds.
        scale: factor that scales the clouds into the ball of radius ½ that the grid covers; clouds
            in [-1, 1] need 0.5. Points outside count in the nearest cell, so many of them make the
            result meaningless.
    """
    axis = np.linspace(-0.5, 0.5, JSD_RESOLUTION)
    centres = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    centres = centres[np.linalg.norm(centres, axis=1) <= 0.5]
    from scipy.spatial import cKDTree

    tree = cKDTree(centres)
    shares = []
    for clouds in (generated, reference):
        _, cell = tree.query(clouds.reshape(-1, 3) * scale)
        counts = np.bincount(cell, minlength=len(centres))
        shares.append(counts / counts.sum())
    middle = (shares[0] + shares[1]) / 2
    value = _entropy(middle) - (_entropy(shares[0]) + _entropy(shares[1])) / 2
    return max(0.0, float(value))  # rounding can leave -1e-16 for equal sets


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Mean and sd of the metrics between two sets of one distribution, at one size."""

    size: int
    nna: tuple[float, float]
    coverage: tuple[float, float]
    minimum_matching: tuple[float, float]


def expected_noise(
    *, first: Table, first_second: Table, second: Table, generator: np.random.Generator
) -> Noise:
    """The noise of the metrics between two sets of the same distribution.

    Two sets of real shapes (training and reference) are pooled and split at random, 200 times, so
    that the metrics between the halves vary by chance alone.

    Args:
        first, first_second, second: (n, n) tables within and between the two real sets.
    """
    _check_square(first, first_second, second)
    count = len(first)
    union = np.block([[first, first_second], [first_second.T, second]])
    apart = union.copy()
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(1)
    rows = []
    for _ in range(200):
        order = generator.permutation(2 * count)
        label = np.zeros(2 * count, bool)
        label[order[:count]] = True
        across = union[np.ix_(order[:count], order[count:])]
        rows.append(
            (
                (label[nearest] == label).mean(),
                coverage(generated_reference=across),
                minimum_matching_distance(generated_reference=across),
            )
        )
    mean, sd = np.mean(rows, 0), np.std(rows, 0, ddof=1)
    nna, cover, matching = ((float(m), float(s)) for m, s in zip(mean, sd, strict=True))
    return Noise(size=count, nna=nna, coverage=cover, minimum_matching=matching)


def _entropy(share: NDArray[np.float64]) -> float:
    present = share[share > 0]
    return float(-(present * np.log2(present)).sum())


def _check_square(*tables: Table) -> None:
    shapes = [table.shape for table in tables]
    size = shapes[0][0]
    if any(shape != (size, size) for shape in shapes):
        raise InputError(
            f"both sets must have the same number of shapes, got tables of {shapes}; "
            "subsample the larger set"
        )
    if size < 2:
        raise InputError(f"1-NNA needs at least 2 shapes per set, got {size}")
