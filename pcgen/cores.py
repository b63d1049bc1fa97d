"""The cores of this machine: those that pcgen may use, and those that are free."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

LOOK_S = 0.5
"""How long the cores are observed to see which are free."""


def usable_cores(root: Path = Path("/")) -> int:
    """The cores that this process may use: those it is bound to, or what a container's quota of
    processor time amounts to, rounded down; at least 1.

    Args:
        root: the folder of ``proc`` and ``sys``.
    """
    bound = len(os.sched_getaffinity(0))
    return max(1, math.floor(min([bound, *_quotas(root)])))


def free_cores(root: Path = Path("/")) -> float:
    """The number of these cores that are idle; observes them for half a second."""
    before = _idle_ticks(root)
    time.sleep(LOOK_S)
    after = _idle_ticks(root)
    shares = []
    for core in os.sched_getaffinity(0):
        if core not in before or core not in after:
            return float(usable_cores(root))
        idle, ticks = (b - a for a, b in zip(before[core], after[core], strict=True))
        shares.append(idle / max(1, ticks))
    return min(float(usable_cores(root)), sum(shares))


def _idle_ticks(root: Path) -> dict[int, tuple[int, int]]:
    """Idle and total clock ticks per core; empty if the system does not report them."""
    found = {}
    with contextlib.suppress(OSError, ValueError):
        for line in (root / "proc/stat").read_text().splitlines():
            name, *numbers = line.split()
            if name.startswith("cpu") and name != "cpu":
                ticks = [int(number) for number in numbers[:8]]  # user time includes guests
                found[int(name[3:])] = (ticks[3] + ticks[4], sum(ticks))
    return found


def _quotas(root: Path) -> Iterator[float]:
    """The number of cores that each control group of this process allows."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            base = root / "sys/fs/cgroup"
            if controllers and "cpu" not in controllers.split(","):
                continue
            if controllers:  # version 1: a tree for each controller
                base = next((b for b in (base / controllers, base / "cpu") if b.is_dir()), base)
            here = base / path.lstrip("/")
            for folder in (here, *here.parents):
                if folder.is_relative_to(base):
                    yield from _quota(folder)


def _quota(folder: Path) -> Iterator[float]:
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        if (folder / "cpu.max").exists():
            words = (folder / "cpu.max").read_text().split()
        else:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            words = [(folder / name).read_text().strip() for name in names]
        if words[0] not in ("max", "-1"):
            yield int(words[0]) / int(words[1])
