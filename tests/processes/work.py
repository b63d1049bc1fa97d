"""The work of the tests' processes: ``torchrun ... tests/processes/work.py ACTION FOLDER``."""

import contextlib
import dataclasses
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pcgen import base, pipeline, processes, runtime
from pcgen.base import fitting
from pcgen.batch_random import mine, whole
from pcgen.errors import DataError, ToldElsewhere
from pcgen.processes import Group, joined
from pcgen.train import loop
from pcgen.train.execution import Execution
from pcgen.train.loop import LoopSettings, Trainer
from pcgen.transport import (
    GaussianSource,
    SemidiscreteProblem,
    SemidualSolver,
    SemidualState,
)
from pcgen.transport.stochastic import solve_checkpoint

KINDS = ("plain", "redrawn")  # rows of samples
BASES = ("ae-ot", "gmm")
SETTINGS = LoopSettings(steps=40, batch=8, rate=1e-2, log_every=5)


def trainer(folder: Path, group: Group) -> Trainer:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(2, 16), nn.SiLU(), nn.Linear(16, 1))

    def loss(module, generator):
        rows = whole(SETTINGS.batch, generator)
        x = mine(torch.randn(rows, 2, generator=generator), generator)
        return (module(x) - x.prod(1, keepdim=True)).square().mean()

    loop.SAVE_EVERY_S = 0.0
    return Trainer(folder, module, loss, SETTINGS, seed=3, execution=Execution(group))


def train(folder: Path, group: Group, stop_after: int = 0) -> None:
    for step in trainer(folder / "loop", group).steps():
        if step.number == stop_after:
            return


def problem() -> SemidiscreteProblem:
    """Tight clusters and rare atoms, so that both repairs have work."""
    draw = torch.Generator().manual_seed(1)
    centres = 4 * torch.randn(6, 5, generator=draw)
    atoms = centres.repeat(40, 1) + 0.02 * torch.randn(240, 5, generator=draw)
    weights = torch.rand(240, generator=draw, dtype=torch.float64).pow(3) + 1e-4
    return SemidiscreteProblem(GaussianSource(5), atoms, weights / weights.sum())


def solve(folder: Path, group: Group) -> None:
    for kind in KINDS:
        solver = SemidualSolver(tolerance=0.02, batch=256, low_discrepancy=kind == "redrawn")
        solution = solver.solve(problem(), torch.Generator().manual_seed(2), group=group)
        if group.first:
            solution.save(folder / f"{kind}{group.size}.npz")


def fit(folder: Path, group: Group) -> None:
    """A base whose samples are shared, and one that the first process fits for all."""
    latents = problem().atoms
    if not group.first:
        fitting.FAMILIES["gmm"] = dataclasses.replace(fitting.FAMILIES["gmm"], fit=None)
    for family in BASES:
        draw = torch.Generator().manual_seed(4)
        omega = base.fit(family, latents, generator=draw, guard="off", group=group)
        drawn = omega.sample(5, torch.Generator().manual_seed(5))
        np.save(folder / f"{family}-{group.rank}-{group.size}.npy", drawn.numpy())


def keep(folder: Path, group: Group, stop_after: int = 0) -> None:
    """Solve with a checkpoint, and resume from that of another job."""
    solve_checkpoint.SAVE_EVERY_S = 0.0
    state = solve_checkpoint.SolveCheckpoint.beside(folder / "kept.npz", "key", 240, group)
    solver, begun = SemidualSolver(batch=256), state.read()

    def on_step(now: SemidualState) -> None:
        state.save(now)
        if now.step == stop_after:
            raise KeyboardInterrupt

    draw = torch.Generator().manual_seed(3)
    with contextlib.suppress(KeyboardInterrupt):
        solution = solver.solve(problem(), draw, start=begun, on_step=on_step, group=group)
        if group.first:
            solution.save(folder / "kept.npz")
        state.remove()


def talk(folder: Path, group: Group) -> None:
    """Every result of a group, compared with that of one process."""
    waits = processes._patient()._get_backend(torch.device("cpu")).options._timeout
    assert waits == processes.LONGEST_TURN  # for what one makes, not for sums
    assert group.value(lambda: {"rank": group.rank}) == {"rank": 0}
    here = {"x": torch.arange(6.0).view(2, 3).T + group.rank}
    tensors, rest = group.tensors(lambda: (here, {"of": group.rank}))
    assert torch.equal(tensors["x"], torch.arange(6.0).view(2, 3).T)
    assert rest == {"of": 0}
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    for rows in (5, 1):
        assert torch.equal(group.by_rows(lambda part: part.sin(), x[:rows]), x[:rows].sin())
    ones = [torch.ones(2, 2), torch.full((3,), float(group.rank))]
    group.sum_(ones)
    assert ones[0].eq(group.size).all()
    assert ones[1].eq(sum(range(group.size))).all()
    with group.lock(folder):
        group.same(lambda: "text", "no")


def fail(folder: Path, group: Group) -> None:
    """A single process fails in the middle of a stage."""
    mean = trainer(folder / "failed", group)
    for step in mean.steps():
        if step.number == 12 and group.rank == 1:
            raise DataError("a file is damaged")


def die(folder: Path, group: Group) -> None:
    for step in trainer(folder / "dead", group).steps():
        if step.number == 12 and group.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def hang(folder: Path, group: Group) -> None:
    """A process that neither dies nor answers, like a dead one under NCCL."""
    for step in trainer(folder / "hung", group).steps():
        if step.number == 12 and group.rank == 1:
            os.kill(os.getpid(), signal.SIGSTOP)


def differ(folder: Path, group: Group) -> None:
    """Random numbers that depend on the process, as a careless loss would draw them."""
    one = trainer(folder / "differing", group)
    plain = one.loss

    def careless(module, generator):
        torch.rand(1 + group.rank, generator=generator)
        return plain(module, generator)

    one.loss = careless
    list(one.steps())


def main() -> int:
    action, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    processes.BEAT_S, processes.SILENT_BEATS = 1.0, 5
    if action == "mixed":  # one process sees a device, the other none
        on = "cuda:0" if os.environ["RANK"] == "0" else "cpu"
        runtime.pick_device = lambda *_: on
        action = "data"
    if action == "data":  # each process has a data set of its own
        rank = os.environ["RANK"]
        try:
            pipeline.train(folder / f"data{rank}", folder / "run", preset="cpu-tiny", threads=1)
        except ToldElsewhere:
            return 2
        except Exception as error:
            print(f"pcgen: {error}", file=sys.stderr)
            return 2
    try:
        with joined() as group:
            if action == "half":
                talk(folder, group)
                train(folder, group, stop_after=17)
                solve(folder, group)
                fit(folder, group)
                keep(folder, group, stop_after=100)
            elif action == "train":
                train(folder, group)
                keep(folder, group)
            else:
                {"fail": fail, "die": die, "hang": hang, "differ": differ}[action](folder, group)
        # Threads that outlive the group abort the interpreter when it ends, now and then.
        names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
        assert not any("gloo" in name for name in names), names
    except ToldElsewhere:
        return 2
    except Exception as error:
        print(f"pcgen: {type(error).__name__} {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
