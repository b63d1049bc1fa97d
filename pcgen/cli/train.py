"""Train a generator on a data set.

Five stages run one after the other, each resumable at any moment: the maps between training shapes
that children are drawn from, the autoencoder, the base measure with its semi-discrete map, the
latent flow and the point flow. The run directory holds
settings, weights (safetensors), learning curves (metrics.jsonl) and the evidence of the map.
Give the same command again to go on after an interruption; nothing finished is done twice, and
the weights are those of an uninterrupted run on the same machine with as many threads. A budget
in minutes is turned into steps by timing some, once for each stage: two runs with a budget take
different numbers of steps, two runs with the steps of a preset are equal to the last bit.

Started by torchrun, any number of processes on one machine or many train together: each computes
its share of every batch, so they take the steps that one process takes, up to rounding, and
another number may go on with the run. Each reads the data set, at the path given; only the first
one touches the run. A GPU each where torch sees some (simulated, never run), else equal parts of
the CPU cores.

examples:
  pcgen train chairs --out runs/chairs
  pcgen train chairs --out runs/quick --budget-minutes 5
  pcgen train furniture --out runs/seats --categories seat --base gaussian --seed 1
  torchrun --nproc_per_node 2 -m pcgen train chairs --out runs/chairs
  torchrun --nnodes 2 --nproc_per_node 8 --node_rank 0 --master_addr HOST -m pcgen train ...
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pcgen.cli.arguments import add_device, location, names, natural, positive
from pcgen.runfile import STAGES

CODECS = ("patches", "tokens", "basis-points", "pointnet", "attention", "neighbourhood")
BASES = (
    "standard",
    "gaussian",
    "gmm",
    "uniform",
    "ae-ot",
    "conjugate-moment",
    "network",
    "auto",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=location, help="a data set of pcgen prepare, or its URL")
    parser.add_argument("--out", type=Path, required=True, help="the run directory")
    parser.add_argument(
        "--preset",
        default="cpu-small",
        choices=("cpu-tiny", "cpu-small", "gpu"),
        help="cpu-tiny: seconds, for tests; cpu-small: minutes on 2 cores; gpu: never run on one",
    )
    parser.add_argument("--categories", type=names, help="train on these only, e.g. chair,table")
    parser.add_argument(
        "--conditional", action="store_true", help="tell the latent flow the category"
    )
    parser.add_argument(
        "--base", choices=BASES, help="where the latent flow starts (the preset's if not given)"
    )
    parser.add_argument(
        "--encoder",
        choices=CODECS,
        help="of the autoencoder (the preset's if not given); see pcgen bench autoencoder",
    )
    parser.add_argument(
        "--budget-minutes", type=float, help="wall-clock minutes to divide over the stages"
    )
    parser.add_argument("--stage", choices=STAGES, help="this stage only; earlier ones are needed")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run's own settings, as stored"
    )
    parser.add_argument("--seed", type=natural, default=0, help="of everything random")
    add_device(parser)
    parser.add_argument(
        "--threads", type=positive, help="of torch; PCGEN_THREADS or all cores if not given"
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "tf32", "bfloat16"),
        default="auto",
        help="of the products of linear layers; all else stays float32. auto: the run's own, of a "
        "new run tf32 on a CUDA device and float32 on a CPU",
    )
    parser.add_argument(
        "--accumulate",
        type=positive,
        default=1,
        help="parts a batch is cut into to save memory; gradients are added up",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen import pipeline

    return pipeline.train(
        args.dataset,
        args.out,
        preset=args.preset,
        categories=args.categories,
        conditional=args.conditional,
        base=args.base,
        encoder=args.encoder,
        budget_minutes=args.budget_minutes,
        seed=args.seed,
        threads=args.threads,
        device=args.device,
        stage=args.stage,
        resume=args.resume,
        precision=args.precision,
        accumulate=args.accumulate,
    )


def describe(result: dict[str, Any]) -> str:
    done = ", ".join(result["finished"])
    return f"{result['run']}  (finished: {done})"
