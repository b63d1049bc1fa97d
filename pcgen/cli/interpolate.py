"""Interpolate between two shapes along the optimal-transport map of their points.

Each frame is a cloud of the displacement interpolation, encoded and decoded by the run.

The ends are two seeds, or two files of a cloud or mesh each. Seed N stands for the shape that
`pcgen sample --count 1 --seed N` draws. All frames share their base points, so points correspond
from frame to frame and the path can be animated.

examples:
  pcgen interpolate runs/chairs --seeds 3 8 --frames 24 --out path.npz
  pcgen interpolate runs/chairs --files old.ply new.glb --frames 24 --out path.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_device, add_out, add_run, natural, options, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_out(parser)
    parser.add_argument(
        "--frames", type=positive, default=12, help="number of shapes, including both ends"
    )
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument(
        "--seeds", type=natural, nargs=2, default=(0, 1), help="seeds of the two ends"
    )
    ends.add_argument("--files", type=Path, nargs=2, help="cloud or mesh files of the two ends")
    parser.add_argument("--points", type=positive, default=2048, help="points per frame")
    parser.add_argument("--category", help="sample both ends from this category")
    parser.add_argument("--seed", type=natural, default=0, help="seed of the base points")
    add_device(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    model = pcgen.load(args.run, device=args.device)
    ends = args.files or [
        model.sample(1, seed=seed, category=args.category)[0] for seed in args.seeds
    ]
    asked = options(args, model.interpolate)
    path = model.interpolate(*ends, **asked, progress=not args.quiet)
    path.save(args.out)
    return {"out": str(args.out), "frames": args.frames}


def describe(result: dict[str, Any]) -> str:
    return str(result["out"])
