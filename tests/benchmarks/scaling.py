"""Scaling curves: costs measured over sizes, and the law that goes through them.

Costs are CPU seconds of one process, so that a curve measured on a shared machine is still one.
A law is fitted to relative errors: at the largest size it is as wrong as at the smallest.
assets/scale.md extrapolates from them.

  prepare    CPU seconds of a mesh over its faces and points, and of a data set over its shapes
  transport  seconds and samples to chi2 0.02 from N / 2 to 4 N atoms, and the time of a score

examples:
  python -m tests.benchmarks.scaling prepare --shapes 80 --json > prepare.json
  python -m tests.benchmarks.scaling transport --json > transport.json
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pcgen.cli import run_module
from pcgen.errors import InputError
from pcgen.progress import say

REPEATS = 3
SUBDIVISIONS = (3, 4, 5, 6)
PRODUCTS = (10_000, 100_000, 1_000_000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("curve", choices=("prepare", "transport"))
    parser.add_argument("--points", type=int, default=2048, help="of a cloud")
    parser.add_argument("--shapes", type=int, default=200, help="of the largest data set")
    parser.add_argument("--atoms", type=int, default=4096, help="N")
    parser.add_argument("--dim", type=int, default=64, help="of atoms and source")
    parser.add_argument("--target", type=float, default=0.02, help="chi2 to reach")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    if min(args.points, args.shapes, args.dim) < 1 or args.atoms < 2 or not args.target > 0:
        raise InputError("expected 1 point, shape and dimension, 2 atoms and a positive target")
    torch.set_num_threads(1)
    if args.curve == "prepare":
        shapes = [max(1, args.shapes // part) for part in (4, 2, 1)]
        return prepare_curve(SUBDIVISIONS, (args.points, 15_000), shapes, args.seed)
    sizes = [max(2, args.atoms // 2 * 2**level) for level in range(4)]
    return transport_curve(sizes, PRODUCTS, (args.dim, 4 * args.dim), args.target, args.seed)


def describe(result: dict[str, Any]) -> str:
    return describe_prepare(result) if "sets" in result else describe_transport(result)


@dataclass(frozen=True)
class Power:
    """cost = coefficient · size^exponent.

    Attributes:
        error: the largest relative error at a measured size.
    """

    coefficient: float
    exponent: float
    error: float

    def at(self, size: float) -> float:
        return float(self.coefficient * size**self.exponent)

    def __str__(self) -> str:
        return f"{self.coefficient:.3g} · n^{self.exponent:.2f}  (within {self.error:.0%})"


def fit_power(sizes: Sequence[float], costs: Sequence[float]) -> Power:
    """Least squares in the logarithms; needs two sizes."""
    exponent, shift = np.polyfit(np.log(sizes), np.log(costs), 1)
    law = Power(float(np.exp(shift)), float(exponent), 0.0)
    worst = max(abs(law.at(n) / cost - 1) for n, cost in zip(sizes, costs, strict=True))
    return Power(law.coefficient, law.exponent, worst)


def fit_affine(features: Sequence[Sequence[float]], costs: Sequence[float]) -> tuple[float, ...]:
    """Weights ≥ 0 of (1, features...) with the least relative squared error."""
    from scipy.optimize import nnls

    matrix = np.column_stack([np.ones(len(costs)), np.asarray(features, float)])
    scale = np.asarray(costs, float)[:, None]
    size = np.abs(matrix).max(0)
    weights, _ = nnls(matrix / scale / size, np.ones(len(costs)))
    return tuple(float(w) for w in weights / size)


def cpu(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """The minimum CPU seconds of ``work`` in this process over some runs."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def core_seconds() -> float:
    """CPU seconds of this process and of all that it started, including finished ones.

    The server that forks workers lives on and has their times; no call of Python's asks it.
    """
    ticks, parent = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            number = int(folder.name)
            parent[number], ticks[number] = int(words[1]), sum(map(int, words[11:15]))
    ours, known = {os.getpid()}, 0
    while len(ours) > known:
        known = len(ours)
        ours |= {number for number, above in parent.items() if above in ours}
    return sum(ticks.get(number, 0) for number in ours) / os.sysconf("SC_CLK_TCK")


def prepare_curve(
    subdivisions: Sequence[int], points: Sequence[int], shapes: Sequence[int], seed: int
) -> dict[str, Any]:
    """Core-seconds of ``prepare``: of one mesh over faces and points, of a set over its shapes.

    Args:
        subdivisions: of an icosphere, which has 20 · 4^s faces.
        points: of a cloud. shapes: sizes of the data set, each of meshes with 20,480 faces.
    Returns:
        ``meshes`` and ``sets``, the rows; ``mesh``, the three weights of seconds = a + b · faces
        + c · points; ``set``, the power law; ``bytes_per_face`` of an OBJ file, and
        ``bytes_per_point`` and ``bytes_per_shape`` of the data set; ``memory_per_face``, the peak.
    """
    from tests.benchmarks import prepare

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for level in subdivisions:
            mesh = prepare._wrinkled(level, seed)
            path = Path(folder) / f"{level}.obj"
            path.write_bytes(prepare._shapenet_obj(mesh))
            for count in points:
                say(f"a mesh of {len(mesh.faces)} faces, {count} points")
                prepare._ours(path, count)
                rows.append(
                    {
                        "faces": len(mesh.faces),
                        "points": count,
                        "seconds": cpu(partial(prepare._ours, path, count)),
                        "bytes": path.stat().st_size,
                    }
                )
        tracemalloc.start()
        prepare._ours(path, max(points))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        source = prepare._collection(Path(folder) / "meshes", max(shapes), seed)
        sets = [_prepared(source, count, min(points), seed) for count in shapes]
    largest = max(rows, key=lambda row: row["faces"])
    return {
        "meshes": rows,
        "mesh": fit_affine(
            [(row["faces"], row["points"]) for row in rows], [row["seconds"] for row in rows]
        ),
        "bytes_per_face": largest["bytes"] / largest["faces"],
        "sets": sets,
        "set": vars(fit_power([s["shapes"] for s in sets], [s["seconds"] for s in sets])),
        "bytes_per_point": sets[-1]["array_bytes"] / (sets[-1]["shapes"] * min(points)),
        "bytes_per_shape": sets[-1]["other_bytes"] / sets[-1]["shapes"],
        "memory_per_face": peak / largest["faces"],
    }


def _prepared(whole: Path, shapes: int, points: int, seed: int) -> dict[str, Any]:
    from pcgen.shapes.prepare import prepare as prepare_shapes

    say(f"a data set of {shapes} shapes")
    source, out = whole.with_name(f"first{shapes}"), whole.with_name(f"set{shapes}")
    for model in sorted(whole.glob("*/*"))[:shapes]:
        shutil.copytree(model, source / model.relative_to(whole))
    start = core_seconds()
    prepare_shapes(source, out, points=points, workers=1, seed=seed)
    seconds = core_seconds() - start
    sizes = {path.suffix == ".npy": 0 for path in out.iterdir()}
    for path in out.iterdir():
        sizes[path.suffix == ".npy"] += path.stat().st_size
    return {
        "shapes": shapes,
        "seconds": seconds,
        "array_bytes": sizes[True],
        "other_bytes": sizes[False],
    }


def transport_curve(
    atoms: Sequence[int],
    products: Sequence[int],
    dims: Sequence[int],
    tolerance: float,
    seed: int,
) -> dict[str, Any]:
    """CPU seconds and samples of the semi-dual solver over the number of atoms.

    Args:
        atoms: sizes N of problems that are solved, in the first of the ``dims``.
        products: sizes N at which only the scores of some samples are timed.
    Returns:
        ``solves`` and ``scores``, the rows; ``samples`` and ``seconds``, power laws in N;
        ``score``, the two weights of seconds per sample and atom = a + b · dim; ``overhead``, the
        time of the largest solve over that of its scores: redrawn rows cost more than one.
    """
    import torch

    from pcgen import kernels
    from pcgen.bench.transport import curved_manifold
    from pcgen.transport import GaussianSource, SemidiscreteProblem, SemidualSolver

    solves: list[dict[str, Any]] = []
    for count in atoms:
        say(f"transport to {count} atoms")
        problem = SemidiscreteProblem(
            GaussianSource(dims[0]), curved_manifold(count, dims[0], seed)
        )
        solver = SemidualSolver(tolerance=tolerance)
        start = time.process_time()
        found = solver.solve(problem, torch.Generator().manual_seed(seed)).evidence
        solves.append(
            {
                "atoms": count,
                "seconds": time.process_time() - start,
                "samples": found.samples,
                "tests": found.tests,
                "chi2": found.chi2,
                "status": str(found.status),
            }
        )
    scores: list[dict[str, Any]] = []
    for dim in dims:
        for count in products:
            say(f"scores of {count} atoms in dimension {dim}")
            draw = torch.Generator().manual_seed(seed)
            y, h = torch.randn(count, dim, generator=draw), torch.zeros(count)
            batch = max(16, 2**24 // count)
            x = torch.randn(batch, dim, generator=draw)
            each = cpu(partial(kernels.soft_cells, x, y, h, 0.1)) / (batch * count)
            scores.append({"atoms": count, "dim": dim, "seconds": each})
    sizes, last = [row["atoms"] for row in solves], solves[-1]
    score = fit_affine([(row["dim"],) for row in scores], [row["seconds"] for row in scores])
    plain = (last["samples"] + last["tests"]) * last["atoms"] * (score[0] + score[1] * dims[0])
    return {
        "tolerance": tolerance,
        "dim": dims[0],
        "solves": solves,
        "samples": vars(fit_power(sizes, [row["samples"] + row["tests"] for row in solves])),
        "seconds": vars(fit_power(sizes, [row["seconds"] for row in solves])),
        "scores": scores,
        "score": score,
        "overhead": last["seconds"] / plain,
    }


def describe_prepare(curve: dict[str, Any]) -> str:
    lines = [f"{'faces':>10}{'points':>10}{'core-ms':>10}{'OBJ bytes':>12}"]
    lines += [
        f"{r['faces']:>10}{r['points']:>10}{1e3 * r['seconds']:>10.2f}{r['bytes']:>12}"
        for r in curve["meshes"]
    ]
    a, b, c = curve["mesh"]
    lines += [
        f"core-s of a mesh = {a:.2e} + {b:.2e} · faces + {c:.2e} · points",
        f"bytes = {curve['bytes_per_face']:.0f} a face read, {curve['bytes_per_point']:.1f} a "
        f"point and {curve['bytes_per_shape']:.0f} a shape written",
        "",
        f"{'shapes':>10}{'core-s':>10}",
        *[f"{row['shapes']:>10}{row['seconds']:>10.2f}" for row in curve["sets"]],
        f"core-s of n shapes = {Power(**curve['set'])}",
        f"memory of a worker = {curve['memory_per_face']:.0f} bytes a face beside the program",
    ]
    return "\n".join(lines)


def describe_transport(curve: dict[str, Any]) -> str:
    lines = [
        f"to chi2 {curve['tolerance']} in dimension {curve['dim']}, one core",
        f"{'atoms':>10}{'CPU s':>10}{'samples':>10}{'tests':>10}{'chi2':>9}",
    ]
    lines += [
        f"{r['atoms']:>10}{r['seconds']:>10.2f}{r['samples']:>10}{r['tests']:>10}{r['chi2']:>9.4f}"
        for r in curve["solves"]
    ]
    lines += [
        f"seconds = {Power(**curve['seconds'])}",
        f"samples and tests = {Power(**curve['samples'])}",
        "",
        f"{'atoms':>10}{'dim':>6}{'ns per sample and atom':>24}{'GFLOP/s':>9}",
        *[
            f"{r['atoms']:>10}{r['dim']:>6}{1e9 * r['seconds']:>24.2f}"
            f"{2e-9 * r['dim'] / r['seconds']:>9.1f}"
            for r in curve["scores"]
        ],
        "seconds per sample and atom = {:.2e} + {:.2e} · dim".format(*curve["score"]),
        f"the largest problem took {curve['overhead']:.2f} times its samples' scores",
    ]
    return "\n".join(lines)


def magnitude(value: float, units: Sequence[tuple[float, str]]) -> str:
    """``value`` in the largest of the units (size, name) in which it is at least one."""
    unit, name = next((pair for pair in units if value >= pair[0]), units[-1])
    return f"{value / unit:.3g} {name}"


def seconds(value: float) -> str:
    """A duration in words: ``3.2 days``."""
    units = [(3.156e7, "years"), (86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s")]
    return magnitude(value, units)


def size(value: float) -> str:
    """A number of bytes in words: ``4.1 TB``."""
    return magnitude(value, [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")])


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.scaling", sys.argv[1:])
    )
