"""Compare the backends of distances between clouds, and other libraries, on the same pairs.

For each method, the table shows CPU milliseconds per pair on one core, the ratio to the fastest
method for the distance, and the largest relative difference from a float64 computation. Trees are
built once per cloud if the library allows it. Methods that are not installed are listed as absent.

An annealed EMD is compared with the torch recursion; its float64 version is in the tests.

examples:
  python -m tests.benchmarks.metrics
  python -m tests.benchmarks.metrics --points 512 --clouds 12 --data data/chairs
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.cli import run_module
from pcgen.errors import InputError, PcgenError

Clouds = NDArray[np.float32]
Table = NDArray[np.float64]
Way = Callable[[Clouds, Clouds], Table]
REPEATS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--points", type=int, default=2048, help="points per cloud")
    parser.add_argument("--clouds", type=int, default=6, help="clouds per set, at least 2")
    parser.add_argument("--data", type=Path, help="a data set (default: ellipsoid surfaces)")
    parser.add_argument("--no-emd", action="store_true", help="CD only: seconds, not a minute")
    parser.add_argument("--seed", type=int, default=0, help="seed of the clouds")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    if args.points < 1 or args.clouds < 2:
        raise InputError(f"expected 1 point and 2 clouds, got {args.points} and {args.clouds}")
    torch.set_num_threads(1)
    x, y = _clouds(args)
    rows = list(_measured("cd", _chamfer_ways(), x, y, _chamfer_float64))
    if not args.no_emd:
        few = slice(0, 2)
        for variant in ("emd_pointflow", "emd_pytorchemd"):
            ways = _annealed_ways(variant)
            rows += _measured(variant, ways, x[few], y[few], ways["torch, line by line"])
        rows += _measured("emd_exact", _exact_ways(), x[:1], y[:1], _exact_ways()["POT emd2"])
    return {"points": args.points, "pairs": len(x) * len(y), "rows": rows}


def describe(result: dict[str, Any]) -> str:
    lines = [f"{result['points']} points a cloud, one core"]
    lines.append(f"{'distance':<16}{'way':<30}{'ms a pair':>10}{'ratio':>8}{'difference':>12}")
    for row in result["rows"]:
        if row["ms"] is None:
            lines.append(f"{row['distance']:<16}{row['way']:<30}{row['absent']}")
            continue
        lines.append(
            f"{row['distance']:<16}{row['way']:<30}{row['ms']:>10.2f}{row['ratio']:>8.1f}"
            f"{row['difference']:>12.1e}"
        )
    return "\n".join(lines)


def _clouds(args: argparse.Namespace) -> tuple[Clouds, Clouds]:
    rng = np.random.default_rng(args.seed)
    if args.data is not None:
        from pcgen.shapes.store import Dataset

        data = Dataset.open(args.data)
        rows = rng.choice(data.count, 2 * args.clouds, replace=data.count < 2 * args.clouds)
        both = data.points(rows, args.points)
    else:
        points = rng.normal(size=(2 * args.clouds, args.points, 3))
        points /= np.linalg.norm(points, axis=2, keepdims=True)
        both = (points * rng.uniform(0.2, 1, (2 * args.clouds, 1, 3))).astype(np.float32)
    return both[: args.clouds], both[args.clouds :]


def _measured(
    distance: str, ways: dict[str, Way], x: Clouds, y: Clouds, exact: Way
) -> Iterator[dict[str, Any]]:
    expected = exact(x, y)
    found: list[dict[str, Any]] = []
    for name, way in ways.items():
        row: dict[str, Any] = {"distance": distance, "way": name, "ms": None}
        try:
            values = way(x, y)  # also compiles and loads
            spent = []
            for _ in range(REPEATS):
                start = time.process_time()
                way(x, y)
                spent.append(time.process_time() - start)
            row["ms"] = 1e3 * min(spent) / (len(x) * len(y))
            row["difference"] = float(np.abs(values / expected - 1).max())
        except (PcgenError, ImportError) as error:
            row["absent"] = f"absent: {str(error).partition(';')[0]}"
        found.append(row)
    fastest = min(row["ms"] for row in found if row["ms"] is not None)
    for row in found:
        if row["ms"] is not None:
            row["ratio"] = row["ms"] / fastest
    yield from found


def _chamfer_float64(x: Clouds, y: Clouds) -> Table:
    from scipy.spatial.distance import cdist

    def pair(a: Clouds, b: Clouds) -> float:
        table = cdist(a.astype(np.float64), b.astype(np.float64), "sqeuclidean")
        return float(table.min(1).mean() + table.min(0).mean())

    return np.array([[pair(a, b) for b in y] for a in x])


def _chamfer_ways() -> dict[str, Way]:
    from pcgen.distances.pairwise import chamfer_table

    def ours(backend: str) -> Way:
        return lambda x, y: chamfer_table(x, y, backend)

    def trees_again(x: Clouds, y: Clouds) -> Table:
        from scipy.spatial import cKDTree

        def pair(a: Clouds, b: Clouds) -> float:
            there, back = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
            return float(np.square(there).mean() + np.square(back).mean())

        return np.array([[pair(a, b) for b in y] for a in x])

    def torch_cdist(x: Clouds, y: Clouds) -> Table:
        import torch

        def pair(a: Clouds, b: Clouds) -> float:
            table = torch.cdist(torch.from_numpy(a), torch.from_numpy(b)).square()
            return float(table.amin(1).mean() + table.amin(0).mean())

        return np.array([[pair(a, b) for b in y] for a in x])

    def open3d_clouds(x: Clouds, y: Clouds) -> Table:
        import open3d

        def cloud(points: Clouds) -> Any:
            vector = open3d.utility.Vector3dVector(points.astype(np.float64))
            return open3d.geometry.PointCloud(vector)

        def pair(a: Any, b: Any) -> float:
            there, back = (p.compute_point_cloud_distance(q) for p, q in ((a, b), (b, a)))
            return float(np.square(there).mean() + np.square(back).mean())

        first, second = [cloud(a) for a in x], [cloud(b) for b in y]
        return np.array([[pair(a, b) for b in second] for a in first])

    return {
        "native (compiled C)": ours("native"),
        "kdtree (SciPy, trees kept)": ours("kdtree"),
        "SciPy cKDTree, per pair": trees_again,
        "Open3D distances": open3d_clouds,
        "torch.cdist": torch_cdist,
        "keops": ours("keops"),
        "pytorch3d": ours("pytorch3d"),
        "dense (torch differences)": ours("dense"),
    }


def _annealed_ways(variant: str) -> dict[str, Way]:
    from pcgen.distances.annealed_emd import annealed_table

    return {
        "native (compiled C)": lambda x, y: annealed_table(x, y, variant, "native"),
        "torch, line by line": lambda x, y: annealed_table(x, y, variant, "dense"),
    }


def _exact_ways() -> dict[str, Way]:
    from pcgen.distances.pairwise import exact_assignment

    def scipy_assignment(x: Clouds, y: Clouds) -> Table:
        from scipy.optimize import linear_sum_assignment
        from scipy.spatial.distance import cdist

        def pair(a: Clouds, b: Clouds) -> float:
            cost = cdist(a, b)
            return float(cost[linear_sum_assignment(cost)].mean())

        return np.array([[pair(a, b) for b in y] for a in x])

    return {
        "POT emd2": lambda x, y: exact_assignment(x, y),
        "SciPy linear_sum_assignment": scipy_assignment,
    }


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.metrics", sys.argv[1:])
    )
