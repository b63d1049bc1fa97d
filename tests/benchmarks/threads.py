"""Time of a training step of each loop with several numbers of threads.

The numbers take turns, in rounds of a few steps, so that other processes slow all of them alike;
the median of a number's steps counts. A ratio is the time with the first number over that with
another. Beside the wall-clock time is the processor time of the first process, which adds the
gradients and takes the step; for the rest of the time it waited for the others.

example:
  python -m tests.benchmarks.threads --threads 1 2
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen.cli import run_module
from tests.benchmarks.rehearsal import loop_of, rehearse, shortened

if TYPE_CHECKING:
    from pcgen.train.loop import Trainer

ROUND = 5  # steps, of which the first is not counted

# For each number of threads, the seconds of each step, by the clock and of processor time.
Taken = dict[int, list[tuple[float, float]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="cpu-small", choices=("cpu-tiny", "cpu-small"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers to compare")
    parser.add_argument("--rounds", type=int, default=8, help="rounds of each number")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen import runtime
    from pcgen.train.presets import preset

    runtime.configure(max(args.threads))
    settings = shortened(preset(args.preset), ROUND * args.rounds * len(args.threads))
    with tempfile.TemporaryDirectory() as folder:
        trainer, rows = _timed(args.threads)
        rehearse(settings, args.preset, Path(folder), trainer, args.seed, solids=1024)
    return {"preset": args.preset, "threads": args.threads, "loops": medians(rows)}


def medians(rows: dict[str, Taken]) -> dict[str, dict[int, dict[str, float]]]:
    """The median step of each loop and number of threads."""
    return {
        loop: {
            number: {
                "seconds": statistics.median(clock for clock, _ in steps),
                "cpu": statistics.median(cpu for _, cpu in steps),
            }
            for number, steps in taken.items()
        }
        for loop, taken in rows.items()
    }


def describe(result: dict[str, Any]) -> str:
    first, *others = result["threads"]
    lines = [f"{result['preset']}; ms of a step by the clock (of processor time), and ratios"]
    for loop, times in result["loops"].items():
        told = [
            f"{1e3 * times[k]['seconds']:8.1f} ({1e3 * times[k]['cpu']:.1f})"
            for k in result["threads"]
        ]
        ratios = [f"{times[first]['seconds'] / times[k]['seconds']:6.2f}" for k in others]
        lines.append(f"{loop:<22}{''.join(told)}{''.join(ratios)}")
    return "\n".join(lines)


def _timed(numbers: Sequence[int]) -> tuple[type[Trainer], dict[str, Taken]]:
    """A trainer that changes its number of threads, and what the steps of each loop took."""
    from pcgen.train.loop import Trainer

    rows: dict[str, Taken] = {}

    class Timed(Trainer):
        def step(self) -> Any:
            self._threads = max(numbers)
            _ = self._workers  # as many as the largest number
            number = numbers[self.done // ROUND % len(numbers)]
            counted = self.done % ROUND > 0
            self._threads = number
            cpu, clock = time.process_time(), time.perf_counter()
            loss = super().step()
            if counted:
                taken = rows.setdefault(loop_of(self), {k: [] for k in numbers})
                taken[number].append((time.perf_counter() - clock, time.process_time() - cpu))
            return loss

    return Timed, rows


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.threads", sys.argv[1:])
    )
