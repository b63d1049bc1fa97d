"""Turn a collection of meshes or point clouds into a data set for training.

SOURCE is a folder, a zip archive (read in place, never unpacked), a file of clouds, or the word
"starter" for the furniture that comes with the repository. Layouts that are recognised:

  shapenet      ShapeNetCore v1 and v2, unpacked or one zip a synset
  modelnet      <class>/<train or test>/<name>.off, broken first lines included
  pc15k         PointFlow's <synset>/<split>/<model>.npy
  shapenetpart  <synset>/points/<model>.pts, or its text files
  partnet       <annotation>/objs/<part>.obj, the parts of a shape as one
  hdf5          arrays (N, P, 3): DPM's {synset}/{split}, or data, normal and label in several
                files with shape_names.txt (ModelNet40, ScanObjectNN)
  folder        any nesting of OBJ, OFF, PLY, STL, GLB, glTF, .npy, .npz, .pt, .h5, .xyz, .pts,
                .pcd, .asc files and text clouds; folders of the first level are categories, where
                they hold more than one model each; of several versions of a model one is used

Meshes become clouds by area-weighted sampling, with normals; each shape is moved and scaled into
the box [-1, 1] and keeps the way back. A data set has +Y up: --up z turns a source that has Z up,
and exports turn back. Whatever cannot be read is named with its reason here and in
DATASET/report.json, and the rest goes on. The work appears under its name only when it is
whole; killed before, the same command goes on from DATASET.part. The result is the same, byte
for byte, whatever the number of workers, on this machine or on a Ray cluster.

SOURCE and DATASET may be URLs that fsspec understands (https, s3, gs, sftp ...; these need
packages of their own: pip install 'pcgen[remote]' brings https). Meshes and archives behind a URL
are read in place; arrays and HDF5 are copied into the cache, where a data set behind a URL is
also made, and copied again by the commands that read it: once, to be memory-mapped.

Splits come from --splits FILE: ShapeNet's official table (id,synsetId,subSynsetId,modelId,split)
or a table with the columns file,split and perhaps category. Without it a table split.csv,
splits.csv, all.csv or manifest.csv at the top of SOURCE is used, or lists of names such as
train.txt and <synset>/val.lst, else the folders and array files named train, val and test, else
80/10/10 by the hash of each shape's id, exact copies together.

examples:
  pcgen prepare starter --out furniture
  pcgen prepare ShapeNetCore.v2 --out chairs --categories chair --splits all.csv
  pcgen prepare ~/scans --out scans --points 4096
  pcgen prepare s3://mine/ShapeNetCore.v2 --out s3://mine/chairs --categories chair
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_work, location, names, natural, positive

LISTED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", help="a folder, archive or file, or its URL, or: starter")
    add(
        "--out",
        required=True,
        type=location,
        metavar="DATASET",
        help="the folder to make, or its URL",
    )
    add(
        "--format",
        default="auto",
        choices=[
            "auto",
            "shapenet",
            "modelnet",
            "pc15k",
            "shapenetpart",
            "partnet",
            "hdf5",
            "folder",
        ],
        help="how SOURCE is laid out",
    )
    add("--categories", type=names, metavar="A,B", help="keep these only; names or synsets")
    add(
        "--points",
        type=positive,
        metavar="N",
        help="to store of each shape; without it 15000, of clouds as many as they have if fewer",
    )
    add("--splits", type=Path, metavar="FILE", help="a CSV that says which shape is for what")
    add_work(parser, "one a core")
    add("--seed", type=natural, default=0, help="of the surface sampling")
    add("--up", choices=["y", "z", "x"], help="the axis of SOURCE that points up; without it Y")
    add(
        "--solids",
        type=natural,
        default=4096,
        metavar="N",
        help="places of each mesh where the signed distance to its surface is stored, from which "
        "meshes are learned; 0 for none",
    )
    add("--unit", default="", metavar="NAME", help="of SOURCE, such as mm; told with exports")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    data = pcgen.prepare(
        args.source,
        args.out,
        format=args.format,
        categories=args.categories,
        points=args.points,
        splits=args.splits,
        workers=args.workers,
        ray=args.ray,
        seed=args.seed,
        up=args.up,
        unit=args.unit,
        solids=args.solids,
        progress=not args.quiet,
    )
    return {"dataset": str(args.out), **data.report}


def describe(result: dict[str, Any]) -> str:
    lines = [
        f"{result['count']} shapes of {result['points_per_shape']} points in {result['dataset']} "
        f"(format {result['settings']['format']}; splits from {result['settings']['splits']})"
    ]
    for category, splits in result["categories"].items():
        parts = ", ".join(f"{count} {split}" for split, count in splits.items())
        lines.append(f"  {category:<20} {sum(splits.values()):>6}  ({parts})")
    read = ", ".join(f"{count} {suffix}" for suffix, count in result["read_files"].items())
    lines.append(f"read from {read}; normals {result['normals']}")
    lines += [f"  {remark}" for remark in result["remarks"]]
    rejected = result["rejected"]
    if rejected:
        lines.append(f"{len(rejected)} left out:")
        lines += [f"  {entry['item']}: {entry['reason']}" for entry in rejected[:LISTED]]
        if len(rejected) > LISTED:
            lines.append(f"  and {len(rejected) - LISTED} more, in {result['dataset']}/report.json")
    return "\n".join(lines)
