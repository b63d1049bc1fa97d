"""How far a variant must be from its shape to be as new as the next real shape is.

Variants of :mod:`.atoms` differ from training shapes by their proportions. Where the shapes of a
set have much the same proportions, those of a neighbour change little: on 101 seats 19 % of the
decoded variants were replays (test shapes: 3 %), their novelty ratio at 2048 points 0.77. So a
change has a least size, the smallest by which variants are as new as nature. Nature is the
training set itself: how near each shape is to the nearest other one tells how near unseen shapes
will be. On the seats (29 test shapes, 8 sets of draws, decoded without flows):

============  ==================  ==============  ===========  ============
least change  1-NNA 512 / 2048    novelty 512     2048         replay 512
============  ==================  ==============  ===========  ============
none             47.2 / 47.6           0.91        0.77          19.0
0.3              47.6 / 48.7           0.93        0.77          11.2
0.5              48.9 / 49.6           0.98        0.82           4.3
0.7              53.0 / 53.7           1.13        1.03           0.9
============  ==================  ==============  ===========  ============

Larger stretches in random directions (0.3) bring novelty at the same cost in 1-NNA and leave more
replays (10 %); noise on codes and blends of codes leave 12 to 18 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from pcgen.evaluate.distances import chamfer_table, pick_backend
from pcgen.evaluate.novelty import REPLAY_FACTOR
from pcgen.kernels import best_cells
from pcgen.latent.autoencoder import Autoencoder
from pcgen.train.atoms import Atoms, neighbours_of_other_shapes, recombined
from pcgen.train.data import TrainingClouds

LEAST = (0.0, 0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
"""Sizes of a change that are tried, in the numbers of a latent that hold proportions."""
ENOUGH = 0.9
"""Novelty ratio to reach."""
QUERIES = 128
NEAR = 48
"""Training shapes that are compared with a query: those of the nearest codes."""
POINTS = 2048
FEW = 512
"""Points at which novelty and replays are counted: where each of them is at its worst."""
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
    neighbours: int,
    seed: int,
) -> dict[str, float]:
    """The least change of proportions by which variants are as new as nature.

    Args:
        atoms: one a shape, in the order of ``image`` and, by their rows, of some of ``clouds``.
        image: latents of their mirror images; neighbours: see :func:`.atoms.recombined`.
    Returns:
        ``least_change``, to be handed to ``recombined``, and the ``novelty`` ratio, the rates of
        ``replay`` and of ``natural_replay`` that it was chosen by. Of too few shapes, or where they
        are all alike, only ``least_change`` 0.
    """
    if len(atoms.z) < FEWEST:
        return {"least_change": 0.0}
    judge = _Judge(atoms, clouds, seed)
    nature = judge.nature()
    if nature.distance == 0:
        return {"least_change": 0.0}

    def tried(least: float) -> Newness:
        draw = Generator().manual_seed(seed)
        some = recombined(atoms, image, 1, neighbours, model.dim, draw, least).z[judge.queries]
        _, drawn = model.draw_base(some, judge.points, draw)
        return judge.newness(drawn.points.numpy(), judge.near(some))

    # One replay more is chance.
    most = nature.replays + 1 / len(judge.queries)
    seen = {}
    for least in LEAST:
        seen[least] = found = tried(least)
        if found.replays <= most and found.distance >= ENOUGH * nature.distance:
            break
    else:
        # Shapes of few kinds, stretched at will, fill their space: novelty has an end there.
        least = next((at for at, found in seen.items() if found.replays <= most), LEAST[-1])
    return {
        "least_change": least,
        "novelty": seen[least].distance / nature.distance,
        "replay": seen[least].replays,
        "natural_replay": nature.replays,
    }


def describe(found: dict[str, float]) -> str:
    """What :func:`least_change` found, in a line of the log."""
    if "novelty" not in found:
        return "too few different shapes to tell how new their variants are"
    return (
        f"proportions change by {found['least_change']:g} at least: novelty ratio "
        f"{found['novelty']:.2f}, {found['replay']:.0%} replays "
        f"(nature {found['natural_replay']:.0%})"
    )


class _Judge:
    """Compares clouds with the training shapes whose codes are near."""

    def __init__(self, atoms: Atoms, clouds: TrainingClouds, seed: int) -> None:
        self.atoms = atoms
        self.points = min(POINTS, clouds.points.shape[1] // 2)
        self._clouds = clouds
        # Rows of a data set, some of which may have been left out, to places among the clouds.
        self._place = torch.searchsorted(clouds.rows, atoms.row)
        draw = Generator().manual_seed(seed)
        self.queries = torch.randperm(len(atoms.z), generator=draw)[:QUERIES]

    def nature(self) -> Newness:
        """Of each query: how new it is to the other training shapes."""
        near = neighbours_of_other_shapes(self.atoms, min(NEAR, len(self.atoms.z) - 1))
        return self.newness(self._cloud(self.queries, second=True), near[self.queries])

    def near(self, z: Tensor) -> Tensor:
        """The places in ``atoms`` of the nearest codes, the query's own shape among them."""
        codes = self.atoms.z
        count = min(NEAR, len(codes))
        _, index = best_cells(z, codes, -0.5 * codes.square().sum(1), k=count)
        return torch.cat([self.queries[:, None], index], 1)

    def newness(self, clouds: NDArray[np.float32], near: Tensor) -> Newness:
        least, replays = [], 0
        for cloud, others in zip(clouds, near, strict=True):
            real = self._cloud(others)
            least.append(self._distances(cloud[None], real).min())
            few = self._distances(cloud[None, :FEW], real[:, :FEW])[0]
            nearest = int(few.argmin())
            again = self._cloud(others[nearest : nearest + 1], second=True)
            two_draws = self._distances(again[:, :FEW], real[nearest : nearest + 1, :FEW])[0, 0]
            replays += bool(few[nearest] < REPLAY_FACTOR * two_draws)
        return Newness(float(np.median(least)), replays / len(clouds))

    def _cloud(self, index: Tensor, *, second: bool = False) -> NDArray[np.float32]:
        start = self.points if second else 0
        points = self._clouds.points[self._place[index], start : start + self.points]
        return np.ascontiguousarray(points.numpy())

    def _distances(self, x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
        x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        return np.asarray(chamfer_table(x, y, pick_backend("cd", x.shape[1])), np.float64)
