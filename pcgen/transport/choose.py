"""One call for any problem: exact where that is possible, stochastic elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Generator

from pcgen.errors import InputError
from pcgen.processes import ALONE, Group
from pcgen.transport.domain import exact_source
from pcgen.transport.line import LineSolver, line_through
from pcgen.transport.newton import NewtonSolver
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.semidual import SemidualSolver, SemidualState
from pcgen.transport.solution import SemidiscreteSolution

Method = Literal["auto", "line", "newton", "semidual"]
METHODS = ("auto", "line", "newton", "semidual")

# Above this Newton's factorisations take minutes; the stochastic solver does not mind.
MOST_NEWTON_ATOMS = {2: 50_000, 3: 5_000}


def choose_method(problem: SemidiscreteProblem) -> Method:
    """``line`` for atoms on a line of a source that knows its shadow there, ``newton`` for uniform
    sources in 2D and 3D and grid densities, else ``semidual``."""
    direction = line_through(problem.atoms[problem.distinct.first].double() - problem.centre)
    shadow = getattr(problem.source, "line_quantile", lambda _: None)
    if direction is not None and shadow(direction) is not None:
        return "line"
    few = problem.distinct.count <= MOST_NEWTON_ATOMS.get(problem.dim, 0)
    return "newton" if few and exact_source(problem.source) is not None else "semidual"


def solve(
    problem: SemidiscreteProblem,
    generator: Generator,
    *,
    method: Method = "auto",
    solver: SemidualSolver | None = None,
    start: SemidiscreteSolution | None = None,
    on_step: Callable[[SemidualState], None] | None = None,
    group: Group = ALONE,
) -> SemidiscreteSolution:
    """Solve by the named or the best method; ``solver``, ``on_step`` and ``group`` are for the
    stochastic one, the exact ones are solved by each process."""
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if method == "auto":
        method = choose_method(problem)
    if method == "line":
        return LineSolver().solve(problem, generator)
    if method == "newton":
        return NewtonSolver().solve(problem, generator, start=start)
    solver = solver or SemidualSolver()
    return solver.solve(problem, generator, start=start, on_step=on_step, group=group)
