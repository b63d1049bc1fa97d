"""Run paths on the simulated device, in a process of its own.

    python -m tests.device.simulate                    all paths
    python -m tests.device.simulate sample transport   those whose name holds one of the words
    python -m tests.device.simulate --device cuda:1    as the second process of a machine has it
    python -m tests.device.simulate --fault NAME       with a fault of planted.py

Prints one JSON object a path, and exits with 1 where one fails.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PYKEOPS_VERBOSE", "0")

from tests.device import simulation

simulation.install()

import torch  # noqa: E402

from pcgen import progress  # noqa: E402
from pcgen.kernels import backends, keops  # noqa: E402
from pcgen.train.loop import Trainer  # noqa: E402
from tests.device import keops_stand_in, paths, planted  # noqa: E402

torch.set_num_threads(1)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--fault", default="")
    options = parser.parse_args()
    progress.set_quiet(True)
    keops.LazyTensor = keops_stand_in.StandIn
    backends.keops_usable_on_cuda = lambda: True
    if options.fault:
        planted.FAULTS[options.fault].plant()
        options.words = [planted.FAULTS[options.fault].path]
    failed = 0
    try:
        for name, function in paths.PATHS.items():
            if options.words and not any(word in name for word in options.words):
                continue
            row = examined(name, function, options.device)
            failed += bool(row["wrong"])
            print(json.dumps(row), flush=True)
    finally:
        paths.clear()
    return 1 if failed else 0


def examined(name: str, function: Any, device: str) -> dict[str, Any]:
    """The results of a path on the CPU and on the device."""
    begun = time.process_time()
    mode = simulation.Device()
    steps: dict[str, list[int]] = {}
    try:
        expected = function("cpu")
        counted(steps)
        with mode:
            found = function(device)
        wrong = paths.compared(name, found, expected)
    except Exception as error:
        wrong = said(error)
    faults = [f"{line}: {kind}, {message[:200]}" for kind, message, line in mode.faults]
    return {
        "path": name,
        "wrong": "; ".join([*dict.fromkeys(faults), *([wrong] if wrong else [])]),
        "steps": steps,
        "kernels": mode.kernels,
        "syncs": sum(mode.syncs.values()),
        "seconds": round(time.process_time() - begun, 1),
    }


PLAIN_STEP, PLAIN_LOOK = Trainer.step, Trainer._looked_at


def counted(steps: dict[str, list[int]]) -> None:
    """Let the last step of each loop leave in ``steps`` its waits, waiting copies and kernels, and
    after them the waits of the last look at its losses, for the log."""

    def step(trainer: Any) -> Any:
        device = simulation.active
        if device is None:
            return PLAIN_STEP(trainer)
        before = _counts(device)
        loss = PLAIN_STEP(trainer)
        steps[name_of(trainer)] = [
            now - then for now, then in zip(_counts(device), before, strict=True)
        ]
        return loss

    def look(trainer: Any) -> Any:
        before = _counts(simulation.active) if simulation.active else None
        losses = PLAIN_LOOK(trainer)
        if before:
            steps[name_of(trainer)].append(_counts(simulation.active)[0] - before[0])
        return losses

    def name_of(trainer: Any) -> str:
        return f"{trainer.folder.parent.name}/{trainer.folder.name}"

    Trainer.step, Trainer._looked_at = step, look  # type: ignore[method-assign]


def _counts(device: Any) -> list[int]:
    waits = sum(count for what, count in device.syncs.items() if not what.startswith("keops"))
    return [waits, sum(device.pageable.values()), device.kernels]


def said(error: Exception) -> str:
    root = str(simulation.ROOT / "pcgen")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(root)]
    at = f"{frames[-1].filename[len(root) - 5 :]}:{frames[-1].lineno}" if frames else "the test"
    return f"{type(error).__name__} at {at}: {str(error)[:300]}"


if __name__ == "__main__":
    sys.exit(main())
