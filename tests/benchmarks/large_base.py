"""The base stage at a size that fits no cache: a base is fitted, guarded, mapped to and drawn from.

The AE-OT base is fitted to N latents as `pcgen train` does it, the collapse guard looks at it, and
the map from its draws to the latents is solved, each with its own budget of samples or seconds.
Seconds are of processor time, so that a shared machine gives the same result. Printed are these,
chi2 and dead cells of both transports, and the peak memory of the process. The latents are a curved
manifold of 9 dimensions.

examples:
  python -m tests.benchmarks.large_base --atoms 60000 --dim 256 --fit-seconds 1200
  python -m tests.benchmarks.large_base --atoms 200000 --dim 256 --fit-seconds 900 --map-seconds 900
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from pcgen.cli import run_module
from pcgen.errors import InputError
from pcgen.progress import say

# Samples a latent, at most. A draw from the base costs as much as its scores.
FIT, MAPPED = 800, 2
DRAWS = 1000
KEYS = ("status", "chi2", "chi2_error", "dead", "untested", "samples", "tests", "searched")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--atoms", type=int, default=60_000, help="N")
    parser.add_argument("--dim", type=int, default=256, help="of the latents")
    parser.add_argument("--tolerance", type=float, default=0.05, help="chi2 to reach")
    parser.add_argument("--fit-samples", type=int, help="most, of the base; 800 for each latent")
    parser.add_argument("--fit-seconds", type=float, help="most, of the base; without limit")
    parser.add_argument("--map-samples", type=int, help="most, of the map; 2 for each latent")
    parser.add_argument("--map-seconds", type=float, help="most, of the map; without limit")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from pcgen import base
    from pcgen.base.collapse_guard import check_collapse
    from pcgen.bench.transport import curved_manifold
    from pcgen.train.latents import couple
    from pcgen.transport import SemidualSolver

    if args.atoms < 64 or args.dim < 1 or not args.tolerance > 0:
        raise InputError("expected 64 atoms, 1 dimension and a positive tolerance at least")
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(args.seed)
    y = curved_manifold(args.atoms, args.dim, args.seed)
    before = peak()
    rows: list[dict[str, Any]] = []

    def stage(name: str, work: Callable[[], Any], figures: Callable[[Any], dict[str, Any]]) -> Any:
        say(f"{name} of {len(y)} latents in {y.shape[1]} coordinates")
        begun = time.process_time()
        found = work()
        spent = {"seconds": time.process_time() - begun, "peak": peak()}
        rows.append({"stage": name, **spent, **figures(found)})
        say(line(rows[-1]))
        return found

    few = {
        "tolerance": args.tolerance,
        "neighbours": 4,
        "max_samples": args.fit_samples or FIT * len(y),
        "max_seconds": args.fit_seconds,
    }
    omega = stage(
        "fit",
        lambda: base.fit("ae-ot", y, generator=draw, settings=few, guard="off"),
        lambda omega: {key: omega.evidence[key] for key in KEYS},
    )
    stage(
        "guard",
        lambda: check_collapse(omega, y, generator=draw),
        lambda report: {key: getattr(report, key) for key in ("replay", "novelty", "spread")},
    )
    most = args.map_samples or MAPPED * len(y)
    solver = SemidualSolver(
        tolerance=args.tolerance, max_samples=most, max_seconds=args.map_seconds
    )
    stage(
        "map",
        lambda: couple(omega, y, solver, args.seed),
        lambda solution: {key: vars(solution.evidence)[key] for key in KEYS},
    )
    stage("draw", lambda: omega.sample(DRAWS, draw), lambda _: {})
    return {
        "atoms": len(y),
        "dim": y.shape[1],
        "tolerance": args.tolerance,
        "before": before,
        "rows": rows,
        "seconds": sum(row["seconds"] for row in rows),
    }


def peak() -> float:
    """The peak memory of this process in bytes."""
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def describe(result: dict[str, Any]) -> str:
    lines = [
        f"{result['atoms']:,} latents of {result['dim']} numbers, chi2 {result['tolerance']:g}; "
        f"{result['before'] / 2**30:.2f} GiB before"
    ]
    lines += map(line, result["rows"])
    lines.append(f"{'all':<8}{result['seconds']:>9.1f} s")
    return "\n".join(lines)


def line(row: dict[str, Any]) -> str:
    """A stage in the table."""
    rest = {k: v for k, v in row.items() if k not in ("stage", "seconds", "peak")}
    words = ", ".join(
        f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in rest.items()
    )
    return f"{row['stage']:<8}{row['seconds']:>9.1f} s{row['peak'] / 2**30:>7.2f} GiB  {words}"


if __name__ == "__main__":
    from pcgen.transport.stochastic import time_limit

    time_limit.monotonic = time.process_time
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.large_base", sys.argv[1:])
    )
