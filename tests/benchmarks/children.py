"""The quality of children of training shapes, compared with test shapes: the tables of
``docs/notes/children.md``.

    python tests/benchmarks/children.py DATASET MAPS [--categories A,B] [--budget-seconds S]
                                        [--partners 1,4,12,40]

Maps are built in, or read from, the folder MAPS. Each line has one choice of settings: in
both frames novelty relative to test shapes, in brackets to training shapes left out, and replays;
if there are enough test shapes, 1-NNA (generated / reference side) and coverage by Chamfer
distance at 512 points.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pcgen.children import BlendSettings, Children, MapSettings, build_maps
from pcgen.children.masks import KINDS
from pcgen.children.rule import FRAMES
from pcgen.distances.novelty import FrameIndex, Novelty, in_box
from pcgen.kernels import kdtree, native
from pcgen.kernels.backends import native_usable
from pcgen.runtime import configure
from pcgen.shapes.store import Dataset
from pcgen.train.data import TrainingClouds

POINTS = 512
FEWEST = 60  # test shapes, for 1-NNA to be meaningful
LEFT_OUT = 600


def table(x: Tensor, y: Tensor) -> np.ndarray:
    """All Chamfer distances between clouds (a, n, 3) and (b, n, 3)."""
    first, second = (np.ascontiguousarray(cloud.numpy()) for cloud in (x, y))
    if native_usable():
        return native.chamfer_table(native.prepare(first), native.prepare(second))
    return kdtree.chamfer_table(first, second)


class Bench:
    """The test shapes of a set, and the index that children are compared with."""

    def __init__(self, dataset: Dataset, categories: tuple[str, ...]) -> None:
        self.training, test = (
            TrainingClouds.load(dataset, categories, split, 10_000) for split in ("train", "test")
        )
        self.test = torch.from_numpy(in_box(test.points[:, -POINTS:].numpy()))
        self.within = table(self.test, self.test)
        np.fill_diagonal(self.within, np.inf)
        draw = np.random.default_rng(0)
        count = len(self.training)
        rows = np.sort(draw.choice(count, min(count, LEFT_OUT), replace=False))
        self.frames, self.unseen = {}, {}
        for name, frame in FRAMES.items():
            # The last points: maps begin at the first ones.
            both = frame(self.training.points[:, -2 * POINTS :].numpy())
            first, again = (np.ascontiguousarray(p) for p in np.split(both, 2, axis=1))
            self.frames[name] = FrameIndex(frame, first, again, frame(first[rows]), own=rows)
            self.unseen[name] = self.novelty(name, self.test)

    def novelty(self, frame: str, points: Tensor) -> Novelty:
        return self.frames[frame].of(points[:, :POINTS].numpy())

    def header(self) -> str:
        return "\n".join(
            f"{frame}: test shapes {np.median(of.found.distance):.4f}, replays "
            f"{of.replay_rate:.1%} of {len(of.found.index)}; training shapes left out "
            f"{np.median(of.reference.distance):.4f}, {np.mean(of.reference_replays):.1%} of "
            f"{len(of.reference.index)}"
            for frame, of in self.unseen.items()
        )

    def line(self, name: str, children: Children) -> str:
        words = [f"{name:<32}"]
        for frame, unseen in self.unseen.items():
            found = self.novelty(frame, children.points)
            ratio = np.median(found.found.distance) / np.median(unseen.found.distance)
            words.append(
                f"{frame} {ratio:.2f} ({found.novelty_ratio:.2f}) {found.replay_rate:5.1%}"
            )
        if len(self.test) >= FEWEST:
            words.append(self._match(children.points[: len(self.test)]))
        return "  ".join(words)

    def _match(self, points: Tensor) -> str:
        generated = table(points, points)
        np.fill_diagonal(generated, np.inf)
        across = table(self.test, points)
        own = 100 * (generated.min(1) <= across.min(0)).mean()
        real = 100 * (self.within.min(1) <= across.min(1)).mean()
        covered = 100 * len(set(across.argmin(0))) / len(self.test)
        return f"1-NNA {(own + real) / 2:.1f} ({own:.1f} / {real:.1f})  COV {covered:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("maps", type=Path)
    parser.add_argument("--categories", default="")
    parser.add_argument("--budget-seconds", type=float)
    parser.add_argument("--partners", default="")
    parser.add_argument("--count", type=int, default=400)
    chosen = parser.parse_args()
    configure(1)
    dataset = Dataset.open(chosen.dataset)
    names = tuple(chosen.categories.split(",")) if chosen.categories else dataset.categories
    bench = Bench(dataset, names)
    print(bench.header(), flush=True)
    of = bench.training
    maps = build_maps(
        of.points, of.normals, of.label, MapSettings(), chosen.maps,
        budget_seconds=chosen.budget_seconds,
    )  # fmt: skip
    print(maps.choice.describe())
    chosen_settings = maps.settings
    trials: dict[str, BlendSettings] = {"as chosen": chosen_settings}
    trials |= {
        f"{k} partners": replace(chosen_settings, partners=int(k)) for k in _items(chosen.partners)
    }
    trials |= {f"mask {kind}": replace(chosen_settings, kinds=(kind,)) for kind in KINDS[1:]}
    trials["masks of all kinds"] = replace(chosen_settings, kinds=KINDS)
    trials |= {f"width {w}": replace(chosen_settings, width=w) for w in (0.06, 0.25)}
    trials |= {f"cuts {c}": replace(chosen_settings, cuts=c) for c in ((0.1, 0.9), (0.4, 0.6))}
    trials["a tenth are copies"] = replace(chosen_settings, copies=0.1)
    for name, trial in trials.items():
        draw = torch.Generator().manual_seed(1)
        children = maps.draw(max(chosen.count, len(bench.test)), POINTS, draw, trial)
        print(bench.line(name, children), flush=True)


def _items(text: str) -> list[str]:
    return [item for item in text.split(",") if item]


if __name__ == "__main__":
    main()
