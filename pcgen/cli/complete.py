"""Complete a partial or noisy cloud: whole shapes, the most likely first.

Training shapes and samples of the run are aligned with the points, deformed to fit them, and supply
the missing part. The given points are kept; with --denoise, answers are decoded instead. Answers
are ordered by the likelihood of the points under them, by the misfit, and by their distance to the
latents of the base. If shapes of several sizes fit, the best of each size comes first.

--out OUT.npz holds the answers in their boxes, with their frames, for pcgen view, gallery and mesh;
the first two show the given points in a colour of their own. --out FOLDER receives a PLY file of
each, in the frame of FILE.

examples:
  pcgen complete scan.ply --run runs/chairs --out whole.npz
  pcgen view whole.npz --png whole.png --count 4
  pcgen complete scan.ply --run seats --count 6 --out answers
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_device, add_out, natural, options, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a cloud or mesh, +Y up")
    parser.add_argument(
        "--run",
        required=True,
        help="a run made by pcgen train, or the name of one in the package: seats",
    )
    add_out(parser)
    parser.add_argument("--count", type=positive, default=4, help="number of answers")
    parser.add_argument(
        "--points", type=positive, help="points per answer; the default keeps the given density"
    )
    parser.add_argument(
        "--framed", action="store_true", help="the points are in the box [-1, 1] of the whole shape"
    )
    parser.add_argument(
        "--denoise", action="store_true", help="decode the answers, without keeping given points"
    )
    parser.add_argument("--category", help="category of the whole shapes")
    parser.add_argument("--seed", type=natural, default=0, help="seed of all random numbers")
    add_device(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    import warnings

    import pcgen

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # describe prints the notes
        complete = pcgen.load(args.run, device=args.device).complete
        asked = options(args, complete)
        asked |= {"keep": not args.denoise, "progress": not args.quiet}
        shapes = complete(args.file, args.count, **asked)
    shapes.save(args.out, stem=args.file.stem)
    return {
        "out": str(args.out),
        "notes": shapes.meta["notes"],
        "answers": [
            {"given": int(s.given.sum()), **s.facts} for s in shapes if s.given is not None
        ],
    }


def describe(result: dict[str, Any]) -> str:
    lines = [f"  note: {note}" for note in result["notes"]]
    lines += [
        f"  answer {number}: log density {found['log_density']:.2f}, "
        f"misfit {found['misfit']:.2g}, "
        f"plausible {found['plausible']:.2f}, {found['given']} points as given"
        for number, found in enumerate(result["answers"])
    ]
    return "\n".join([*lines, result["out"]])
