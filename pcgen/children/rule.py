"""How far children go: the nearest reach at which they are as new as nature.

Children of near partners are stretched or mended copies of their parents; those of far ones have
less and less in common with either. In between lies a reach at which they differ from the training
set as much as its own shapes differ from each other, and that is what a new shape does. The rule
asks, in the box frame and in the cube frame (where proportions do not count),

* novelty: the median distance of children to the nearest training shape, mirror images included,
  is at least ``goal`` times the same median of training shapes, each beside all others, but for
  one standard error of this ratio;
* replays: the share within sampling noise of a training shape is no more than that of the training
  shapes, each beside all others, and one standard error of these two shares.

Parents are training shapes and are not passed over. Steps of the ladder are tried by bisection on
pilot maps, since newness rises with reach; the first that passes is taken. Where the nearest
partners alone pass, as they may in a set that is dense enough, copies are mixed in until the
children are no newer than asked. Test shapes play no part. If they were split off at random, a
training shape left out is to the others what a test shape is to the training set, but for one
shape in N. On the sets at hand the two differ by what sampling explains, to either side (medians by
-8 to +17 %), which is what the standard errors are for; see docs/notes/children.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pcgen.children.drawing import Children, Reach
from pcgen.children.newness import FRAMES, Newness, Yardstick

GOAL = 0.9
POINTS = 512  # that clouds are compared by
SHAPES = 256  # children, and training shapes left out, that are measured
#: Ranges of cuts beyond the farthest partners: a cut in the middle is as far from both parents as
#: can be.
LATER_CUTS = ((0.5, 0.5),)
#: What copies are mixed in by.
SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How new children are in one frame, beside training shapes left out.

    Attributes:
        novelty: ratio of medians; novelty_error: its standard error.
        replays, nature: shares that replay, of children and of training shapes; error: one
            standard error of their difference.
    """

    novelty: float
    novelty_error: float
    replays: float
    nature: float
    error: float

    def passes(self, goal: float) -> bool:
        return (
            self.novelty + self.novelty_error >= goal and self.replays <= self.nature + self.error
        )


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What the rule chose.

    Attributes:
        reach: of the children. passed: whether they are as new as nature.
        figures: by frame; empty where there is nothing to compare with.
    """

    reach: Reach
    passed: bool
    figures: dict[str, Figures]

    def line(self) -> str:
        """What was chosen and why, for the log."""
        reach = self.reach
        low, high = (round(100 * cut) for cut in reach.cuts)
        what = f"among the {reach.partners} nearest partners, cut at {low} to {high} %"
        if reach.copies:
            what += f", {reach.copies:.0%} copies"
        if not self.figures:
            return f"children: {what}; too few shapes to say how new they should be"
        news = "; ".join(
            f"{frame} novelty {f.novelty:.2f} ± {f.novelty_error:.2f}, replays {f.replays:.0%} "
            f"(training shapes {f.nature:.0%} ± {f.error:.0%})"
            for frame, f in self.figures.items()
        )
        why = "the nearest as new as nature" if self.passed else "the newest there are"
        return f"children: {what}, {why}: {news}"


class Nature:
    """A training set as the measure of its children."""

    def __init__(self, points: Tensor, generator: Generator) -> None:
        """Take clouds (N, 2n, 3), points that no map uses where there are so many."""
        count = len(points)
        order = torch.randperm(count, generator=generator)[:SHAPES]
        rows = order.sort().values.numpy()
        self._sticks = {frame: Yardstick(points, frame) for frame in FRAMES}
        self._nature = {frame: stick.leave_one_out(rows) for frame, stick in self._sticks.items()}
        self.points = points.shape[1] // 2

    def figures(self, children: Children, copies: float = 0.0) -> dict[str, Figures]:
        """Figures by frame, if a share of ``copies`` were mixed in."""
        return self._figures(self.measure(children), copies)

    def measure(self, children: Children) -> dict[str, Newness]:
        return {frame: s.measure(children.points) for frame, s in self._sticks.items()}

    def _figures(self, found: dict[str, Newness], copies: float) -> dict[str, Figures]:
        return {f: figures_of(found[f], self._nature[f], copies) for f in FRAMES}

    def with_copies(self, children: Children, goal: float) -> tuple[float, dict[str, Figures]]:
        """The largest share of copies with which children still pass, and their figures then."""
        found = self.measure(children)
        best = 0.0, self._figures(found, 0.0)
        for step in range(1, round(0.5 / SHARE) + 1):
            figures = self._figures(found, step * SHARE)
            if not all(f.passes(goal) for f in figures.values()):
                break
            best = step * SHARE, figures
        return best


def figures_of(children: Newness, nature: Newness, copies: float = 0.0) -> Figures:
    """Compare children, of which a share of ``copies`` is exchanged for copies, with nature."""
    distance = np.sort(children.distance)
    # A copy is at distance 0, so the median of the mixture is a lower quantile of the others.
    median = float(np.quantile(distance, max(0.0, (0.5 - copies) / (1 - copies))))
    base = float(np.median(nature.distance))
    replays = copies + (1 - copies) * float(children.replayed.mean())
    natural = float(nature.replayed.mean())
    error = np.hypot(_error(children.replayed), _error(nature.replayed))
    novelty = median / base if base > 0 else 1.0  # nature repeats itself: nothing is too close
    spread = np.hypot(_median_error(children.distance), _median_error(nature.distance))
    return Figures(
        novelty=novelty,
        novelty_error=float(novelty * spread),
        replays=replays,
        nature=natural,
        error=float(error),
    )


def _median_error(distance: NDArray[np.float64]) -> float:
    """Standard error of a median over the median, from the order statistics that bracket it."""
    reach = 0.5 / np.sqrt(len(distance))
    low, middle, high = np.quantile(distance, [max(0.0, 0.5 - reach), 0.5, min(1.0, 0.5 + reach)])
    return float((high - low) / (2 * middle)) if middle > 0 else 0.0


def _error(replayed: NDArray[np.bool_]) -> float:
    """Standard error of a share; one more of each kind keeps it from zero."""
    share = (replayed.sum() + 1) / (len(replayed) + 2)
    return float(np.sqrt(share * (1 - share) / len(replayed)))


def ladder(most: int, base: Reach) -> list[Reach]:
    """Reaches from near to far: partners by halves more up to ``most``, then cuts in the middle."""
    counts = [1]
    while counts[-1] < most:
        counts.append(min(most, counts[-1] + max(1, counts[-1] // 2)))
    steps = [replace(base, partners=count) for count in counts]
    return steps + [replace(base, partners=most, cuts=cuts) for cuts in LATER_CUTS]


def choose(
    steps: list[Reach],
    nature: Nature,
    pilot: Callable[[Reach], Children],
    goal: float = GOAL,
) -> Choice:
    """The first step of a ladder that passes, by bisection; if none does, the last one.

    Args:
        pilot: draws children of a reach to be measured.
    """
    seen: dict[int, dict[str, Figures]] = {}

    def passes(step: int) -> bool:
        if step not in seen:
            seen[step] = nature.figures(pilot(steps[step]))
        return all(f.passes(goal) for f in seen[step].values())

    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        if passes(middle):
            high = middle
        else:
            low = middle + 1
    passed = passes(low)
    if low == 0 and passed:
        copies, figures = nature.with_copies(pilot(steps[0]), goal)
        return Choice(reach=replace(steps[0], copies=copies), passed=True, figures=figures)
    return Choice(reach=steps[low], passed=passed, figures=seen[low])
