"""Draw new shapes from a run.

Writes one .npz with points (N, P, 3) float32 in the box frame ([-1, 1] along the longest side,
+Y up), unsigned normals (N, P, 3), latents (N, D), category (N,) and meta (JSON). One step is one
evaluation of the latent map and one of the point map. The same seed gives the same shapes, whatever
the number of workers.

Where the run has a field, `pcgen mesh` makes meshes of the latents. For meshes of points draw more
of these: --points 16000 is what `pcgen demo` takes.

examples:
  pcgen sample seats --count 12 --out seats.npz
  pcgen sample runs/chairs --count 64 --out chairs.npz
  pcgen sample runs/all --count 16 --category lamp --points 20000 --out lamps.npz
  pcgen sample runs/chairs --count 64 --steps 8 --solver heun --out teacher.npz
"""

from __future__ import annotations

import argparse
from typing import Any

from pcgen.cli.arguments import add_device, add_out, add_run, add_work, natural, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--count", type=positive, required=True, help="number of shapes")
    add_out(parser)
    parser.add_argument("--points", type=positive, default=2048, help="points a shape, any number")
    parser.add_argument("--steps", type=positive, default=1, help="steps of each flow")
    parser.add_argument(
        "--solver",
        default="student",
        choices=("student", "euler", "heun"),
        help="the one-step student, or the teacher's flow by Euler or Heun",
    )
    parser.add_argument("--category", help="only shapes of this category")
    parser.add_argument(
        "--independent",
        action="store_true",
        help="draw each shape on its own; by default a set visits the cells of the base evenly, "
        "so that a small one holds no twins",
    )
    parser.add_argument("--seed", type=natural, default=0, help="of everything random")
    add_work(parser, "this one alone")
    add_device(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    shapes = pcgen.load(args.run, device=args.device).sample(
        args.count,
        seed=args.seed,
        points=args.points,
        category=args.category,
        steps=args.steps,
        solver=args.solver,
        independent=args.independent,
        workers=args.workers,
        ray=args.ray,
        progress=not args.quiet,
    )
    shapes.save(args.out)
    return {"out": str(args.out), "count": len(shapes), "points": args.points}


def describe(result: dict[str, Any]) -> str:
    return str(result["out"])
