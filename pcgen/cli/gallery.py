"""Make a page of shapes that opens from disk, with no network and no server.

INPUT is a run (shapes are drawn from it), a samples file, a data set, a mesh, or a folder of
meshes. The folder holds index.html with everything to look at inside, and meshes/ with the files
to download. Shapes stand in the order drawn, none left out, each beside its nearest training
shape (sought without proportions, mirror images included) with the Chamfer distance, where the
training data is at hand. Each can be turned with the mouse, a finger or the arrow keys.

examples:
  pcgen gallery runs/chairs --count 64 --out gallery
  pcgen mesh chairs.npz --out meshes --format glb,stl
  pcgen gallery chairs.npz --meshes meshes --out gallery
  pcgen gallery folder-of-meshes --out gallery --title "Our parts"
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_device, location, natural, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", type=location, metavar="INPUT", help="run, samples, data set or mesh"
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--meshes", type=Path, help="folder made by pcgen mesh from these shapes")
    parser.add_argument(
        "--count", type=positive, help="at most this many shapes (64 of a run or a data set)"
    )
    parser.add_argument(
        "--reference", type=location, help="data set of the training shapes (that of the run)"
    )
    parser.add_argument(
        "--interpolation", type=Path, help="samples file made by pcgen interpolate, for the slider"
    )
    parser.add_argument("--title", default="", help="heading of the page")
    drawn = parser.add_argument_group("for a run")
    drawn.add_argument("--seed", type=natural, default=0, help="of the shapes drawn")
    drawn.add_argument("--steps", type=positive, default=1, help="steps of each flow")
    drawn.add_argument("--points", type=positive, default=2048, help="points a shape")
    drawn.add_argument("--category", help="only shapes of this category")
    add_device(drawn)


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen import pipeline

    return pipeline.gallery(
        args.input,
        args.out,
        count=args.count,
        meshes=args.meshes,
        reference=args.reference,
        interpolation=args.interpolation,
        seed=args.seed,
        steps=args.steps,
        points=args.points,
        category=args.category,
        title=args.title,
        device=args.device,
    )


def describe(result: dict[str, Any]) -> str:
    return str(result["page"])
