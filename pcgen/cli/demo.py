"""Run the whole pipeline on the starter data: prepare, train, sample, mesh, evaluate, gallery.

Trains on furniture meshes that come with pcgen, for six minutes on two cores. Then samples
new shapes, meshes and evaluates them, and makes a page and a contact sheet that show every sample
next to its nearest training shape. After about a minute, progress.html shows what is learned so
far; it is updated during training. After an interruption, the same command resumes.

examples:
  pcgen demo
  pcgen demo --category lamp --out lamps
  pcgen demo --budget-minutes 30 --out longer
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_device, natural, options, positive


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder to write")
    parser.add_argument(
        "--category",
        default="seat",
        help="a category of the starter data: seat, table, storage or lamp",
    )
    parser.add_argument(
        "--budget-minutes",
        type=float,
        help="wall-clock minutes of training; the default is 6 with two or more cores, else 9",
    )
    parser.add_argument("--count", type=positive, default=24, help="new shapes to make and show")
    parser.add_argument(
        "--preset",
        default="cpu-small",
        choices=("cpu-tiny", "cpu-small"),
        help="preset of pcgen train",
    )
    parser.add_argument("--seed", type=natural, default=0, help="random seed")
    add_device(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen import pipeline

    return pipeline.demo(args.out, **options(args, pipeline.demo))


def describe(result: dict[str, Any]) -> str:
    why = f", {result['open'][0]}" if result["open"] else ""
    return (
        f"gallery        {result['gallery']}\n"
        f"contact sheet  {result['sheet']}\n"
        f"meshes         {result['meshes']}  "
        f"({result['watertight']} of {result['count']} watertight{why})\n"
        f"metrics        {result['report']}\n"
        f"samples        {result['samples']}\n"
        f"run            {result['run']}"
    )
