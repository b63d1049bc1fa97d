"""Encode shapes into latents of a run.

Writes one .npz file with latents (n, latent_dim) float32 and names (n,). Shapes are normalised to
their bounding boxes; +Y should point up. `pcgen decode` decodes latents into shapes.

examples:
  pcgen encode seats chair.ply stool.glb --out latents.npz
  pcgen encode runs/chairs chairs.npz --out latents.npz
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_device, add_run, npz_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("files", nargs="+", type=Path, help="clouds, meshes or samples files")
    parser.add_argument("--out", type=npz_file, required=True, help="the .npz file to write")
    add_device(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    import pcgen
    from pcgen.shapes.arrays import write_npz

    model = pcgen.load(args.run, device=args.device)
    parts = [model.encode(file, progress=not args.quiet) for file in args.files]
    names = [
        file.name if len(part) == 1 else f"{file.name} {number}"
        for file, part in zip(args.files, parts, strict=True)
        for number in range(len(part))
    ]
    latents = np.concatenate(parts)
    write_npz(args.out, {"latents": latents, "names": np.array(names)})
    return {"out": str(args.out), "count": len(latents), "latent_dim": model.latent_dim}


def describe(result: dict[str, Any]) -> str:
    return f"{result['out']}  ({result['count']} latents of {result['latent_dim']} numbers)"
