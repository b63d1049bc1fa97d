"""The work of a training step on a device, counted on the simulated one, and minimum times.

    python -m tests.device.work --preset gpu
    python -m tests.device.work --preset cpu-tiny --tflops 19.5 --bandwidth 1.5

Steps of each loop are taken at a sixteenth and an eighth of the preset's batch, on the seats of the
starter data, and extended to the whole by a straight line. Kernels, FLOP of matrix products and
bytes that kernels read and write are counts. The times are bounds from them: a kernel takes at
least its FLOP over --tflops or its bytes over --bandwidth, and the host --launch microseconds. As
no step waits for the device, a step takes the longer of both, and the device is busy for a share of
that. What the host draws and computes meanwhile is timed here, in processor time, and in no other
column. The defaults are the rates that an H100 SXM is sold with, float32 without TF32; 8
microseconds are a guess. Nothing was timed on a device.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PYKEOPS_VERBOSE", "0")

from tests.device import simulation

simulation.install()

import torch  # noqa: E402

from pcgen import progress  # noqa: E402
from pcgen.kernels import backends, keops  # noqa: E402
from pcgen.train.loop import Trainer  # noqa: E402
from pcgen.train.presets import PRESETS, preset  # noqa: E402
from tests.benchmarks.rehearsal import loop_of, rehearse, shortened  # noqa: E402
from tests.device import keops_stand_in  # noqa: E402

torch.set_num_threads(1)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="gpu", choices=tuple(PRESETS))
    parser.add_argument("--tflops", type=float, default=67.0, help="10¹² FLOP a second")
    parser.add_argument("--bandwidth", type=float, default=3.35, help="10¹² bytes a second")
    parser.add_argument("--launch", type=float, default=8.0, help="microseconds of the host")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    progress.set_quiet(True)
    keops.LazyTensor = keops_stand_in.StandIn
    backends.keops_usable_on_cuda = lambda: True
    rows = counted(options.preset, options.tflops * 1e12, options.bandwidth * 1e12)
    for row in rows:
        row["host_seconds"] = row["kernels"] * options.launch * 1e-6
        step = max(row["device_seconds"], row["host_seconds"])
        row["busy"] = row["device_seconds"] / step
        row["hours"] = row["steps"] * step / 3600
    print(json.dumps(rows) if options.json else table(rows))
    return 0


def counted(name: str, flops: float, bandwidth: float) -> list[dict[str, Any]]:
    """One row per loop of the preset."""
    rows: list[dict[str, Any]] = []
    settings = preset(name)
    flow, points = settings.latent_flow, settings.point_flow
    loops = [settings.autoencoder_loop, flow.teacher, flow.student, points.teacher, points.student]

    class Counted(Trainer):
        def step(self) -> Any:
            whole = self.settings
            small = max(1, whole.batch // 16)
            # The first step makes the state of the optimiser, which the others find.
            counts = [self._count(batch) for batch in (small, small, 2 * small)][1:]
            self.settings = whole
            beyond = whole.batch / small - 1
            row = {key: a + (b - a) * beyond for (key, a), b in zip(
                counts[0].items(), counts[1].values(), strict=True)}  # fmt: skip
            steps = loops[len(rows)].steps
            rows.append({"loop": loop_of(self), "steps": steps, "batch": whole.batch, **row})
            return torch.zeros(())

        def _count(self, batch: int) -> dict[str, float]:
            mode = simulation.active
            mode.reset()
            self.settings = dataclasses.replace(self.settings, batch=batch)
            super().step()
            return {
                "kernels": mode.kernels,
                "flop": mode.flop,
                "bytes": mode.bytes,
                "device_seconds": sum(
                    max(flop / flops, moved / bandwidth) for _, flop, moved, _ in mode.launches
                ),
                "drawing_seconds": sum(mode.host_seconds.values()),
            }

    few = shortened(settings, 3)
    few = dataclasses.replace(few, base=dataclasses.replace(few.base, name="gaussian"))
    with tempfile.TemporaryDirectory() as folder, simulation.Device():
        rehearse(few, name, Path(folder), Counted, 0, "cuda")
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'loop':<22}{'steps':>8}{'batch':>7}{'kernels':>9}{'GFLOP':>9}{'GB':>8}"
        f"{'device ms':>11}{'host ms':>9}{'busy':>6}{'hours':>7}{'drawing ms':>12}"
    ]
    lines += [
        f"{row['loop']:<22}{row['steps']:>8}{row['batch']:>7}{row['kernels']:>9.0f}"
        f"{row['flop'] / 1e9:>9.1f}{row['bytes'] / 1e9:>8.2f}"
        f"{row['device_seconds'] * 1e3:>11.2f}{row['host_seconds'] * 1e3:>9.2f}"
        f"{row['busy']:>6.0%}{row['hours']:>7.2f}{row['drawing_seconds'] * 1e3:>12.2f}"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
