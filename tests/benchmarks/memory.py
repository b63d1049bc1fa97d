"""Memory that training takes on the device, by loop, at the sizes and batches of a preset.

One step of each loop is taken on the CPU, on the seats of the starter data, and every tensor that
lives is counted. `state` is what stays between steps: weights, both moments of AdamW and the moving
average, 16 bytes a weight. `step` is the most that a step makes beside it, gradients included, and
`per row` what a row of the batch adds to it, from a second step in twice the parts: --accumulate
cuts a batch into parts, and what its rows add with it. A CUDA device holds the same tensors, and
its context and what its allocator rounds up beside them; that was never measured.

example:
  python -m tests.benchmarks.memory --preset gpu
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from pcgen.cli import run_module
from tests.benchmarks.rehearsal import loop_of, rehearse, shortened

if TYPE_CHECKING:
    from torch import UntypedStorage

    from pcgen.train.loop import Trainer

PRESETS = ("cpu-tiny", "cpu-small", "gpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="gpu", choices=PRESETS)
    parser.add_argument("--accumulate", type=int, default=1, help="as of pcgen train")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")


def run(args: argparse.Namespace) -> dict[str, Any]:
    from pcgen.flow import networks
    from pcgen.kernels import dense
    from pcgen.latent import patches
    from pcgen.train.execution import Execution
    from pcgen.train.presets import preset
    from pcgen.train.training import check_batches

    settings = preset(args.preset)
    check_batches(settings, Execution(accumulate=2 * args.accumulate))
    # A device does not use the layout of oneDNN, whose bytes are unknown. It holds all features of
    # all points.
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(networks, "ONE_DNN", False),
        patch.object(patches, "pooled_features", dense.pooled_features),
    ):
        trainer, rows = _measured(args.accumulate)
        rehearse(shortened(settings, 1), args.preset, Path(folder), trainer, args.seed)
    return {"preset": args.preset, "accumulate": args.accumulate, "loops": rows}


def describe(result: dict[str, Any]) -> str:
    lines = [
        f"{result['preset']}, --accumulate {result['accumulate']}; MiB of live tensors",
        f"{'loop':<22}{'weights':>12}{'batch':>7}{'state':>9}{'step':>9}{'per row':>9}{'all':>9}",
    ]
    for row in result["loops"]:
        figures = [row[k] / 2**20 for k in ("state", "step", "per_row", "all")]
        lines.append(
            f"{row['loop']:<22}{row['weights']:>12,}{row['batch']:>7}"
            + "".join(f"{figure:>9.1f}" for figure in figures)
        )
    return "\n".join(lines)


def _measured(accumulate: int) -> tuple[type[Trainer], list[dict[str, Any]]]:
    """A trainer that counts, and the rows it leaves."""
    from pcgen.train.loop import Trainer

    rows: list[dict[str, Any]] = []

    class Measured(Trainer):
        def step(self) -> float:
            weights = sum(p.numel() for p in self.module.parameters() if p.requires_grad)
            batch, parts = self.settings.batch, self.execution
            peaks = []
            for cut in (accumulate, 2 * accumulate):
                self.execution = dataclasses.replace(parts, accumulate=cut)
                self._threads = 1  # tensors of other processes are not counted
                begun = self.generator.get_state()
                peaks.append(peak_bytes(self._differentiate))
                self.generator.set_state(begun)
                self.optimiser.zero_grad()
            self.execution = parts
            seen = batch / accumulate
            state = 16 * weights
            rows.append(
                {
                    "loop": loop_of(self),
                    "weights": weights,
                    "batch": batch,
                    "state": state,
                    "step": peaks[0],
                    # Where gradients take the most, rows add nothing.
                    "per_row": max(0.0, (peaks[0] - peaks[1]) / (seen / 2)),
                    "all": state + peaks[0],
                }
            )
            return super().step()

    return Measured, rows


def peak_bytes(work: Any) -> int:
    """The peak number of bytes of the tensors that ``work()`` makes."""
    from torch import Tensor
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    alive: dict[int, weakref.ref[UntypedStorage]] = {}
    now = peak = 0

    def storages(tree: Any) -> list[UntypedStorage]:
        return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            made = func(*args, **(kwargs or {}))
            given = {storage._cdata for storage in storages((args, kwargs))}  # views and in place
            for storage in storages(made):
                if storage._cdata not in given:
                    count(storage)
            return made

    def count(storage: UntypedStorage) -> None:
        nonlocal now, peak
        key, size = storage._cdata, storage.nbytes()
        if key in alive:
            return

        def freed(_: object) -> None:
            nonlocal now
            now -= size
            del alive[key]

        alive[key] = weakref.ref(storage, freed)
        now += size
        peak = max(peak, now)

    with Counting():
        work()
    return peak


if __name__ == "__main__":
    raise SystemExit(
        run_module(sys.modules[__name__], "python -m tests.benchmarks.memory", sys.argv[1:])
    )
