"""Measure the quality of generated shapes over training time, with a Gaussian base as control.

For each budget, one run is trained with the preset's base and evaluated as by `pcgen evaluate`,
with 512 and with 2048 points per shape, several sampling seeds and one evaluation of each flow. The
control has the same autoencoder and point flow, and its latent flow starts from N(0, I) with the
same budget. `real` is the ceiling, training shapes scored as if generated. "±" is the standard
error of 1-NNA over the sampling seeds, for one training; few test shapes need many seeds (with 23
shapes, it is 4 % for three seeds and 2 % for twelve).

Novelty ratio, replay rate and the replay rate of test shapes are given in two frames: each shape's
box, and `p-free`, with each axis stretched to the full box, so that proportions do not count. Runs
that were evaluated before the second frame existed show nan there.

Budgets are minutes by the clock, so nothing else should run; with --threads 1, core-minutes. CPU
seconds per shape are those of sampling 2048 points.

All results are stored under --out; finished trainings and evaluations are not repeated.

example:
  python -m tests.benchmarks.generation datasets/ldraw --out runs/learning --threads 1
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from pcgen.cli import run_module
from pcgen.errors import InputError
from pcgen.files import write_json

CONTROL = "standard"
POINTS = (512, 2048)
TIMED_SHAPES = 20
KEYS = ("nna_cd", "nna_cd_generated", "nna_cd_reference", "cov_cd", "mmd_cd")
NOVELTY = ("novelty_ratio", "replay_rate", "replay_rate_test")
ENDINGS = ("", "_proportion_free")  # of the keys of the two frames of novelty
# Stages that a control shares with its run.
SHARED = ("autoencoder", "point-flow")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="made by pcgen prepare, with a test split")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--minutes", default="5,15,30,60", help="budgets, separated by commas")
    parser.add_argument("--categories", help="names separated by commas; all by default")
    parser.add_argument("--preset", default="cpu-small", help="of pcgen train")
    parser.add_argument("--seeds", type=int, default=3, help="sampling seeds")
    parser.add_argument("--seed", type=int, default=0, help="of training and of the first samples")
    parser.add_argument("--threads", type=int, help="of torch; all cores by default")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen.train.presets import preset

    try:
        budgets = [float(word) for word in args.minutes.split(",")]
    except ValueError:
        raise InputError(
            f"--minutes must be numbers separated by commas, got {args.minutes!r}"
        ) from None
    family = preset(args.preset).base.name
    rows = []
    for minutes in budgets:
        ours, control = (args.out / f"{minutes:g}-{name}" for name in (family, CONTROL))
        _train(args, ours, minutes, None)
        _share(ours, control)
        _train(args, control, minutes, CONTROL)
        for base, path in ((family, ours), (CONTROL, control)):
            rows.append({"minutes": minutes, "base": base, **_evaluate(args, path)})
    return {"dataset": str(args.dataset), "seeds": args.seeds, "rows": rows}


def describe(result: dict[str, Any]) -> str:
    lines = [
        f"{result['dataset']}: per-shape box, Chamfer distance, mean of {result['seeds']} sampling "
        "seeds; 1-NNA in per cent, 50 is ideal",
        f"{'minutes':>7} {'base':<9} {'points':>6} {'1-NNA':>6} {'±':>4} {'gen':>5} {'ref':>5} "
        f"{'COV':>5} "
        f"{'MMD':>8} {'novelty':>8} {'replay':>7} {'test':>5} {'p-free':>8} {'replay':>7} "
        f"{'test':>5} {'CPU s':>6}",
    ]
    real = result["rows"][0]["real"]
    lines += [_line("", "real", points, real[str(points)], None) for points in POINTS]
    for row in result["rows"]:
        for points in POINTS:
            figures = row["figures"][str(points)]
            minutes = f"{row['minutes']:g}"
            lines.append(_line(minutes, row["base"], points, figures, row["cpu_seconds_a_shape"]))
    return "\n".join(lines)


def _line(minutes: str, base: str, points: int, figures: dict[str, Any], cpu: float | None) -> str:
    shares = "".join(f" {100 * figures[key]:>5.1f}" for key in KEYS[1:4])
    error = figures.get("nna_cd_error")
    within = "" if error is None else f"{100 * error:.1f}"
    line = f"{minutes:>7} {base:<9} {points:>6} {100 * figures['nna_cd']:>6.1f} {within:>4}"
    line += f"{shares} {figures['mmd_cd']:>8.5f}"
    if cpu is None:
        return line
    for ending in ENDINGS:
        values = [figures.get(key + ending) for key in NOVELTY]
        ratio, rate, test = (math.nan if value is None else value for value in values)
        line += f" {ratio:>8.2f} {100 * rate:>7.1f} {100 * test:>5.1f}"
    return f"{line} {cpu:>6.3f}"


def _train(args: argparse.Namespace, out: Path, minutes: float, base: str | None) -> None:
    from pcgen.train.training import train

    train(
        args.dataset,
        out,
        preset=args.preset,
        categories=args.categories.split(",") if args.categories else None,
        base=base,
        budget_minutes=minutes,
        seed=args.seed,
        threads=args.threads,
    )


def _share(ours: Path, control: Path) -> None:
    """Give the control the finished stages that do not depend on the base."""
    for stage in SHARED:
        if not (control / stage / "done.json").exists():
            shutil.copytree(ours / stage, control / stage, dirs_exist_ok=True)


def _evaluate(args: argparse.Namespace, path: Path) -> dict[str, Any]:
    from pcgen.evaluate.metrics import standard_error
    from pcgen.evaluate.requests import EvaluationRequest, evaluate_files
    from pcgen.model import ShapeModel

    kept = path / f"judged-{args.seeds}-{args.seed}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    figures, real = {}, {}
    for points in POINTS:
        result = evaluate_files(
            EvaluationRequest([path], args.dataset, points=points, seeds=args.seeds, seed=args.seed)
        )
        extra = [key + ending for ending in ENDINGS for key in NOVELTY]
        figures[str(points)] = {key: result[key] for key in (*KEYS, *extra)}
        figures[str(points)]["nna_cd_error"] = standard_error(result["seeds"]["nna_cd"])
        real[str(points)] = {key: result["ceiling"][key] for key in KEYS}
    model = ShapeModel.load(path)
    model.sample(1, seed=args.seed)  # what the first call of all costs is no shape's
    begin = time.process_time()
    model.sample(TIMED_SHAPES, seed=args.seed)
    cpu = (time.process_time() - begin) / TIMED_SHAPES
    row = {"figures": figures, "real": real, "cpu_seconds_a_shape": cpu}
    write_json(kept, row)
    return row


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.generation", sys.argv[1:])
    )
