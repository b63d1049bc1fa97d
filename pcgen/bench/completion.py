"""Completion of test shapes with a half, a corner and a view cut away.

For each test shape of the data set that a run learned from: the Chamfer distance of an answer to
another draw of the whole shape, over the distance of the two draws; 1 is perfect. Rows: the part as
it is; the best training shape, found by the mean squared distance of the points given (retrieval;
mirror images included); the training shape that is nearest to the whole, which nobody could know;
and `complete`, its first answer and the best of all. Retrieval knows the frame of the whole; of
`complete` there are rows with and without. Medians and means over the shapes.

examples:
  pcgen bench completion runs/chairs --most 20
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError

CUTS = ("half", "corner", "view")
POINTS = 2048
LIKELY = 64  # training shapes that are compared by all their points

Array = NDArray[np.float32]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", help="a run made by pcgen train, or one that comes with pcgen: seats"
    )
    parser.add_argument(
        "--data", type=Path, help="the data set, where it is not where the run says"
    )
    parser.add_argument("--most", type=int, default=20, help="at most this many test shapes")
    parser.add_argument("--count", type=int, default=4, help="answers of complete")
    parser.add_argument("--seed", type=int, default=0, help="of cuts and answers")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen.editing.completion import completed
    from pcgen.model import ShapeModel
    from pcgen.model.pack import find_run
    from pcgen.progress import track
    from pcgen.shapes.store import Dataset

    if args.most < 1 or args.count < 1:
        raise InputError(f"--most and --count must be at least 1, got {args.most}, {args.count}")
    model = ShapeModel.load(find_run(args.run))
    dataset = Dataset.open(args.data or model.dataset_path)
    test = dataset.select(split="test", categories=model.categories)
    test = test[np.unique(np.linspace(0, len(test) - 1, min(args.most, len(test))).astype(int))]
    train = dataset.points(
        dataset.select(split="train", categories=model.categories), POINTS, part="first"
    )
    train = np.concatenate([train, train * np.array([-1, 1, 1], np.float32)])
    found: dict[tuple[str, str], list[float]] = {}
    seconds: dict[str, list[float]] = {}
    for row in track(test, "complete", len(test)):
        whole = dataset.points([row], POINTS, part="first")[0]
        other = dataset.points([row], POINTS, part="last")[0]
        unit = distance(whole, other)
        nearest = min(distance(shape, other) for shape in _likely(other, train, two_sided=True))
        for cut in CUTS:
            part = cut_away(whole, cut, np.random.default_rng([args.seed, int(row)]))
            rows = {
                "the part itself": distance(part, other),
                "best training shape": distance(retrieved(part, train), other),
                "nearest training shape": nearest,
            }
            low, high = part.min(0), part.max(0)
            middle, half = (low + high) / 2, (high - low).max() / 2
            for label, framed in (("frame known", True), ("frame found", False)):
                given = part if framed else (part - middle) / half
                begin = time.process_time()
                answers, _ = completed(
                    model, given, args.count, points=POINTS, framed=framed, seed=args.seed
                )
                seconds.setdefault(label, []).append(time.process_time() - begin)
                clouds = [answer.points.numpy() for answer in answers]
                if not framed:
                    clouds = [cloud * half + middle for cloud in clouds]
                apart = [distance(cloud, other) for cloud in clouds]
                rows[f"complete, {label}: first"] = apart[0]
                rows[f"complete, {label}: best"] = min(apart)
            for name, value in rows.items():
                found.setdefault((name, cut), []).append(value / unit)
    return {
        "run": str(args.run),
        "shapes": len(test),
        "answers": args.count,
        "cpu_seconds": {label: float(np.median(values)) for label, values in seconds.items()},
        "rows": [
            {
                "row": name,
                "cut": cut,
                "median": float(np.median(values)),
                "mean": float(np.mean(values)),
            }
            for (name, cut), values in found.items()
        ],
    }


def describe(result: dict[str, Any]) -> str:
    table: dict[str, dict[str, str]] = {}
    for row in result["rows"]:
        table.setdefault(row["row"], {})[row["cut"]] = f"{row['median']:.1f} ({row['mean']:.1f})"
    took = ", ".join(f"{name} {value:.1f} s" for name, value in result["cpu_seconds"].items())
    lines = [
        f"{result['shapes']} test shapes, {result['answers']} answers; Chamfer distance over that "
        f"of two draws, median (mean); CPU time a completion: {took}",
        f"{'':<34}" + "".join(f"{cut:>16}" for cut in CUTS),
    ]
    lines += [
        f"{name:<34}" + "".join(f"{cells[cut]:>16}" for cut in CUTS)
        for name, cells in table.items()
    ]
    return "\n".join(lines)


def cut_away(points: Array, cut: str, rng: np.random.Generator) -> Array:
    """What is left of a cloud (n, 3): the half on one side of a plane through its median, all but
    one eighth of its box, or what a camera sees (S. Katz et al., Direct visibility of point sets,
    2007)."""
    if cut == "half":
        direction = rng.normal(size=3)
        height = points @ (direction / np.linalg.norm(direction))
        return points[height < np.median(height)]
    if cut == "corner":
        side = rng.choice([-1, 1], 3)
        middle = (points.min(0) + points.max(0)) / 2
        return points[~((points - middle) * side > 0).all(1)]
    import open3d

    around, up = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(5, 45))
    eye = 4 * np.array([np.cos(around) * np.cos(up), np.sin(up), np.sin(around) * np.cos(up)])
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(np.float64)))
    return points[np.asarray(cloud.hidden_point_removal(eye.tolist(), 400.0)[1])]


def retrieved(part: Array, shapes: Array) -> Array:
    """Of shapes (N, n, 3) the one that points (m, 3) lie on best."""
    from scipy.spatial import cKDTree

    likely = _likely(part, shapes)
    apart = [float((cKDTree(shape).query(part)[0] ** 2).mean()) for shape in likely]
    return np.asarray(likely[int(np.argmin(apart))])


def _likely(points: Array, shapes: Array, *, two_sided: bool = False) -> Array:
    """The :data:`LIKELY` of shapes (N, n, 3) that are nearest by a few points of each."""
    import torch

    few = torch.from_numpy(points[np.random.default_rng(0).permutation(len(points))[:128]])
    apart = []
    for some in torch.from_numpy(shapes[:, :192]).split(128):
        table = torch.cdist(few.expand(len(some), -1, -1), some).square()
        both = table.amin(2).mean(1) + (table.amin(1).mean(1) if two_sided else 0)
        apart.append(both)
    order = torch.cat(apart).argsort(stable=True)[:LIKELY]
    return shapes[order.numpy()]


def distance(first: Array, second: Array) -> float:
    """The two-sided squared Chamfer distance of two clouds."""
    from scipy.spatial import cKDTree

    there = cKDTree(second).query(first)[0] ** 2
    back = cKDTree(first).query(second)[0] ** 2
    return float(there.mean() + back.mean())
