"""Show shapes in a window, or write pictures of them without one.

INPUT is a run, a samples file, a data set, a mesh, a point cloud or a folder of meshes. The window
shows points, normals, mesh, base points and the nearest training shape as layers. For a run, it
also samples new shapes, plays the flow from base to shape, and interpolates between two shapes.
Press H in the window for the keys. With --web, a browser shows the same, without graphics here and
also over SSH (ssh -L 8080:localhost:8080 HOST). With --png, --gif or --explain, no window opens and
no graphics driver is needed.

examples:
  pcgen view runs/chairs
  pcgen view chairs.npz --reference datasets/chairs
  pcgen view chairs.npz --png sheet.png --count 24
  pcgen view chair.glb --gif chair.gif
  pcgen view runs/chairs --explain chair.png
  pcgen view runs/chairs --web
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
    parser.add_argument(
        "--reference",
        type=location,
        help="data set to compare with; the default is that of the run",
    )
    parser.add_argument("--number", type=natural, default=0, help="number of the first shape")
    parser.add_argument("--category", help="only shapes of this category")
    drawn = parser.add_argument_group("for a run")
    drawn.add_argument("--seed", type=natural, default=0, help="seed of the first shape")
    drawn.add_argument("--steps", type=positive, default=1, help="evaluations of each flow")
    drawn.add_argument("--points", type=positive, default=2048, help="points per shape")
    add_device(drawn)
    web = parser.add_argument_group("a page for a browser, in place of the window")
    web.add_argument("--web", action="store_true", help="serve it until Ctrl-C; needs pcgen[web]")
    web.add_argument(
        "--host", default="127.0.0.1", help="another one lets others reach and use the page"
    )
    web.add_argument("--port", type=positive, default=8080, help="or the next free one")
    still = parser.add_argument_group("pictures without a window")
    still.add_argument(
        "--png", type=Path, help="write a picture; of several shapes, a contact sheet"
    )
    still.add_argument("--gif", type=Path, help="write a turntable of the first shape")
    still.add_argument(
        "--explain", type=Path, help="write how the first shape of a run was generated"
    )
    still.add_argument("--count", type=positive, default=1, help="number of shapes in the --png")
    still.add_argument(
        "--as",
        dest="drawn_as",
        choices=("auto", "points", "mesh"),
        default="auto",
        help="auto: the mesh if the file has one; mesh: reconstructed if it has none",
    )
    still.add_argument("--colour", choices=("plain", "height", "normal", "part"), default="plain")
    still.add_argument("--size", type=positive, default=640, help="side of a picture in pixels")
    still.add_argument("--azimuth", type=float, default=35.0, help="degrees about the Y axis")
    still.add_argument("--elevation", type=float, default=22.0, help="degrees above the ground")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    asked = options(args, pcgen.view)
    written = pcgen.view(args.input, **asked, progress=not args.quiet)
    return {"input": str(args.input), "pictures": [str(path) for path in written]}


def describe(result: dict[str, Any]) -> str:
    return "\n".join(result["pictures"]) or f"closed {result['input']}"
