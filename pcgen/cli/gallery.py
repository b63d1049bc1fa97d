"""Make a page of shapes that opens from disk, with no network and no server.

INPUT is a run (which samples new shapes), a samples file, a data set, a mesh, or a folder of
meshes. The output folder holds index.html, which contains all pictures, and meshes/ with the files
to download. Shapes are shown in the order sampled, without selection. If the training data is
available, each is shown next to its nearest training shape with the Chamfer distance; the search is
proportion-free and includes mirror images. The mouse, a finger or the arrow keys rotate a shape.

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

from pcgen.cli.arguments import add_device, location, natural, options, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", type=location, metavar="INPUT", help="run, samples, data set or mesh"
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--meshes", type=Path, help="folder made by pcgen mesh from these shapes")
    parser.add_argument(
        "--count",
        type=positive,
        help="largest number of shapes; the default is 64 for a run or a data set",
    )
    parser.add_argument(
        "--reference",
        type=location,
        help="data set of the training shapes; the default is that of the run",
    )
    parser.add_argument(
        "--interpolation", type=Path, help="samples file made by pcgen interpolate, for the slider"
    )
    parser.add_argument("--title", default="", help="heading of the page")
    drawn = parser.add_argument_group("for a run")
    drawn.add_argument("--seed", type=natural, default=0, help="seed of the sampled shapes")
    drawn.add_argument("--steps", type=positive, default=1, help="evaluations of each flow")
    drawn.add_argument("--points", type=positive, default=2048, help="points per shape")
    drawn.add_argument("--category", help="only shapes of this category")
    add_device(drawn)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    asked = options(args, pcgen.save_gallery)
    return pcgen.save_gallery(args.input, args.out, **asked, progress=not args.quiet)


def describe(result: dict[str, Any]) -> str:
    return str(result["page"])
