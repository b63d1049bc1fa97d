"""Point clouds to meshes: watertight, manifold, oriented outwards, each with its report.

INPUT is a samples file (.npz, from `pcgen sample`), a cloud file (.ply .xyz .pcd .npy ...) or a
folder of them. For each cloud NAME the folder DIR receives NAME.glb (or the formats asked for)
and NAME.json: method, faces, components, genus, area, volume, the distances between mesh and
points both ways, and the F-score at 1 % of the size. meshes.json lists them all. A shape that
fails is reported and the others go on (where all fail, the exit code is 2); the same command
again keeps what is finished.

Methods:
  auto      wrap for noisy points, as a run draws them; else try facets, Poisson and alpha until
            one fits the points well, and keep the best fit
  facets    Delaunay facets that lie in the planes of their points: sharp edges, thin walls,
            open sheets (these get the thickness of --thickness)
  wrap      a skin over noisy points: legs stay whole, badly covered walls are sealed
  poisson   screened Poisson: smooth, for dense clouds with good normals of closed shapes
  alpha     alpha shape: fills thin parts
  pivoting  ball pivoting: for dense scans of open surfaces

Normals in the file are used; where they are missing or zero they are estimated. What was dropped,
estimated or smoothed is told here and noted in NAME.json.

Examples:
  pcgen mesh chairs.npz --out meshes
  pcgen mesh scan.ply --out meshes --format glb,stl --faces 20000
  pcgen mesh chairs.npz --out prints --format 3mf,stl --unit mm --size 80 --up z
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_work, location, names, positive
from pcgen.errors import MeshError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="INPUT", type=Path, help="samples, cloud file or folder")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where meshes go")
    parser.add_argument(
        "--format", type=names, default=["glb"], help="one or more of glb,ply,obj,stl,3mf"
    )
    files = parser.add_argument_group("how files state a mesh, by default as its source did")
    files.add_argument("--unit", default="", help="mm, cm, m, in or ft; GLB is then in metres")
    files.add_argument("--size", type=float, metavar="L", help="length of the longest side in it")
    files.add_argument(
        "--up",
        default="",
        help="y or z in PLY, OBJ and STL; 3MF always has z, and GLB then y",
    )
    files.add_argument(
        "--colour", default="plain", help="plain, height or normal, at vertices of GLB, PLY and OBJ"
    )
    parser.add_argument(
        "--method", default="auto", help="auto, facets, wrap, poisson, alpha, pivoting"
    )
    parser.add_argument("--faces", type=positive, metavar="N", help="at most about N faces a mesh")
    parser.add_argument(
        "--thickness", type=float, default=0.004, help="of open sheets, as a share of the size"
    )
    add_work(parser, "this one alone")
    parser.add_argument(
        "--frames",
        metavar="DATASET",
        type=location,
        help="give samples the median size of their category in this data set (by default the "
        "one they come from, if it is still there; otherwise a box of side 2)",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen import pipeline

    manifest = pipeline.mesh(
        args.input,
        args.out,
        formats=args.format,
        frames=args.frames,
        unit=args.unit,
        size=args.size,
        up=args.up,
        colour=args.colour,
        workers=args.workers,
        ray=args.ray,
        method=args.method,
        faces=args.faces,
        thickness=args.thickness,
    )
    failed = [f"{entry['name']}: {entry['error']}" for entry in manifest["meshes"]
              if "error" in entry]  # fmt: skip
    if failed and len(failed) == len(manifest["meshes"]):
        raise MeshError(f"nothing could be meshed; {failed[0]} (all in {args.out / 'meshes.json'})")
    return {"out": str(args.out), **manifest}


def describe(result: dict[str, Any]) -> str:
    summary = result["summary"]
    lines = [
        f"  {entry['name']}: {entry['error']}" for entry in result["meshes"] if "error" in entry
    ]
    lines += _notes(result["meshes"])
    count = summary["meshes"]
    kept = f" ({result['resumed']} from before)" if result["resumed"] else ""
    lines.append(
        f"{count} meshes in {result['out']}{kept}: {summary['watertight']} watertight, "
        f"{summary['manifold']} manifold, {summary['failed']} failed"
    )
    return "\n".join(lines)


def _notes(meshes: list[dict[str, Any]]) -> Iterator[str]:
    """Each kind of note once, with the meshes that have it and the range of its numbers."""
    kinds: dict[str, list[str]] = {}
    for entry in meshes:
        for note in entry.get("report", {}).get("notes", ()):
            kinds.setdefault(re.sub(r"\d+", "N", note), []).append(note)
    for notes in kinds.values():
        # Words and numbers in turn; the words are the same in all.
        places = zip(*(re.split(r"(\d+)", note) for note in notes), strict=True)
        text = "".join(_span(place) for place in places)
        yield f"  {len(notes)} of {len(meshes)}: {text}"


def _span(same: tuple[str, ...]) -> str:
    """The one text of all, or the range of numbers."""
    if len(set(same)) == 1:
        return same[0]
    return f"{min(same, key=int)} to {max(same, key=int)}"
