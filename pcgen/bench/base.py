"""Measure the training steps to a fixed error for each base measure.

For each density (or file of latents) and each base, the same velocity network learns the flow from
the base to the data, with straight-line paths and the same optimiser and batches, for three seeds.
At regular intervals, 1,000 samples of 8 Euler steps are compared with held-out data by the energy
distance. The target is the 95 % quantile between two true samples of that size, so that a test
could not distinguish them. It must be reached at two checks in a row.

The table shows, per base: the energy W2(base, data)^2, the error before training, the median steps
over the seeds, and the ratio to N(0, I): above 1, training is faster. "0" means that the base is
within the error before training; ">2000" that the error was not reached. All data are centred and
scaled to unit variance, so that units do not matter. A separate column has the time to fit a base.

`digits` are latents of 2D shapes: handwritten digits as clouds, encoded by an autoencoder that is
trained first. `--latents RUN` uses the coordinates of the latents of the training shapes of a run,
in which the run fits its base, and compares with those of its test split. `conjugate-moment` is
the base P_w of a conjugate moment measure, `conjugate-pushed` its push-forward by the map, which
approximates the data.

examples:
  pcgen bench base
  pcgen bench base --densities two-moons,digits --bases standard,gmm,ae-ot --seeds 1
  pcgen bench base --latents runs/chairs --steps 5000
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pcgen.bench import problems
from pcgen.errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pcgen.base import BaseMeasure

PUSHED = "conjugate-pushed"
"""The push-forward of a conjugate-moment base by its map, which approximates the data."""
BASES = ("standard", "gaussian", "gmm", "ae-ot", "conjugate-moment", PUSHED, "network")
COUPLINGS = ("semidiscrete", "minibatch", "independent")
BATCH, WIDTH, BLOCKS, RATE = 256, 64, 3, 2e-3
EULER_STEPS = 8
LOOKS = (0, 25, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2000)
POOL = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--densities", default="all", help="names separated by commas, or all")
    parser.add_argument(
        "--latents", type=Path, help="a run, or a .npy of (N, dim), instead of densities"
    )
    parser.add_argument("--bases", default=",".join(BASES), help="names separated by commas")
    parser.add_argument("--coupling", choices=COUPLINGS, default="semidiscrete")
    parser.add_argument("--steps", type=int, default=2000, help="largest number of training steps")
    parser.add_argument("--seeds", type=int, default=3, help="number of runs per row")
    parser.add_argument("--seed", type=int, default=0, help="of the first run")


def run(args: argparse.Namespace) -> dict[str, Any]:
    import torch

    from pcgen import progress
    from pcgen.base import FAMILIES

    bases = [name.strip() for name in args.bases.split(",") if name.strip()]
    names = (*FAMILIES, PUSHED)
    if not bases or set(bases) - set(names):
        raise InputError(f"--bases must be among {', '.join(names)}, got {args.bases!r}")
    if args.steps < 1 or args.seeds < 1:
        raise InputError(f"--steps and --seeds must be at least 1, got {args.steps}, {args.seeds}")
    # The control of every ratio.
    bases = ["standard", *(name for name in bases if name != "standard")]
    torch.set_num_threads(1)
    found = problems.problem_names(args.densities, args.latents)
    rows = []
    with progress.bar("bench base", len(found) * len(bases) * args.seeds) as bar:
        for problem in found:
            target = _target(problem, args.seed)
            own = []
            for name in bases:
                runs = []
                for seed in range(args.seed, args.seed + args.seeds):
                    runs.append(_run(problem, name, seed, args, target))
                    bar.advance(note=f"{problem} {name}")
                own.append(_row(problem, name, runs, args.steps))
            for row in own:
                row["ratio"] = _ratio(own[0], row)
            rows += own
    return {
        "coupling": args.coupling,
        "steps": args.steps,
        "seeds": args.seeds,
        "euler_steps": EULER_STEPS,
        "rows": rows,
    }


def describe(result: dict[str, Any]) -> str:
    lines = [
        f"{result['coupling']} coupling, {result['euler_steps']} Euler steps, median of "
        f"{result['seeds']} seeds, at most {result['steps']} training steps",
        f"{'data':<14}{'base':<18}{'energy W2^2':>18}{'start error':>13}{'target':>9}"
        f"{'best':>9}{'steps':>8}{'ratio':>8}{'fit CPU s':>11}",
    ]
    for row in result["rows"]:
        steps = f">{result['steps']}" if row["steps"] is None else f"{row['steps']:g}"
        energy = f"{row['energy']:.3g} ± {row['energy_error']:.1g}"
        lines.append(
            f"{row['data']:<14}{row['base']:<18}{energy:>18}{row['start_error']:>13.4f}"
            f"{row['target']:>9.4f}{row['best_error']:>9.4f}{steps:>8}{row['ratio']:>8}"
            f"{row['fit_cpu_seconds']:>11.2f}"
        )
    return "\n".join(lines)


def _run(
    problem: str, name: str, seed: int, args: argparse.Namespace, target: float
) -> dict[str, Any]:
    """Fit one base and train one flow from it."""
    import torch

    from pcgen import base
    from pcgen.base.conjugate import ConjugateMomentSettings
    from pcgen.base.energies import transport_term

    generator = torch.Generator().manual_seed(seed)
    train, test = problems.problem_data(problem, generator)
    before = time.process_time()
    if name == PUSHED:
        pushed = ConjugateMomentSettings(pushed=True)
        omega = base.fit("conjugate-moment", train, generator=generator, settings=pushed)
    else:
        omega = base.fit(name, train, generator=generator)
    seconds = time.process_time() - before
    found = transport_term(omega, test, generator=generator)
    errors = list(_training(omega, train, test, args, seed, target))
    return {
        "energy": found.value,
        "energy_error": found.error,
        "target": target,
        "start_error": errors[0][1],
        "best_error": min(error for _, error in errors),
        "steps": _reached(errors, target),
        "fit_cpu_seconds": seconds,
        "notes": list(omega.notes),
    }


def _training(
    omega: BaseMeasure,
    train: Tensor,
    test: Tensor,
    args: argparse.Namespace,
    seed: int,
    target: float,
) -> Any:
    """Yield (step, error) at every look, until the target held twice or the steps are used up."""
    import torch

    from pcgen.flow.characteristic import matching_loss
    from pcgen.flow.integrate import trajectory
    from pcgen.flow.networks import LatentFlowNetwork

    generator = torch.Generator().manual_seed(seed + 1_000_003)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = LatentFlowNetwork(train.shape[1], WIDTH, BLOCKS)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    pairs = _Pairs(omega, train, args.coupling, generator)
    held = test[: problems.TEST]
    looks = sorted({*(look for look in LOOKS if look < args.steps), args.steps})
    reached = 0
    for step in range(args.steps + 1):
        if step in looks:
            with torch.no_grad():
                *_, made = trajectory(
                    lambda x, t: network(x, t, t),
                    omega.sample(len(held), generator),
                    steps=EULER_STEPS,
                )
            error = energy_distance(made, held)
            yield step, error
            reached = reached + 1 if error <= target else 0
            if reached == 2:
                return
        start, end = pairs.draw(generator)
        loss = matching_loss(network, start, end, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


class _Pairs:
    """Coupled batches (x0, x1) of base and data."""

    def __init__(
        self, omega: BaseMeasure, train: Tensor, coupling: str, generator: Generator
    ) -> None:
        import torch

        self.omega, self.train, self.coupling = omega, train, coupling
        if coupling == "semidiscrete":
            from pcgen.transport import SamplerSource, SemidiscreteProblem, SemidualSolver

            # A fixed pool for all bases alike: Langevin draws would cost more than the training.
            pool = self.start = omega.sample(POOL, generator)

            def from_pool(count: int, generator: Generator) -> Tensor:
                return pool[torch.randint(POOL, (count,), generator=generator)]

            problem = SemidiscreteProblem(SamplerSource(omega.dim, from_pool), train)
            budget = 400 * len(train)
            solution = SemidualSolver(tolerance=0.05, max_samples=budget).solve(problem, generator)
            self.end = train[solution.assign(pool)]

    def draw(self, generator: Generator) -> tuple[Tensor, Tensor]:
        import torch

        if self.coupling == "semidiscrete":
            rows = torch.randint(POOL, (BATCH,), generator=generator)
            return self.start[rows], self.end[rows]
        start = self.omega.sample(BATCH, generator)
        end = self.train[torch.randint(len(self.train), (BATCH,), generator=generator)]
        if self.coupling == "minibatch":
            from scipy.optimize import linear_sum_assignment

            end = end[linear_sum_assignment(torch.cdist(start, end).square().numpy())[1]]
        return start, end


def energy_distance(x: Tensor, y: Tensor) -> float:
    """2 E|x − y| − E|x − x'| − E|y − y'| of two samples (n, dim), unbiased: 0 for equal laws."""
    import torch

    n, m = len(x), len(y)
    x, y = x.double(), y.double()
    within = torch.cdist(x, x).sum() / (n * (n - 1)) + torch.cdist(y, y).sum() / (m * (m - 1))
    return float(2 * torch.cdist(x, y).mean() - within)


def _target(problem: str, seed: int) -> float:
    """The 95 % quantile of |energy distance| between two true samples of the size of a look.

    Random halves of the held-out data are such samples; the 1/n law puts their size right.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    _, test = problems.problem_data(problem, generator)
    half, size = min(problems.TEST // 2, len(test) // 2), min(problems.TEST, len(test))
    values = []
    for _ in range(200):
        order = torch.randperm(len(test), generator=generator)
        values.append(abs(energy_distance(test[order[:half]], test[order[half : 2 * half]])))
    return float(torch.tensor(values).quantile(0.95)) * half / size


def _reached(errors: list[tuple[int, float]], target: float) -> int | None:
    """The first step whose error, and the next look's, is within the target."""
    for index, (step, error) in enumerate(errors):
        following = errors[min(index + 1, len(errors) - 1)][1]
        if error <= target and following <= target:
            return step
    return None


def _row(problem: str, name: str, runs: list[dict[str, Any]], most: int) -> dict[str, Any]:
    def middle(key: str) -> float:
        return statistics.median(run[key] for run in runs)

    steps = [run["steps"] for run in runs]
    median = statistics.median(math.inf if value is None else value for value in steps)
    return {
        "data": Path(problem).stem,
        "base": name,
        **{
            key: middle(key)
            for key in (
                "energy",
                "energy_error",
                "target",
                "start_error",
                "best_error",
                "fit_cpu_seconds",
            )
        },
        "steps": None if median > most else median,
        "steps_of_seeds": steps,
        "notes": runs[0]["notes"],
    }


def _ratio(control: dict[str, Any], row: dict[str, Any]) -> str:
    """Steps of N(0, I) over steps of this base, as text: some are only bounds."""
    mine, its = row["steps"], control["steps"]
    if mine is None:
        return "-" if its is None else "<1"
    if mine == 0:
        return "at once"
    return f">{LOOKS[-1] / mine:.1f}" if its is None else f"{its / mine:.2f}"
