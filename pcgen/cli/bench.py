"""Benchmarks against the libraries a user would otherwise take, in one run.

Results are ratios between rows of one table: the speed of the machine divides out. The tests do not
run them. `pcgen bench NAME --help` describes one.

  transport    semi-discrete solvers: ours, POT's, OTT-JAX's
  autoencoder  codes of shapes at equal training time
  base         training steps to a fixed error, per base measure
  metrics      Chamfer and EMD backends
  mesh         points to mesh: F-score, watertight share, time
  prepare      meshes to clouds, shapes a second
  sampling     quality and time over the number of evaluations, per solver
  completion   parts of test shapes completed, beside retrieval
  generation   quality over training time, with the standard Gaussian as control

In a checkout, python -m tests.benchmarks.scale and python -m tests.benchmarks.memory plan larger
data sets.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from pcgen.errors import InputError

BENCHMARKS = (
    "transport",
    "autoencoder",
    "base",
    "metrics",
    "mesh",
    "prepare",
    "sampling",
    "completion",
    "generation",
)

# Benchmarks that were commands before.
MOVED = ("scale", "memory")


def choose(word: str) -> Any:
    """The module of one benchmark, itself a command module; None if ``word`` names none."""
    return importlib.import_module(f"pcgen.bench.{word}") if word in BENCHMARKS else None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        choices=(*BENCHMARKS, *MOVED),
        metavar="NAME",
        help="which benchmark; its options follow",
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    # Any other name is run by its own module.
    raise InputError(
        f"this benchmark is run in a checkout now: python -m tests.benchmarks.{args.name}"
    )
