"""Compare samples with training shapes in frames that pcgen does not use.

python -m tests.benchmarks.other_frames DATASET SAMPLES.npz [--categories seat] [--count 100]

The distances are NumPy's own, so that an error in pcgen's would show. Ratios are medians of samples
over test shapes; replays are below 1.2 times the distance between two samplings. Frames:

* ``deviation``: each axis in units of its standard deviation, which outliers do not move;
* ``whitened``: the covariance is the identity, so a copy that is stretched or leans is found;
* ``collage``: the nearest union of two training shapes, in the cube and cut by one plane, which
  takes 25 to 75 % of the points. Results are in docs/notes/children.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pcgen.shapes.store import Dataset

Array = NDArray[np.float32]
POINTS = 512
BLOCK = 16  # training clouds per matrix product: 16 MiB
MIRROR = np.array([-1, 1, 1], np.float32)
DIRECTIONS = np.array([[0, 1, 0], [0.4, 1, 0], [0, 1, 0.4], [0, 1, -0.4], [1, 0, 0], [0, 0, 1]])
PLANES = np.linspace(-0.7, 0.7, 9)


def box(points: Array) -> Array:
    low, high = points.min(0), points.max(0)
    return (2 * points - low - high) / (high - low).max()


def cube(points: Array) -> Array:
    low, high = points.min(0), points.max(0)
    sides = np.maximum(high - low, 0.1 * (high - low).max())
    return (2 * points - low - high) / sides


def deviation(points: Array) -> Array:
    spread = points.std(0)
    return (points - points.mean(0)) / np.maximum(spread, 0.1 * spread.max())


def whitened(points: Array) -> Array:
    """The covariance is the identity, by its Cholesky factor with y first: leaning disappears."""
    centred = (points - points.mean(0))[:, [1, 0, 2]]
    factor = np.linalg.cholesky(centred.T @ centred / len(points) + 1e-4 * np.eye(3))
    return np.linalg.solve(factor, centred.T).T[:, [1, 0, 2]].astype(np.float32)


FRAMES: dict[str, Callable[[Array], Array]] = {
    "box": box, "cube": cube, "deviation": deviation, "whitened": whitened, "collage": cube,
}  # fmt: skip


def to_nearest(cloud: Array, others: Array) -> tuple[Array, Array]:
    """Squared distances (m, n) of a cloud's points (n, 3) to each of m others, and back."""
    there, back = [], []
    for part in np.array_split(others, -(-len(others) // BLOCK)):
        table = (part**2).sum(2)[:, :, None] + (cloud**2).sum(1) - 2 * part @ cloud.T
        there.append(table.min(1))
        back.append(table.min(2))
    return np.maximum(np.concatenate(there), 0), np.maximum(np.concatenate(back), 0)


def below(clouds: Array) -> NDArray[np.bool_]:
    """Which points (m, n, 3) are below each plane, (m, planes, n)."""
    unit = DIRECTIONS / np.linalg.norm(DIRECTIONS, axis=1)[:, None]
    along = np.einsum("mnd,kd->mkn", clouds, unit)
    return (along[:, :, None] < PLANES[:, None]).reshape(len(clouds), -1, clouds.shape[1])


@dataclass(frozen=True)
class Training:
    """Two samplings (m, n, 3) of the training shapes, in a frame; mirror images are added."""

    first: Array
    again: Array
    collage: bool

    def _parts(self, cloud: Array, others: Array) -> Array:
        """(m, planes, 2) distance below and above each plane; they add up to Chamfer's."""
        there, back = to_nearest(cloud, others)
        if not self.collage:
            return np.stack([there.mean(1) + back.mean(1), np.zeros(len(others))], 1)[:, None]
        own, theirs = below(cloud[None])[0].astype(np.float32), below(others).astype(np.float32)
        low = there @ own.T + np.einsum("mn,mkn->mk", back, theirs)
        return np.stack([low, (there.sum(1) + back.sum(1))[:, None] - low], 2) / len(cloud)

    def measure(self, clouds: Array) -> tuple[Array, Array]:
        """The distance of each cloud to the nearest, and the same of two samplings of it."""
        both = np.concatenate([self.first, self.first * MIRROR])
        distance, noise = [], []
        for cloud in clouds:
            parts = self._parts(cloud, both)
            share = below(cloud[None])[0].mean(1)
            fits = (share > 0.25) & (share < 0.75) if self.collage else np.ones(1, bool)
            best = np.where(fits, parts.min(0).sum(1), np.inf)
            plane = int(best.argmin())
            rows = parts[:, plane].argmin(0) % len(self.first)
            draws = (self._parts(self.again[r], self.first[r][None])[0, plane] for r in rows)
            distance.append(best[plane])
            noise.append(sum(part[side] for side, part in enumerate(draws)))
        return np.array(distance), np.array(noise)


def compare(training: Training, samples: Array, test: Array) -> str:
    (new, noise), (real, floor) = training.measure(samples), training.measure(test)
    draw = np.random.default_rng(0)
    again = [np.median(draw.choice(new, len(new))) / np.median(draw.choice(real, len(real)))
             for _ in range(400)]  # fmt: skip
    found, natural = (new < 1.2 * noise).mean(), (real < 1.2 * floor).mean()
    ratio = f"{np.median(new) / np.median(real):.2f} ± {np.std(again):.2f}"
    return f"{ratio}, replays {found:.0%} (test shapes {natural:.0%})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--categories", default="")
    parser.add_argument("--count", type=int, default=100)
    chosen = parser.parse_args()
    dataset, draw = Dataset.open(chosen.dataset), np.random.default_rng(0)
    names = tuple(chosen.categories.split(",")) if chosen.categories else dataset.categories
    rows = {split: dataset.select(split=split, categories=names) for split in ("train", "test")}
    count = min(chosen.count, len(rows["test"]))
    rows["test"] = np.sort(draw.permutation(rows["test"])[:count])
    clouds = np.load(chosen.samples)["points"][: chosen.count]
    order, own = draw.permutation(dataset.points_per_shape), draw.permutation(clouds.shape[1])
    for name, frame in FRAMES.items():
        # Frames come from the number of points that a sample has.
        first, again = (np.stack([frame(dataset.memmap_points[r][part])[:POINTS]
            for r in rows["train"]]) for part in (order[: len(own)], order[-len(own) :])
        )  # fmt: skip
        test = np.stack([frame(dataset.memmap_points[r][order[: len(own)]])[:POINTS]
            for r in rows["test"]])  # fmt: skip
        samples = np.stack([frame(cloud[own])[:POINTS] for cloud in clouds])
        print(f"{name:<10} {compare(Training(first, again, name == 'collage'), samples, test)}",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
