"""Train a generator on a data set.

Five stages run one after the other: the transport maps between training shapes that augment the
data, the autoencoder, the base measure with its semi-discrete map, the latent flow and the point
flow. The run directory holds settings, weights (safetensors), learning curves (metrics.jsonl) and
the evidence of the map. After an interruption, the same command resumes: finished stages are kept,
and the weights equal those of an uninterrupted run on the same machine with as many threads.

A budget in minutes is measured by the clock: the learning rate falls with the time used, and time
that one stage does not use goes to later ones. Only working time counts; an interrupted run resumes
from its last state with the time used until then. Two runs with a budget take different numbers of
steps; two runs with the steps of a preset are equal to the last bit.

Under torchrun, several processes on one or more machines train together: each computes its share of
every batch, so the steps equal those of one process up to rounding, and a different number of
processes may resume the run. Every process reads the data set at the given path; only the first one
writes to the run. Each process uses one GPU if torch finds any (simulated, never run), else an
equal part of the CPU cores.

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

from pcgen.cli.arguments import add_device, location, names, natural, options, positive
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
        help="cpu-tiny: seconds, for tests; cpu-small: minutes on 2 cores; gpu: never run on a GPU",
    )
    parser.add_argument(
        "--categories", type=names, help="train on these categories only, e.g. chair,table"
    )
    parser.add_argument(
        "--conditional", action="store_true", help="condition the latent flow on the category"
    )
    parser.add_argument(
        "--base",
        choices=BASES,
        help="base measure of the latent flow; the default is that of the preset",
    )
    parser.add_argument(
        "--encoder",
        choices=CODECS,
        help="encoder; the default is that of the preset",
    )
    parser.add_argument(
        "--budget-minutes",
        type=float,
        help="minutes of working time, divided among the stages; the preset's steps if omitted",
    )
    parser.add_argument(
        "--stage", choices=STAGES, help="run this stage only; the earlier ones must be finished"
    )
    parser.add_argument(
        "--resume", action="store_true", help="resume with the settings that the run stores"
    )
    parser.add_argument("--seed", type=natural, default=0, help="random seed")
    add_device(parser)
    parser.add_argument(
        "--threads",
        type=positive,
        help="threads of torch, and processes that share a training step on the CPU; the default "
        "is PCGEN_THREADS, else those of a run that is resumed, else OMP_NUM_THREADS, else as many "
        "as there are free cores",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "float32", "tf32", "bfloat16"),
        default="auto",
        help="precision of matrix products in linear layers; all else is float32. auto: that of "
        "the run; for a new run, tf32 on a CUDA device and float32 on a CPU",
    )
    parser.add_argument(
        "--accumulate",
        type=positive,
        default=1,
        help="split each batch into this many parts to save memory; gradients are accumulated",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen import pipeline
    from pcgen.train import training

    return pipeline.train(args.dataset, args.out, **options(args, training.train))


def describe(result: dict[str, Any]) -> str:
    done = ", ".join(result["finished"])
    return f"{result['run']}  (finished: {done})"
