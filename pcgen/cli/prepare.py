"""Make a data set for training from a collection of meshes or point clouds.

SOURCE is a folder, a zip archive (read in place), a file of clouds, or the word
"starter" for the furniture that comes with pcgen. These layouts are recognised:

  shapenet      ShapeNetCore v1 and v2, unpacked or one zip a synset
  modelnet      <class>/<train or test>/<name>.off, also with broken first lines
  pc15k         PointFlow's <synset>/<split>/<model>.npy
  shapenetpart  <synset>/points/<model>.pts, or its text files
  partnet       <annotation>/objs/<part>.obj; the parts of a shape are joined
  hdf5          arrays (N, P, 3): DPM's {synset}/{split}, or data, normal and label in several
                files with shape_names.txt (ModelNet40, ScanObjectNN)
  folder        any nesting of OBJ, OFF, PLY, STL, GLB, glTF, .npy, .npz, .pt, .h5, .xyz, .pts,
                .pcd, .asc files and text clouds; folders of the first level are categories if each
                holds more than one model; of several versions of a model, one is used

Meshes are sampled uniformly by area, with normals. Each shape is normalised to the box [-1, 1], and
its centre and scale are stored. A data set has +Y up: --up z rotates a source that has Z up, and
exports are rotated back. Files that cannot be read are reported with the reason, here and in
DATASET/report.json, and left out. DATASET appears only when it is complete; after an interruption,
the same command resumes from DATASET.part. The result is the same, byte for byte, for any number of
workers, on this machine or on a Ray cluster.

SOURCE and DATASET may be URLs that fsspec supports (https, s3, gs, sftp ...). Each needs packages
of its own; pip install 'pcgen[remote]' installs those for https. Meshes and archives behind a URL
are read in place; arrays and HDF5 files are copied into the cache. A data set behind a URL is made
in the cache and then uploaded; commands that read it download it once, to memory-map it.

Splits come from --splits FILE: ShapeNet's official table (id,synsetId,subSynsetId,modelId,split)
or a table with the columns file,split and optionally category. Without --splits, the first of these
that exists decides: a table split.csv, splits.csv, all.csv or manifest.csv at the top of SOURCE;
lists of names such as train.txt and <synset>/val.lst; folders and array files named train, val and
test; else 80/10/10 by the hash of each shape's id, which puts exact copies into one split.

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

from pcgen.cli.arguments import add_work, location, names, natural, options, positive

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
        help="layout of SOURCE",
    )
    add(
        "--categories",
        type=names,
        metavar="A,B",
        help="use only these categories; names or synsets",
    )
    add(
        "--points",
        type=positive,
        metavar="N",
        help="points to store per shape; the default is 15000, or what the clouds have if fewer",
    )
    add("--splits", type=Path, metavar="FILE", help="a CSV table with the split of each shape")
    add_work(parser, "one per core")
    add("--seed", type=natural, default=0, help="seed of the surface sampling")
    add("--up", choices=["y", "z", "x"], help="the axis of SOURCE that points up; the default is Y")
    add(
        "--unit",
        default="",
        metavar="NAME",
        help="length unit of SOURCE, such as mm; reported with exports",
    )
    add(
        "--solids",
        type=natural,
        default=0,
        metavar="N",
        help="points per mesh with a signed distance, from which a run learns a field for `pcgen "
        "mesh --method field`; 4096 is a good number",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    asked = options(args, pcgen.prepare)
    data = pcgen.prepare(args.source, args.out, **asked, progress=not args.quiet)
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
