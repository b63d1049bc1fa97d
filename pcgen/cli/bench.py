"""Run benchmarks against comparable libraries.

Compare rows of one table by their ratios, which do not depend on the speed of the machine. The
tests do not run benchmarks. `pcgen bench NAME --help` describes one.

  transport    semi-discrete solvers: pcgen, POT, OTT-JAX
  base         training steps to a fixed error, by base measure
  mesh         mesh reconstruction: F-score, share of watertight meshes, time
  sampling     quality and time by number of function evaluations and solver
  completion   completion of partial test shapes, compared with retrieval

A checkout has more, as python -m tests.benchmarks.NAME:

  autoencoder  shape encoders at equal training time
  generation   quality by training time, with the standard Gaussian as control
  metrics      backends of Chamfer and earth mover's distances
  prepare      sampling of meshes, shapes per second
  scale        time, memory and storage that larger data sets need
  memory       device memory for training
  point_base   the point flow from its mixture and from noise, by evaluations
  large_base   the base stage with more latents than a cache holds
  many_shapes  data sets larger than memory
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from pcgen.errors import InputError

BENCHMARKS = ("transport", "base", "mesh", "sampling", "completion")

# Benchmarks that used to be commands.
MOVED = ("scale", "memory", "autoencoder", "generation", "metrics", "prepare")


def choose(word: str) -> Any:
    """The command module of a benchmark; None if there is none named ``word``."""
    return importlib.import_module(f"pcgen.bench.{word}") if word in BENCHMARKS else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        choices=(*BENCHMARKS, *MOVED),
        metavar="NAME",
        help="the benchmark; its options follow",
    )
    parser.add_argument("options", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, Any]:
    # Every other name runs its own module.
    raise InputError(
        f"this benchmark now runs in a checkout: python -m tests.benchmarks.{args.name}"
    )
