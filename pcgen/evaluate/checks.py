"""Suspicions that numbers alone would hide: wrong units, a wrong axis up, copies of the reference.

Each finding is a sentence with its evidence. None stops the evaluation, because a bad generator
can look like any of them.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from pcgen.evaluate.cloud_sets import CloudSet

SIZE_RATIO = 1.5
AXES = "XYZ"
# Mean |log| ratio of box sides that no two sets of one law showed, and how much better another
# order of axes must fit.
AXIS_MISFIT, AXIS_GAIN = 0.15, 0.4


# Share of reference shapes that pass for training shapes, from which they may be just these; real
# collections show an eighth, and coarse clouds of a narrow class more than half.
LEAK = 0.9


def sanity_warnings(
    generated: CloudSet,
    reference: CloudSet,
    across: NDArray[np.float64],
    test_rate: float | None = None,
) -> list[str]:
    """Sentences about two sets of one size in one frame.

    Args:
        across: (n, n) CD, a generated shape a row.
        test_rate: the replay rate of the reference shapes, where there is a training set.
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
    """(3,) typical box sides: the geometric mean over shapes, flat ones kept above zero."""
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
            "training, --standardised DATASET takes them back"
            if standard
            else "The protocol 'box' compares shapes without their size"
        )
        return (
            f"generated shapes are {ratio:.3g} times the size of the reference shapes (typical "
            f"boxes {_text(mine)} and {_text(theirs)}): are both in the same units? {cure}"
        )
    centres = [clouds.points.mean((0, 1), np.float64) for clouds in (generated, reference)]
    apart = float(np.abs(centres[0] - centres[1]).max() / theirs.max())
    if apart > 0.5:
        return (
            f"the two sets lie in different places (mean points {_text(centres[0], ', ')} and "
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
            f"{_text(theirs)}; taking the generated axes as {order} would fit much better: is "
            "another axis up? This project's shapes have +Y up"
        )
    return ""


def _copies(across: NDArray[np.float64]) -> str:
    copies = int((across.min(1) <= 1e-12).sum())
    if copies == len(across) and int((across.min(0) <= 1e-12).sum()) == len(across):
        return (
            "generated and reference are the same shapes, point by point: is one file given "
            "twice? (COV is then 1, MMD 0, and 1-NNA 0)"
        )
    if copies:
        return (
            f"{copies} of {len(across)} generated shapes are reference shapes, point by point: "
            "the generator has seen the reference, or the files were mixed up"
        )
    return ""


def _leak(test_rate: float | None) -> str:
    if test_rate is None or test_rate <= LEAK:
        return ""
    return (
        f"{100 * test_rate:.0f} % of the reference shapes are training shapes, or as close to one "
        "as its own second sampling: is the reference the training set, or part of it?"
    )


def _text(sides: NDArray[np.float64], joint: str = " × ") -> str:
    return joint.join(f"{side:.3g}" for side in sides)
