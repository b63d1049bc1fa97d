"""Make variations of a shape.

Each variation replaces a part of the given shape by that of a sampled one, along the
optimal-transport map of their points, and is then encoded and decoded. --amount is the share that
is replaced.

examples:
  pcgen vary seats chair.ply --count 6 --amount 0.3 --out near.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_device, add_out, add_run, natural, options, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("file", type=Path, help="a cloud or mesh, +Y up")
    parser.add_argument("--count", type=positive, default=4, help="number of shapes")
    parser.add_argument(
        "--amount", type=float, default=0.3, help="from 0 (the shape itself) to 1 (a new shape)"
    )
    add_out(parser)
    parser.add_argument("--points", type=positive, default=2048, help="points per shape")
    parser.add_argument("--category", help="category of the sampled shapes")
    parser.add_argument("--seed", type=natural, default=0, help="random seed")
    add_device(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    vary = pcgen.load(args.run, device=args.device).vary
    shapes = vary(args.file, args.count, **options(args, vary), progress=not args.quiet)
    shapes.save(args.out)
    return {"out": str(args.out), "count": len(shapes)}


def describe(result: dict[str, Any]) -> str:
    return str(result["out"])
