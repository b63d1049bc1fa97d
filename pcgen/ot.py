"""Semi-discrete optimal transport from a source to any atoms, for programs and notebooks.

    from pcgen import ot

    solution = ot.solve(ot.Problem(ot.Gaussian(8), atoms), seed=0).require_converged()
    new = ot.ExtendedMap(solution).sample(100, seed=1)

The implementation is in :mod:`pcgen.transport`, whose solvers have all settings.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields
from hashlib import sha256
from math import log10
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Generator

from pcgen import __version__, processes, runtime, transport
from pcgen import progress as showing
from pcgen.config import to_plain
from pcgen.errors import InputError
from pcgen.transport import AutoSolver, SemidualSolver
from pcgen.transport.auto import Method
from pcgen.transport.evidence import REMEDIES
from pcgen.transport.exact.newton import NewtonState
from pcgen.transport.problem import SemidiscreteProblem as Problem
from pcgen.transport.solution import SemidiscreteSolution
from pcgen.transport.sources import GaussianSource as Gaussian
from pcgen.transport.sources import SamplerSource as Sampler
from pcgen.transport.sources import UniformBall as Ball
from pcgen.transport.sources import UniformCube as Cube
from pcgen.transport.stochastic.solve_checkpoint import SolveCheckpoint
from pcgen.transport.stochastic.state import SemidualState

__all__ = [
    "Ball",
    "Cube",
    "ExtendedMap",
    "Gaussian",
    "Problem",
    "Sampler",
    "Solution",
    "plot",
    "solve",
]


@dataclass(frozen=True, eq=False, repr=False)
class Solution(SemidiscreteSolution):
    """A potential with its evidence; the cell of atom i is where ⟨atom_i, x⟩ + h_i is largest.

    Attributes:
        problem: source, atoms, weights. potential: (N,) float64.
        evidence: errors of the cell masses, primal and dual value, why the solver stopped.
    """

    @classmethod
    def of(cls, solution: SemidiscreteSolution) -> Self:
        """The same solution, with a notebook representation."""
        return cls(*(getattr(solution, part.name) for part in fields(SemidiscreteSolution)))

    def require_converged(self) -> Self:
        """Return this solution, or raise an error with cause and remedy.

        Raises:
            TransportError: the solver stopped short of its tolerance.
        """
        super().require_converged()
        return self

    def summary(self) -> dict[str, Any]:
        """The evidence as plain data."""
        problem = self.problem
        return {
            "atoms": problem.count,
            "dim": problem.dim,
            "converged": self.evidence.converged,
            **to_plain(self.evidence),
        }

    def __repr__(self) -> str:
        evidence, problem = self.evidence, self.problem
        return (
            f"Solution({problem.count} atoms in dimension {problem.dim}, {evidence.method}, "
            f"{evidence.status}, chi2 {evidence.chi2:.3g})"
        )

    def _repr_html_(self) -> str:
        from pcgen.gallery.notebook import table

        evidence = self.evidence
        rows = [
            ("method", evidence.method),
            ("stopped", f"{evidence.status} {REMEDIES.get(evidence.status, '')}".strip()),
            ("χ² of the cell masses", f"{evidence.chi2:.3g} (tolerance {evidence.tolerance:.3g})"),
            ("cell errors", f"median {evidence.median:.2g}, largest {evidence.worst:.2g}"),
            ("dead cells", f"{evidence.dead} of {evidence.cells}"),
            ("½|x − y|², dual", f"{evidence.dual:.6g} ± {evidence.dual_error:.2g}"),
            ("½|x − y|², primal", f"{evidence.primal:.6g} ± {evidence.primal_error:.2g}"),
        ]
        return table(rows, repr(self)) + self._picture()

    def _picture(self) -> str:
        """A picture of the cells, for a problem in the plane."""
        if self.problem.dim != 2:
            return ""
        import base64
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            data = plot(self, Path(folder) / "cells.png").read_bytes()
        text = base64.b64encode(data).decode()
        return f'<img style="max-width:480px" src="data:image/png;base64,{text}" alt="the cells">'


class ExtendedMap(transport.SemidiscreteMap):
    """The map of a solution that mixes neighbouring atoms, but not across the singular set.

    Args:
        solution: a result of :func:`solve`.
        mode: ``extended``, ``hard`` (atoms only) or ``soft`` (the entropic map).
        neighbours, largest_jump, band, singular, epsilon, batch: see
            :class:`pcgen.transport.SemidiscreteMap`.
    """

    def sample(  # type: ignore[override]
        self, count: int, generator: Generator | None = None, *, seed: int = 0
    ) -> NDArray[np.floating[Any]]:
        """Sample ``count`` points, (count, dim) in the dtype of the atoms.

        Args:
            generator: source of random numbers; None creates one from ``seed``.
        Raises:
            InputError: ``count`` is negative.
            TransportError: with ``singular="reject"``, nearly every sample is rejected.
        """
        device = self.solution.problem.atoms.device
        generator = generator or Generator(device=device).manual_seed(seed)
        return np.asarray(super().sample(count, generator).cpu().numpy())

    def __repr__(self) -> str:
        return f"ExtendedMap({self.solution!r}, {self.mode!r})"


def solve(
    problem: Problem,
    *,
    method: Method = "auto",
    tolerance: float = 0.02,
    max_samples: int | None = None,
    start: SemidiscreteSolution | Path | str | None = None,
    out: Path | str | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: bool = False,
) -> Solution:
    """Solve a problem: exactly if possible, else stochastically.

    Args:
        problem: source, atoms and weights.
        method: ``univariate``, ``newton``, ``semidual``, or ``auto``, which selects one.
        tolerance: χ² of the cell masses, for the stochastic method.
        max_samples: its budget; None for 40 N / tolerance.
        start: an earlier solution to start from, or its file.
        out: a file (``.npz``) for the solution. The state of the stochastic method is stored next
            to it until the end, and the same call resumes from there, bit for bit.
        seed: of all samples.
        device: ``auto``, ``cpu`` or ``cuda``; None for that of the atoms.
        progress: show progress on stderr.

    Processes started by torchrun share the samples of the stochastic method.

    Returns:
        the solution with its evidence, converged or not; see :meth:`Solution.require_converged`.
    Raises:
        InputError: an argument is wrong. TransportError: the problem is ill-posed.

    Example:
        >>> solution = ot.solve(ot.Problem(ot.Gaussian(8), atoms))  # doctest: +SKIP
    """
    if isinstance(start, str | Path):
        start = SemidiscreteSolution.load(start)
    solver = AutoSolver(
        method=method, semidual=SemidualSolver(tolerance=tolerance, max_samples=max_samples)
    )
    if device is not None:
        here = processes.place()
        there = runtime.pick_device(device, here.local_rank, here.local_size)
        if there != str(problem.atoms.device):
            moved = problem.atoms.to(there), problem.weights.to(there)
            problem = Problem(problem.source, *moved)
    generator = Generator(device=problem.atoms.device).manual_seed(seed)
    with processes.joined() as group, showing.shown(progress), ExitStack() as held:
        resumed = saved = None
        if out is not None:
            held.enter_context(group.lock_file(Path(out)))
            key = _key(problem, start, (method, tolerance, max_samples, seed, __version__))
            group.same(lambda: key[:12], "the problem differs in some process")
            saved = SolveCheckpoint.beside(Path(out), key, problem.distinct.count, group)
            resumed = saved.read()
        if saved is not None and resumed is not None:
            showing.say(f"resuming after {resumed.samples} samples, from {saved.path}")
        report = _progress(held.enter_context(ExitStack()), problem, tolerance, resumed)

        def on_step(state: Any) -> None:
            report(state)
            if saved is not None and isinstance(state, SemidualState):
                saved.save(state)

        solution = solver.solve(
            problem, generator, start=resumed or start, on_step=on_step, group=group
        )
        if out is not None and group.first:
            solution.save(out)
        if saved is not None:
            saved.remove()
    return Solution.of(solution)


def plot(solution: SemidiscreteSolution, path: Path | str, *, seed: int = 0) -> Path:
    """Plot the cells and the map of a problem in the plane as ``.png`` and return its path.

    Raises:
        InputError: the atoms are not in the plane.
    """
    from pcgen.transport.maps.plots import plot_solution

    if solution.problem.dim != 2:
        raise InputError(f"a plot needs atoms in 2D, got dimension {solution.problem.dim}")
    plot_solution(solution, Path(path), seed=seed)
    return Path(path)


def _key(problem: Problem, start: SemidiscreteSolution | None, settings: tuple[object, ...]) -> str:
    """A key that is equal only for the same problem, start and settings."""
    found = sha256(problem.atoms.cpu().contiguous().numpy().tobytes())
    found.update(problem.weights.cpu().contiguous().numpy().tobytes())
    # The samples of a device differ from those of a CPU, and so does a state.
    kind = problem.atoms.device.type
    found.update(repr((getattr(problem.source, "name", ""), kind, *settings)).encode())
    if start is not None:
        found.update(start.potential.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _progress(
    bars: ExitStack, problem: Problem, tolerance: float, resumed: SemidualState | None
) -> Callable[[Any], None]:
    """Show each step of a solver in a bar of samples, or of correct digits for Newton."""
    expected = int(1.3 * problem.count / tolerance)
    digits = 0
    open_bars: dict[str, showing.Bar] = {}

    def bar(name: str, total: int, done: int = 0) -> showing.Bar:
        if name not in open_bars:
            bars.close()
            open_bars[name] = bars.enter_context(showing.bar(name, total, done))
        return open_bars[name]

    def report(state: Any) -> None:
        nonlocal digits
        if isinstance(state, NewtonState):
            weights = problem.distinct.weights.cpu().numpy()
            error = float(abs(state.cells.mass / weights - 1).max())
            gained = max(0, min(8, int(-log10(max(error, 1e-9)))) - digits)
            digits += gained
            bar("digits", 8).advance(gained, f"Newton step {state.step}, error {error:.1g}")
            return
        done = min(resumed.samples, expected) if resumed else 0
        phase = "averaging" if state.averaging else f"level {state.level}"
        more = min(state.batch, max(0, expected - state.samples))
        bar("samples", expected, done).advance(more, phase)

    return report
