"""Reconstruct meshes from point clouds: watertight, manifold, oriented outwards, with reports.

INPUT is a samples file (.npz, from `pcgen sample`), a cloud file (.ply .xyz .pcd .npy ...) or a
folder of them. For each cloud NAME, the command writes DIR/NAME.glb (or the formats of --format)
and DIR/NAME.json with method, faces, components, genus, area, volume, the distances from mesh to
points and from points to mesh, and the F-score at 1 % of the size. DIR/meshes.json lists all
meshes. A shape that fails is reported, and the others are still meshed; the exit code is 2 if all
fail. Given again, the same command keeps finished meshes.

Methods:
  auto      the same as implicit
  implicit  a closed surface around the points: averages noise out, keeps detail of clean points and
            thin parts, fills holes up to six cells wide, and gives open sheets two sides; adds
            mirror images of noisy points with normals if the shape is symmetric, and says so
  field     the signed distance that a run learned, for samples of a run (they keep their latents)
            whose data set had solids; --device computes the distance

Normals in the file are used; missing or zero normals are estimated. The command prints what was
dropped, estimated or added, and NAME.json records it.

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

from pcgen.cli.arguments import add_device, add_work, location, names, natural, options, positive
from pcgen.errors import MeshError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "input", metavar="INPUT", type=Path, help="samples file, cloud file or folder"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="the folder to write"
    )
    parser.add_argument(
        "--format",
        dest="formats",
        metavar="FORMAT",
        type=names,
        default=["glb"],
        help="one or more of glb,ply,obj,stl,3mf",
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
        "--method",
        default="auto",
        help="auto, implicit or field",
    )
    parser.add_argument(
        "--faces", type=positive, metavar="N", help="simplify each mesh to about N faces"
    )
    parser.add_argument(
        "--thickness",
        type=float,
        default=0.004,
        help="least thickness of open sheets, as a share of the size",
    )
    parser.add_argument(
        "--resolution",
        type=natural,
        metavar="N",
        default=128,
        help="grid cells along an axis: trades time for detail",
    )
    parser.add_argument(
        "--no-symmetry",
        dest="symmetry",
        action="store_false",
        help="implicit: do not add mirror images of the points of symmetric shapes",
    )
    add_work(parser, "1")
    add_device(parser, "cpu")
    parser.add_argument(
        "--frames",
        metavar="DATASET",
        type=location,
        help="scale samples to the median size of their category in this data set; the default is "
        "the frame that the file stores for each (as by pcgen complete), else the data set of "
        "their run, if it exists, else a box of side 2",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    asked = options(args, pcgen.save_meshes)
    manifest = pcgen.save_meshes(args.input, args.out, **asked, progress=not args.quiet)
    failed = [f"{entry['name']}: {entry['error']}" for entry in manifest["meshes"]
              if "error" in entry]  # fmt: skip
    if failed and len(failed) == len(manifest["meshes"]):
        raise MeshError(
            f"no shape could be meshed; {failed[0]} (all in {args.out / 'meshes.json'})"
        )
    return {"out": str(args.out), **manifest}


def describe(result: dict[str, Any]) -> str:
    summary = result["summary"]
    lines = [
        f"  {entry['name']}: {entry['error']}" for entry in result["meshes"] if "error" in entry
    ]
    lines += _notes(result["meshes"])
    count = summary["meshes"]
    kept = f" ({result['resumed']} made before)" if result["resumed"] else ""
    lines.append(
        f"{count} meshes in {result['out']}{kept}: {summary['watertight']} watertight, "
        f"{summary['manifold']} manifold, {summary['failed']} failed"
    )
    return "\n".join(lines)


def _notes(meshes: list[dict[str, Any]]) -> Iterator[str]:
    """Each kind of note once, with the count of its meshes and the range of its values."""
    kinds: dict[str, list[str]] = {}
    for entry in meshes:
        for note in entry.get("report", {}).get("notes", ()):
            kinds.setdefault(re.sub(r"\d+", "N", note), []).append(note)
    for notes in kinds.values():
        # Words and numbers alternate; the words are the same in all notes.
        places = zip(*(re.split(r"(\d+)", note) for note in notes), strict=True)
        text = "".join(_span(place) for place in places)
        yield f"  {len(notes)} of {len(meshes)}: {text}"


def _span(same: tuple[str, ...]) -> str:
    """The text if all are the same, else the range of the numbers."""
    if len(set(same)) == 1:
        return same[0]
    return f"{min(same, key=int)} to {max(same, key=int)}"
