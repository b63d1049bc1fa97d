"""Prepare and train on more shapes than there are: memory and time of every stage.

Clouds of a data set are repeated, each time stretched and twisted differently, written to one file,
prepared, and trained on for a few minutes. Then shapes are sampled and compared with some of the
test split, and with all training shapes. Each part is a process of its own, whose largest memory
and processor time are those that the system reports at its end.

example:
  python -m tests.benchmarks.many_shapes DATASET --shapes 50000 --minutes 5 --out /tmp/many
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pcgen.cli import run_module
from pcgen.errors import InputError, PcgenError
from pcgen.progress import say
from pcgen.runfile import STAGES

BLOCK = 256  # clouds warped at a time
COMPARED = 256  # shapes sampled, and test shapes that they are compared with


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", metavar="DATASET", type=Path, help="a prepared data set")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="a new folder")
    parser.add_argument("--shapes", type=int, default=50_000, help="to make")
    parser.add_argument("--points", type=int, default=768, help="of each")
    parser.add_argument("--preset", default="cpu-tiny", choices=("cpu-tiny", "cpu-small"))
    parser.add_argument("--minutes", type=float, default=5.0, help="budget of the training")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.shapes < 16 or args.points < 128:
        raise InputError("expected at least 16 shapes of 128 points")
    args.out.mkdir(parents=True)
    say(f"making {args.shapes} clouds of {args.points} points")
    clouds, data, trained = args.out / "clouds.npy", args.out / "data", args.out / "run"
    warped(args.dataset, clouds, args.shapes, args.points, args.seed)
    rows = [measured("prepare", [clouds, "--out", data, "--points", args.points])]
    for stage in STAGES:
        words = [data, "--out", trained, "--preset", args.preset, "--threads", 1, "--seed"]
        words += [args.seed, "--budget-minutes", args.minutes, "--stage", stage]
        rows.append(measured("train", words) | {"part": stage})
    made, unseen = args.out / "made.npz", args.out / "unseen.npy"
    rows.append(measured("sample", [trained, "--count", COMPARED, "--out", made]))
    some_unseen(data, unseen)
    words = [made, "--reference", unseen, "--training", data, "--seeds", 1, "--workers", 1]
    rows.append(measured("evaluate", [*words, "--points", args.points // 3, "--no-cache"]))
    return {"shapes": args.shapes, "points": args.points, "preset": args.preset, "rows": rows}


def warped(dataset: Path, out: Path, count: int, points: int, seed: int) -> None:
    """Write stretched and twisted clouds of a data set, (count, points, 3) float32."""
    import numpy as np

    from pcgen.shapes.store import Dataset

    source = Dataset.open(dataset).memmap_points
    rng = np.random.default_rng(seed)
    made = np.lib.format.open_memmap(out, "w+", np.float32, (count, points, 3))
    for start in range(0, count, BLOCK):
        rows = np.arange(start, min(start + BLOCK, count))
        x = source[rows % len(source)][:, np.arange(points) % source.shape[1]].astype(np.float32)
        x *= rng.uniform(0.5, 1.5, (len(rows), 1, 3)).astype(np.float32)
        angle = rng.uniform(-1, 1, (len(rows), 1)).astype(np.float32) * x[..., 2]
        cos, sin = np.cos(angle), np.sin(angle)
        made[rows, :, 0] = cos * x[..., 0] - sin * x[..., 1]
        made[rows, :, 1] = sin * x[..., 0] + cos * x[..., 1]
        made[rows, :, 2] = x[..., 2]
    made.flush()


def some_unseen(dataset: Path, out: Path) -> None:
    """Write some test shapes of a data set, (n, points, 3) float32."""
    import numpy as np

    from pcgen.shapes.store import Dataset

    source = Dataset.open(dataset)
    rows = source.select(split="test")[:COMPARED]
    np.save(out, source.memmap_points[rows].astype(np.float32))


def measured(command: str, words: list[Any]) -> dict[str, Any]:
    """Run a command of pcgen; returns its name, processor seconds and peak memory in bytes."""
    say(f"pcgen {command} {' '.join(map(str, words))}")
    started = subprocess.Popen([sys.executable, "-m", "pcgen", command, *map(str, words)])
    _, status, used = os.wait4(started.pid, 0)
    if status:
        raise PcgenError(f"pcgen {command} ended with status {status}")
    seconds, peak = used.ru_utime + used.ru_stime, 1024.0 * used.ru_maxrss
    say(f"{seconds:.1f} s of processor time, {peak / 2**30:.2f} GiB")
    return {"part": command, "seconds": seconds, "peak": peak}


def describe(result: dict[str, Any]) -> str:
    head = "{shapes:,} shapes of {points} points, preset {preset}".format(**result)
    rows = (
        f"{row['part']:<14}{row['seconds']:>8.1f} s{row['peak'] / 2**30:>7.2f} GiB"
        for row in result["rows"]
    )
    return "\n".join([head, *rows])


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.many_shapes", sys.argv[1:])
    )
