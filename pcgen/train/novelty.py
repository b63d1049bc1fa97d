"""How far a variant must be from its shape to be as new as the next real shape is.

Variants of :mod:`.atoms` differ from training shapes by their proportions. Where the shapes of a
set have much the same proportions, those of a neighbour change little: on 101 seats 19 % of the
decoded variants were replays (test shapes: 3 %), their novelty ratio at 2048 points 0.77. So a
change gets a least size, the smallest by which variants are as new as nature, where without one
they are clearly not. Nature is the training set itself: how near each shape is to the nearest other
one tells how near unseen shapes will be. Where it is not needed it costs: on the LDraw set of ten
categories 1-NNA rose from 53.0 to 56.3 with a least change of 0.5.

On the seats (29 test shapes, 8 sets of draws, decoded without flows):

============  ==================  ==============  ===========  ============
least change  1-NNA 512 / 2048    novelty 512     2048         replay 512
============  ==================  ==============  ===========  ============
none             47.2 / 47.6           0.91        0.77          19.0
0.3              47.6 / 48.7           0.93        0.77          11.2
0.5              48.9 / 49.6           0.98        0.82           4.3
0.7              53.0 / 53.7           1.13        1.03           0.9
============  ==================  ==============  ===========  ============

Larger stretches in random directions (0.3) bring novelty at the same cost in 1-NNA and leave more
replays (10 %); noise on codes and blends of codes leave 12 to 18 %. The directions matter: a base
between variants on all sides of a shape meets the shape again in their midst. Of an AE-OT base on
8 variants a seat, changed by 0.6 at least:

=====================================  ==================  ==================  ==================
towards                                1-NNA 512 / 2048    novelty 512 / 2048  replay 512 / 2048
=====================================  ==================  ==================  ==================
a neighbour of its own each               54.1 / 55.4          1.17 / 0.98          5.6 / 2.2
one neighbour of the shape                51.3 / 50.2          1.11 / 0.98          1.7 / 0.4
=====================================  ==================  ==================  ==================

Draws from a base lie between variants and are copies more often than these, so where variants are
changed, draws have the last word: they must not be copies more often than nature. Replays of 400
variants and of 400 draws from the AE-OT base on them, of the same seats after an hour (nature: 4 of
101), two seeds:

============  ==============  ==============
least change  variants        draws
============  ==============  ==============
none          15.8 and 15.0   9.2 and 11.8
0.3            7.0 and 11.0   9.0 and 13.0
0.4            4.0 and 8.0    6.2 and 8.2
0.5            1.8 and 1.8    3.2 and 3.0
0.6            0.2 and 1.0    0.8 and 0.5
============  ==============  ==============
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pcgen import base
from pcgen.evaluate.matrix import Work
from pcgen.evaluate.novelty import nearest_training, replay_rate, two_draw
from pcgen.latent.autoencoder import Autoencoder
from pcgen.train.atoms import Atoms, recombined
from pcgen.train.data import TrainingClouds
from pcgen.train.presets import BaseSettings

LEAST = (0.0, 0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
"""Sizes of a change that are tried, in the numbers of a latent that hold proportions."""
ENOUGH = 0.95
"""Novelty ratio to reach: somewhat above the 0.9 of the protocol, as fewer points show less."""
SUSPECT = 2.0
"""Times nature's replays that variants may show before they are changed at all. Training shapes,
each compared with the others, show fewer than unseen ones do: 8 against 13 % on the LDraw set."""
QUERIES = 192
"""Variants that are compared with the training shapes."""
SEARCHED = 4096
"""Training shapes, at most, that stand for all of them."""
DRAWS = 384
"""Draws from the base that are compared with them."""
POINTS = 1024
"""Points at which novelty is counted; a quarter of the time of 2048."""
FEW = 512
"""Points at which replays are counted: there they are the most."""
FEWEST = 8
"""Shapes without which nothing can be said of nature."""


@dataclass(frozen=True)
class Newness:
    """How new shapes are.

    Attributes:
        distance: median Chamfer distance to the nearest training shape, POINTS a cloud.
        replays: share of replays, FEW points a cloud.
    """

    distance: float
    replays: float


@torch.no_grad()
def least_change(
    atoms: Atoms,
    image: Tensor,
    model: Autoencoder,
    clouds: TrainingClouds,
    settings: BaseSettings,
    seed: int,
) -> dict[str, float]:
    """The least change of proportions by which variants are as new as nature, and draws too.

    Args:
        atoms: one a shape, in the order of ``image`` and, by their rows, of some of ``clouds``.
        image: latents of their mirror images.
    Returns:
        ``least_change``, to be handed to ``recombined``, and the ``novelty`` ratio, the rates of
        ``replay`` and of ``natural_replay`` that it was chosen by; ``drawn_replay``, of draws from
        the base, where variants are changed. Of too few shapes, or where they are all alike, only
        ``least_change`` 0.
    """
    if len(atoms.z) < FEWEST:
        return {"least_change": 0.0}
    judge = _Judge(atoms, clouds, seed)
    nature = judge.nature()
    if nature.distance == 0:
        return {"least_change": 0.0}
    # Nature is known from some shapes only.
    rate, counted = nature.replays, min(QUERIES, len(atoms.z))
    error = max(math.sqrt(rate * (1 - rate) / counted), 1 / counted)
    most = rate + error

    def variants(each: int, least: float, draw: Generator) -> Tensor:
        return recombined(atoms, image, each, settings.neighbours, model.dim, draw, least).z

    def decoded(z: Tensor, draw: Generator) -> Newness:
        drawn = [model.draw_base(part, judge.points, draw)[1].points for part in z.split(32)]
        return judge.newness(torch.cat(drawn).numpy())

    @cache
    def tried(least: float) -> Newness:
        draw = Generator().manual_seed(seed)
        return decoded(variants(judge.each, least, draw)[judge.queries], draw)

    @cache
    def sampled(least: float) -> Newness:
        """Of draws from the base on such variants."""
        draw = Generator().manual_seed(seed)
        z = variants(settings.each(len(atoms.z)), least, draw)
        omega = base.fit(settings.name, z, generator=draw)
        return decoded(omega.sample(DRAWS, draw), draw)

    def enough(least: float, *, new: bool) -> bool:
        found = tried(least)
        return found.replays <= most and not (new and found.distance < ENOUGH * nature.distance)

    def smallest(*, new: bool) -> float:
        """The least of LEAST that is enough, or the largest; by halves, as more is newer."""
        low, high = 0, len(LEAST) - 1
        while low < high:
            middle = (low + high) // 2
            if enough(LEAST[middle], new=new):
                high = middle
            else:
                low = middle + 1
        return LEAST[high]

    least = 0.0
    if tried(0.0).replays > SUSPECT * rate + error:
        least = smallest(new=True)
        if not enough(least, new=True):
            # Shapes of few kinds, stretched at will, fill their space: novelty has an end there.
            least = smallest(new=False)
        larger, rarest = LEAST[LEAST.index(least) :], max(rate, 1 / counted)
        least = next((one for one in larger if sampled(one).replays <= rarest), LEAST[-1])
    found = {
        "least_change": least,
        "novelty": tried(least).distance / nature.distance,
        "replay": tried(least).replays,
        "natural_replay": nature.replays,
    }
    return found | {"drawn_replay": sampled(least).replays} if least else found


def describe(found: dict[str, float]) -> str:
    """What :func:`least_change` found, in a line of the log."""
    if "novelty" not in found:
        return "too few different shapes to tell how new their variants are"
    least = found["least_change"]
    how = f"change their proportions by {least:g} at least" if least else "are left as they are"
    drawn = f", of draws {found['drawn_replay']:.0%}" if "drawn_replay" in found else ""
    return (
        f"variants {how}: novelty ratio "
        f"{found['novelty']:.2f}, {found['replay']:.0%} replays{drawn} "
        f"(nature {found['natural_replay']:.0%})"
    )


class _Judge:
    """Compares clouds with the training shapes, or with a part of a large set."""

    def __init__(self, atoms: Atoms, clouds: TrainingClouds, seed: int) -> None:
        draw = Generator().manual_seed(seed)
        count = len(atoms.z)
        searched = torch.randperm(count, generator=draw)[:SEARCHED]
        # Variants come in rounds of one a shape.
        self.each = -(-QUERIES // len(searched))
        rounds = torch.arange(self.each)[:, None] * count
        self.queries = (rounds + searched).reshape(-1)[:QUERIES]
        self.points = min(POINTS, clouds.points.shape[1] // 2)
        # Rows of a data set, some of which may have been left out, to places among the clouds.
        places = torch.searchsorted(clouds.rows, atoms.row[searched])
        both = clouds.points[places, : 2 * self.points].numpy()
        self._first = np.ascontiguousarray(both[:, : self.points])
        self._second = np.ascontiguousarray(both[:, self.points :])
        self._few = np.ascontiguousarray(self._first[:, :FEW])
        self._draws = two_draw(self._few, self._second[:, :FEW], Work(workers=1))

    def nature(self) -> Newness:
        """Of some of the training shapes: how new each is to the others."""
        return self.newness(self._second[:QUERIES], own=np.arange(min(QUERIES, len(self._second))))

    def newness(self, clouds: NDArray[np.float32], own: NDArray[np.int64] | None = None) -> Newness:
        """Of clouds (n, points, 3) to the training shapes but ``own``."""
        work = Work(workers=1)
        found = nearest_training(clouds, self._first, work, "how new", own=own)
        few = np.ascontiguousarray(clouds[:, :FEW])
        near = nearest_training(few, self._few, work, "replays", own=own)
        return Newness(float(np.median(found.distance)), replay_rate(near, self._draws))
