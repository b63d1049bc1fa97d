"""The rule for children: how far from their parents they are as novel as training shapes.

Children of near partners are repaired copies of their parents; those of distant partners have less
and less in common with either. The rule finds the nearest settings with which children differ
from the training set as much as its own shapes, each left out, differ from the others (*nature*).
It is applied twice, because the autoencoder that decodes children makes them a tenth more novel:
:data:`RAW` decides which maps to compute, :data:`DECODED` to which children the base is fitted.
Most odd children, such as chairs with two seats, come from the maps that move points farthest. So
as many of these are left out as the other children allow, see :func:`without_costliest`.

Test shapes are not used; see docs/notes/children.md for the measurements.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pcgen.children.drawing import BlendSettings
from pcgen.distances.novelty import FrameIndex, Frames, Nearest, Novelty, framed, in_box
from pcgen.progress import shown
from pcgen.shapes.normalise import proportion_free

FRAMES: Frames = {"box": in_box, "cube": proportion_free}
POINTS = 512  # per cloud in comparisons
SHAPES = 256  # children that are measured
#: Number of left-out training shapes; with 256 the medians have an error of 8 %.
NATURE_SHAPES = 1024
#: Maps lead to this many times the partners of the first choice, and to at least so many, so that
#: the second can choose. A few raw children cannot tell 2 partners from 3, and decoded ones of 18
#: are a little newer than of 13 (docs/notes/children.md).
FARTHER, LEAST_PARTNERS = 6, 18
#: Ranges of cuts after the farthest partners: a cut in the middle is as far as possible from both
#: parents.
LATER_CUTS = ((0.5, 0.5),)
#: Step size of the share of copies, and of the share of the costliest maps that are left out.
SHARE = 0.05
MOST_LEFT_OUT = 0.3


@dataclass(frozen=True, kw_only=True)
class Demand:
    """The requirement on children.

    Attributes:
        novelty: minimum ratio of median distances, children's over nature's, by frame; other
            frames do not count.
        replays: whether the share of replays must not exceed nature's.
    """

    novelty: Mapping[str, float]
    replays: bool

    def passes(self, statistics: dict[str, NoveltyStatistics]) -> bool:
        """Whether the statistics of all frames pass, up to one standard error each."""
        return all(
            f.novelty + f.novelty_error >= least
            and (not self.replays or f.replays <= f.nature + f.error)
            for f, least in ((statistics[name], least) for name, least in self.novelty.items())
        )


BETWEEN = {False: 1.0, True: 0.5}
"""The share of children in proportions between those of both parents, by whether many shapes of the
set have the same ones. There, half of the children in new ones make them as novel in the box as
test shapes; if all have new ones, they are easily distinguished from these."""
GOAL = 0.8
RAW = Demand(novelty={"cube": GOAL}, replays=False)
"""Of unchanged children. Where the proportions are the parent's, novelty in the box frame hardly
depends on the partner, so only that in the cube counts."""
DECODED = Demand(novelty={"box": 0.95, "cube": 0.95}, replays=True)
"""Of encoded and decoded children. It never leads to nearer partners than RAW, because the output
of a poor autoencoder is novel for a bad reason."""
KEPT = Demand(novelty={"box": 0.95, "cube": 0.85}, replays=True)
"""Of decoded children without those of the costliest maps. In the cube left-out shapes are 7 to
17 % more novel than test shapes, so 0.85 of their novelty is 0.91 to 0.99 of theirs."""


@dataclass(frozen=True, kw_only=True)
class NoveltyStatistics:
    """The novelty of children in one frame, compared with left-out training shapes.

    Attributes:
        novelty: ratio of medians; novelty_error: its standard error.
        replays, nature: shares of replays, of children and of training shapes; error: one
            standard error of their difference.
    """

    novelty: float
    novelty_error: float
    replays: float
    nature: float
    error: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The choice of the rule.

    Attributes:
        settings: of the children. passed: whether they are as novel as nature.
        statistics: by frame; empty if there is nothing to compare with.
    """

    settings: BlendSettings
    passed: bool
    statistics: dict[str, NoveltyStatistics]

    def describe(self) -> str:
        """The choice and the reason, for the log."""
        settings = self.settings
        low, high = (round(100 * cut) for cut in settings.cuts)
        what = f"among the {settings.partners} nearest partners, cut at {low} to {high} %"
        both = "in proportions between those of both parents"
        if settings.between == 1:
            what += f", {both}, which few shapes share"
        elif settings.between:
            what += f", {settings.between:.0%} {both}, which many shapes share"
        if settings.left_out:
            what += f", without the {settings.left_out:.0%} of maps that move points farthest"
        if settings.copies:
            what += f", {settings.copies:.0%} copies"
        if not self.statistics:
            return f"children: {what}; too few shapes to say how novel they should be"
        news = "; ".join(
            f"{frame} novelty {f.novelty:.2f} ± {f.novelty_error:.2f}, replays {f.replays:.0%} "
            f"(training shapes {f.nature:.0%} ± {f.error:.0%})"
            for frame, f in self.statistics.items()
        )
        why = "the nearest as novel as nature" if self.passed else "the most novel available"
        return f"children: {what}, {why}: {news}"


class Nature:
    """A training set as the reference for its children.

    :meth:`tensors` returns the measurements of the training shapes, from which it can be rebuilt
    without a search.
    """

    def __init__(
        self, points: Tensor, generator: Generator, known: Mapping[str, Tensor] | None = None
    ) -> None:
        """Take clouds (N, 2n, 3), of points that no map uses if there are enough: n points to
        compare with, and n of a second sampling.

        Args:
            known: the :meth:`tensors` of a Nature of the same clouds.
        """
        count, self.points = len(points), points.shape[1] // 2
        order = torch.randperm(count, generator=generator)[:NATURE_SHAPES]
        rows = order.sort().values.numpy()
        self._frames = {}
        for name, frame in FRAMES.items():
            both = framed(points.numpy(), frame)
            first, again = (
                np.ascontiguousarray(part)
                for part in (both[:, : self.points], both[:, self.points :])
            )
            index = FrameIndex(frame, first, again, frame(first[rows]), own=rows)
            if known is not None:
                nearest, distance, index.two_draws = (
                    known[f"{name}_{kind}"].numpy() for kind in ("nearest", "distance", "draws")
                )
                index.reference = Nearest(index=nearest, distance=distance)
            self._frames[name] = index

    def tensors(self) -> dict[str, Tensor]:
        """For each frame: the nearest training shape of each left-out one, its distance, and the
        distances between two samplings of all."""
        with shown(False):
            return {
                f"{name}_{kind}": torch.from_numpy(values)
                for name, index in self._frames.items()
                for kind, values in (
                    ("nearest", index.reference.index),
                    ("distance", index.reference.distance),
                    ("draws", index.two_draws),
                )
            }

    def statistics(self, points: Tensor) -> dict[str, NoveltyStatistics]:
        """The statistics of clouds (n, m, 3) in each frame."""
        return {name: novelty_statistics(found) for name, found in self._measure(points).items()}

    def _measure(self, points: Tensor) -> dict[str, Novelty]:
        with shown(False):  # its bars would hide the stage's
            return {
                name: index.of(points[:, : self.points].numpy())
                for name, index in self._frames.items()
            }

    def without_costliest(
        self, points: Tensor, cost: Tensor
    ) -> tuple[float, dict[str, NoveltyStatistics]]:
        """The largest share of clouds (n, m, 3), those of the highest ``cost`` (n,), without which
        the others are as novel as :data:`KEPT` demands, and the statistics of these."""
        found = self._measure(points)
        best: tuple[float, dict[str, NoveltyStatistics]] = 0.0, {}
        for step in range(1, round(MOST_LEFT_OUT / SHARE) + 1):
            kept = (cost <= cost.quantile(1 - step * SHARE)).numpy()
            statistics = {
                name: novelty_statistics(novelty.only(kept)) for name, novelty in found.items()
            }
            if not KEPT.passes(statistics):
                break
            best = step * SHARE, statistics
        return best

    def with_copies(self, points: Tensor) -> tuple[float, dict[str, NoveltyStatistics]]:
        """The largest share of copies with which clouds (n, m, 3) are as novel as nature, and
        their statistics with that share."""
        found = self._measure(points)
        best = 0.0, {name: novelty_statistics(novelty) for name, novelty in found.items()}
        for step in range(1, round(0.5 / SHARE) + 1):
            copies = step * SHARE
            statistics = {
                name: novelty_statistics(novelty, copies) for name, novelty in found.items()
            }
            if not DECODED.passes(statistics):
                break
            best = copies, statistics
        return best


def novelty_statistics(found: Novelty, copies: float = 0.0) -> NoveltyStatistics:
    """Compare children, of which a share of ``copies`` is replaced by copies, with nature."""
    children, nature = found.found.distance, found.reference.distance
    replayed, natural = found.replays, found.reference_replays
    assert replayed is not None
    assert natural is not None
    # A copy is at distance 0, so the median of the mixture is a lower quantile of the others.
    median = float(np.quantile(children, max(0.0, (0.5 - copies) / (1 - copies))))
    base = float(np.median(nature))
    novelty = median / base if base > 0 else 1.0  # nature repeats itself, so nothing is too close
    spread = np.hypot(_median_error(children), _median_error(nature))
    return NoveltyStatistics(
        novelty=novelty,
        novelty_error=float(novelty * spread),
        replays=copies + (1 - copies) * float(replayed.mean()),
        nature=float(natural.mean()),
        error=float(np.hypot(_error(replayed), _error(natural))),
    )


def _median_error(distance: NDArray[np.float64]) -> float:
    """Relative standard error of a median, from the order statistics that bracket it."""
    half = 0.5 / np.sqrt(len(distance))
    low, middle, high = np.quantile(distance, [max(0.0, 0.5 - half), 0.5, min(1.0, 0.5 + half)])
    return float((high - low) / (2 * middle)) if middle > 0 else 0.0


def _error(replayed: NDArray[np.bool_]) -> float:
    """Standard error of a share; one more of each kind keeps it above zero."""
    share = (replayed.sum() + 1) / (len(replayed) + 2)
    return float(np.sqrt(share * (1 - share) / len(replayed)))


def ladder(most: int, base: BlendSettings) -> list[BlendSettings]:
    """Settings from near to far: partners from those of ``base`` up to ``most`` in steps of a half,
    then cuts in the middle."""
    counts = [min(base.partners, most)]
    while counts[-1] < most:
        counts.append(min(most, counts[-1] + max(1, counts[-1] // 2)))
    steps = [replace(base, partners=count, copies=0.0) for count in counts]
    later = [replace(base, partners=most, copies=0.0, cuts=cuts) for cuts in LATER_CUTS]
    return [replace(steps[0], copies=base.copies), *steps[1:], *later]


def choose(
    steps: list[BlendSettings],
    nature: Nature,
    draw: Callable[[BlendSettings], Tensor],
    demand: Demand,
) -> Choice:
    """The first step of a ladder that meets a demand, by bisection; the last one if none does.

    Args:
        draw: clouds (n, m, 3) of children with some settings. Novelty increases along the ladder.
    """
    seen: dict[int, dict[str, NoveltyStatistics]] = {}

    def passes(step: int) -> bool:
        if step not in seen:
            seen[step] = nature.statistics(draw(steps[step]))
        return demand.passes(seen[step])

    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        if passes(middle):
            high = middle
        else:
            low = middle + 1
    passed = passes(low)
    return Choice(settings=steps[low], passed=passed, statistics=seen[low])


def with_copies(choice: Choice, nature: Nature, draw: Callable[[BlendSettings], Tensor]) -> Choice:
    """Mix in copies if children of one partner are more novel than nature, as in a dense set."""
    if choice.settings.partners > 1 or not choice.passed:
        return choice
    copies, statistics = nature.with_copies(draw(choice.settings))
    return replace(choice, settings=replace(choice.settings, copies=copies), statistics=statistics)


def without_costliest(choice: Choice, nature: Nature, points: Tensor, cost: Tensor) -> Choice:
    """Leave out the maps that move points farthest, if other children are novel enough.

    None are left out where some children have a parent's proportions, since in such sets novelty
    in the box is scarce, nor in a dense set.

    Args:
        points: clouds (n, m, 3) of children with the settings of ``choice``. cost: (n,) of the maps
            that they are from.
    """
    if choice.settings.copies or choice.settings.between < 1:
        return choice
    left_out, statistics = nature.without_costliest(points, cost)
    if not left_out:
        return choice
    settings = replace(choice.settings, left_out=left_out)
    return replace(choice, settings=settings, statistics=statistics)
