"""Decode latents into shapes.

LATENTS is a file written by `pcgen encode`, or a .npy file of shape (n, latent_dim).

examples:
  pcgen decode seats latents.npz --points 16000 --out shapes.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_device, add_out, add_run, natural, positive
from pcgen.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("latents", type=Path, metavar="LATENTS", help=".npz or .npy")
    add_out(parser)
    parser.add_argument("--points", type=positive, default=2048, help="points per shape")
    parser.add_argument("--seed", type=natural, default=0, help="seed of the base points")
    add_device(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import pcgen
    from pcgen.shapes.arrays import read_npy, read_npz

    if args.latents.suffix == ".npz":
        arrays = read_npz(args.latents)
        if "latents" not in arrays:
            held = ", ".join(sorted(arrays)) or "none"
            raise InputError(f"{args.latents} has no array 'latents'; it has {held}")
        latents = arrays["latents"]
    else:
        latents = read_npy(args.latents)
    model = pcgen.load(args.run, device=args.device)
    shapes = model.decode(latents, points=args.points, seed=args.seed, progress=not args.quiet)
    shapes.save(args.out)
    return {"out": str(args.out), "count": len(shapes)}


def describe(result: dict[str, Any]) -> str:
    return str(result["out"])
