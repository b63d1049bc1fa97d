"""Sample new shapes from a run.

Writes one .npz file with points (N, P, 3) float32 in the box frame ([-1, 1] along the longest side,
+Y up), unoriented normals (N, P, 3), latents (N, D), category (N,) and meta (JSON); or, if --out is
a folder, one PLY file a shape, in the unit of the data set. A step is one evaluation of the latent
flow and one of the point flow. A seed gives the same shapes for any number of workers.

Meshes need more points: `pcgen demo` uses --points 16000.

examples:
  pcgen sample seats --count 12 --out seats.npz
  pcgen sample runs/chairs --count 64 --out chairs.npz
  pcgen sample seats --count 12 --points 16000 --out clouds
  pcgen sample runs/all --count 16 --category lamp --points 20000 --out lamps.npz
  pcgen sample runs/chairs --count 64 --steps 8 --solver heun --out teacher.npz
"""

from __future__ import annotations

import argparse
from typing import Any

from pcgen.cli.arguments import add_device, add_out, add_run, add_work, natural, options, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--count", type=positive, required=True, help="number of shapes")
    add_out(parser)
    parser.add_argument(
        "--points", type=positive, default=2048, help="points per shape, any number"
    )
    parser.add_argument("--steps", type=positive, default=1, help="evaluations of each flow")
    parser.add_argument(
        "--solver",
        default="student",
        choices=("student", "euler", "heun"),
        help="the one-step student, or the teacher integrated by Euler or Heun",
    )
    parser.add_argument("--category", help="only shapes of this category")
    parser.add_argument(
        "--independent",
        action="store_true",
        help="sample shapes independently; by default, a set is stratified, so that few of it have "
        "a parent in common and categories are in the proportions of the training set",
    )
    parser.add_argument(
        "--as-decoded",
        action="store_true",
        help="leave shapes with symmetric parents as lopsided as they are decoded; by default, "
        "half of their points are reflected",
    )
    parser.add_argument("--seed", type=natural, default=0, help="random seed")
    add_work(parser, "1")
    add_device(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    draw = pcgen.load(args.run, device=args.device).sample
    shapes = draw(args.count, **options(args, draw), progress=not args.quiet)
    shapes.save(args.out)
    return {"out": str(args.out), "count": len(shapes), "points": args.points}


def describe(result: dict[str, Any]) -> str:
    return str(result["out"])
