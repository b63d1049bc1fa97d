"""Put a part of one shape on another.

Optimal transport matches the points of both. The part comes from OTHER; the rest and the
proportions come from FILE. The result is encoded and decoded, which closes the seam.

examples:
  pcgen mix seats armchair.ply stool.ply --part bottom --out mixed.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_device, add_out, add_run, natural, options, positive
from pcgen.editing.parts import PARTS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("file", type=Path, metavar="FILE", help="a cloud or mesh, +Y up")
    parser.add_argument(
        "other", type=Path, metavar="OTHER", help="the cloud or mesh that gives the part"
    )
    parser.add_argument(
        "--part", choices=tuple(PARTS), default="top", help="the part that OTHER gives"
    )
    parser.add_argument(
        "--share", type=float, default=0.5, help="share of the points that OTHER gives"
    )
    add_out(parser)
    parser.add_argument("--points", type=positive, default=2048, help="points of the result")
    parser.add_argument("--seed", type=natural, default=0, help="random seed")
    add_device(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen

    mix = pcgen.load(args.run, device=args.device).mix
    shape = mix(args.file, args.other, **options(args, mix))
    pcgen.Shapes.of([shape]).save(args.out)
    return {"out": str(args.out)}


def describe(result: dict[str, Any]) -> str:
    return str(result["out"])
