"""Measure quality and time by the number of evaluations, for the student and its teacher.

Samples as many shapes as the test split has from one run, with 1, 2, 4, 8 and 16 steps of each
flow, and evaluates them with the Chamfer distance, averaged over several sampling seeds. "±" is the
standard error of 1-NNA over the seeds. Heun takes two evaluations per step. Time is CPU time per
shape, also relative to one step of the student. `real` scores training shapes as if generated.

examples:
  pcgen bench sampling runs/chairs --points 512
  pcgen bench sampling runs/chairs --points 512 --seeds 12
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from pcgen.cores import usable_cores
from pcgen.errors import InputError

STEPS = (1, 2, 4, 8, 16)
SOLVERS = ("student", "euler", "heun")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="a run made by pcgen train")
    parser.add_argument("--points", type=int, default=2048, help="points per shape in the metric")
    parser.add_argument("--most", type=int, default=200, help="largest number of shapes per set")
    parser.add_argument("--seeds", type=int, default=3, help="sampling seeds per row")
    parser.add_argument("--seed", type=int, default=0, help="the first sampling seed")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen.distances.tables import Work, pair_matrix
    from pcgen.evaluate.metrics import spread_of, standard_error
    from pcgen.model import ShapeModel
    from pcgen.shapes.store import Dataset

    if args.seeds < 1:
        raise InputError(f"--seeds must be at least 1, got {args.seeds}")
    model = ShapeModel.load(args.run)
    dataset = Dataset.open(model.dataset_path)
    test = dataset.select(split="test", categories=model.categories)[: args.most]
    train = dataset.select(split="train", categories=model.categories)[: len(test)]
    test = test[: len(train)]
    reference = dataset.points(test, args.points, part="last")
    work = Work(workers=usable_cores())
    within = pair_matrix(reference, work=work)
    real = _score(dataset.points(train, args.points, part="first"), reference, within, work)
    rows = [{"solver": "real", "steps": 0, "evaluations": 0, "cpu_seconds_a_shape": None, **real}]
    for solver in SOLVERS:
        for steps in STEPS:
            seconds, scores = 0.0, []
            for seed in range(args.seed, args.seed + args.seeds):
                begin = time.process_time()
                samples = model.sample(
                    len(test), seed=seed, points=args.points, steps=steps, solver=solver
                )
                seconds += time.process_time() - begin
                scores.append(_score(samples.points, reference, within, work))
            spread = spread_of(scores)
            rows.append(
                {
                    "solver": solver,
                    "steps": steps,
                    "evaluations": steps * (2 if solver == "heun" else 1),
                    "cpu_seconds_a_shape": seconds / (args.seeds * len(test)),
                    **{key: figure["mean"] for key, figure in spread.items()},
                    "nna_error": standard_error(spread["nna"]),
                }
            )
    return {
        "run": str(args.run),
        "shapes": len(test),
        "points": args.points,
        "seeds": args.seeds,
        "rows": rows,
    }


def describe(result: dict[str, Any]) -> str:
    one = result["rows"][1]["cpu_seconds_a_shape"]
    lines = [
        f"{result['shapes']} shapes of {result['points']} points, Chamfer distance, per-shape box, "
        f"mean of {result['seeds']} seeds",
        f"{'solver':<8} {'steps':>5} {'evals':>5} {'1-NNA':>6} {'±':>5} {'gen':>6} {'ref':>6} "
        f"{'COV':>6} {'MMD':>8} {'CPU s':>7} {'ratio':>6}",
    ]
    for row in result["rows"]:
        seconds, spread = row["cpu_seconds_a_shape"], row.get("nna_error")
        error = f"{spread:>5.3f}" if spread is not None else " " * 5
        cost = f"{seconds:>7.3f} {seconds / one:>6.1f}" if seconds is not None else ""
        lines.append(
            f"{row['solver']:<8} {row['steps'] or '':>5} {row['evaluations'] or '':>5} "
            f"{row['nna']:>6.3f} {error} {row['nna_generated']:>6.3f} {row['nna_reference']:>6.3f} "
            f"{row['cov']:>6.3f} {row['mmd']:>8.5f} {cost}"
        )
    return "\n".join(lines)


def _score(clouds: Any, reference: Any, within: Any, work: Any) -> dict[str, float]:
    from pcgen.distances.tables import pair_matrix
    from pcgen.evaluate import set_metrics

    across = pair_matrix(clouds, reference, work=work)
    accuracy = set_metrics.nearest_neighbour_accuracy(
        generated=pair_matrix(clouds, work=work), generated_reference=across, reference=within
    )
    return {
        "nna": accuracy.overall,
        "nna_generated": accuracy.generated,
        "nna_reference": accuracy.reference,
        "cov": set_metrics.coverage(generated_reference=across),
        "mmd": set_metrics.minimum_matching_distance(generated_reference=across),
    }
