"""Warnings of mistakes in the input: wrong units, a wrong up axis, copies of the reference.

Each warning is a sentence with its evidence. None stops the evaluation, because the samples of a
bad generator can look the same.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from pcgen.evaluate.cloud_sets import CloudSet

SIZE_RATIO = 1.5
AXES = "XYZ"
# Mean |log| ratio of box sides, above all values between two sets of one distribution, and the
# factor by which another order of axes must fit better.
AXIS_MISFIT, AXIS_GAIN = 0.15, 0.4


# Replay rate of reference shapes above which they may be training shapes. Real collections show an
# eighth, coarse clouds of a narrow class more than half.
LEAK = 0.9


def sanity_warnings(
    generated: CloudSet,
    reference: CloudSet,
    across: NDArray[np.float64],
    test_rate: float | None = None,
) -> list[str]:
    """Warnings about two sets of equal size in one frame.

    Args:
        across: (n, n) CD, one row per generated shape.
        test_rate: the replay rate of the reference shapes, if there is a training set.
    """
    sides = [_sides(clouds) for clouds in (generated, reference)]
    found = [
        _units(generated, reference, *sides),
        _axes(*sides),
        _copies(across),
        _leak(test_rate),
    ]
    return [sentence for sentence in found if sentence]


def _sides(clouds: CloudSet) -> NDArray[np.float64]:
    """(3,) typical box sides: the geometric mean over shapes, with flat sides above zero."""
    extent = np.ptp(clouds.points.astype(np.float64), axis=1)
    longest = extent.max(1, keepdims=True)
    return np.exp(np.log(np.maximum(extent, 0.01 * longest + 1e-30)).mean(0))


def _units(generated: CloudSet, reference: CloudSet, mine, theirs) -> str:  # type: ignore[no-untyped-def]
    ratio = float(np.prod(mine / theirs) ** (1 / 3))
    if not 1 / SIZE_RATIO < ratio < SIZE_RATIO:
        spread = float(generated.points.std())
        standard = 0.7 < spread < 1.4
        cure = (
            f"Their coordinates have sd {spread:.2f}: if they are still standardised as in "
            "training, --standardised DATASET denormalises them"
            if standard
            else "The protocol 'box' ignores sizes"
        )
        return (
            f"generated shapes are {ratio:.3g} times the size of the reference shapes (typical "
            f"boxes {_text(mine)} and {_text(theirs)}): are both in the same units? {cure}"
        )
    centres = [clouds.points.mean((0, 1), np.float64) for clouds in (generated, reference)]
    apart = float(np.abs(centres[0] - centres[1]).max() / theirs.max())
    if apart > 0.5:
        return (
            f"the two sets have different centres (mean points {_text(centres[0], ', ')} and "
            f"{_text(centres[1], ', ')}): is one of them centred and the other not?"
        )
    return ""


def _axes(mine: NDArray[np.float64], theirs: NDArray[np.float64]) -> str:
    def misfit(order: tuple[int, ...]) -> float:
        ratio = np.log(mine[list(order)] / theirs)
        return float(np.abs(ratio - ratio.mean()).mean())

    as_it_is = misfit((0, 1, 2))
    best = min(itertools.permutations(range(3)), key=misfit)
    if as_it_is > AXIS_MISFIT and misfit(best) < AXIS_GAIN * as_it_is:
        order = ", ".join(AXES[axis] for axis in best)
        return (
            f"generated boxes are typically {_text(mine)} along X, Y, Z and reference boxes "
            f"{_text(theirs)}; the order {order} of the generated axes would fit much better: is "
            "another axis up? In pcgen, +Y is up"
        )
    return ""


def _copies(across: NDArray[np.float64]) -> str:
    copies = int((across.min(1) <= 1e-12).sum())
    if copies == len(across) and int((across.min(0) <= 1e-12).sum()) == len(across):
        return (
            "generated and reference shapes have the same points: is one file given twice? (Then "
            "COV is 1, MMD 0, and 1-NNA 0)"
        )
    if copies:
        return (
            f"{copies} of {len(across)} generated shapes have the points of a reference shape: the "
            "generator has seen the reference, or the files were mixed up"
        )
    return ""


def _leak(test_rate: float | None) -> str:
    if test_rate is None or test_rate <= LEAK:
        return ""
    return (
        f"{100 * test_rate:.0f} % of the reference shapes are as close to a training shape as a "
        "second sampling of it: is the reference the training set, or part of it?"
    )


def _text(sides: NDArray[np.float64], joint: str = " × ") -> str:
    return joint.join(f"{side:.3g}" for side in sides)
