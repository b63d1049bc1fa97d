"""The solver for any problem: exact if possible, otherwise stochastic.

======================================  ==========  ==========================================
atoms                                   method      source
======================================  ==========  ==========================================
on a line in any dimension, or one      univariate  Gaussian; uniform along an axis
in 2D up to 50,000, in 3D up to 5,000   newton      Gaussian; uniform on a convex body or ball
in 2D up to 50,000                      newton      a density on a grid
all others                              semidual    any that can be sampled
======================================  ==========  ==========================================
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Generator

from pcgen.errors import InputError, TransportError
from pcgen.processes import ALONE, Group
from pcgen.transport.exact.measures import exact_measure
from pcgen.transport.exact.newton import NewtonSolver
from pcgen.transport.exact.univariate import UnivariateSolver, line_through
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.solution import SemidiscreteSolution
from pcgen.transport.stochastic.semidual import SemidualSolver
from pcgen.transport.stochastic.state import SemidualState

Method = Literal["auto", "univariate", "newton", "semidual"]
METHODS = ("auto", "univariate", "newton", "semidual")

# Above this Newton's factorisations take minutes, and the stochastic solver is faster.
MOST_NEWTON_ATOMS = {2: 50_000, 3: 5_000}

# The number of atoms that suffices to show that not all lie on a line.
MOST_LOOKED_AT = 4096


class Solver(Protocol):
    """The interface of every solver: frozen settings, and ``solve``."""

    def solve(
        self,
        problem: SemidiscreteProblem,
        generator: Generator,
        *,
        start: SemidiscreteSolution | None = None,
        on_step: Callable[[Any], None] | None = None,
    ) -> SemidiscreteSolution:
        """Solve, starting from the solution of a similar problem if given; see AutoSolver."""


def choose_method(problem: SemidiscreteProblem) -> Method:
    """The exact method if there is one, else ``semidual``.

    ``univariate`` for one atom, and for atoms on a line along which the source's quantiles are
    known; ``newton`` for uniform and Gaussian sources in 2D and 3D and for grid densities, if
    there are not too many atoms.
    """
    if problem.distinct.count == 1:
        return "univariate"
    places = problem.distinct.of(problem.atoms)
    some = places[:MOST_LOOKED_AT].double()
    direction = line_through(some - some.mean(0))
    if direction is not None and len(places) > len(some):
        direction = line_through(places.double() - problem.centre)
    shadow = getattr(problem.source, "line_quantile", lambda _: None)
    if direction is not None and shadow(direction) is not None:
        return "univariate"
    few = problem.distinct.count <= MOST_NEWTON_ATOMS.get(problem.dim, 0)
    return "newton" if few and exact_measure(problem.source) is not None else "semidual"


@dataclass(frozen=True, kw_only=True)
class AutoSolver:
    """The named solver, or the best one for the problem.

    Attributes:
        method: ``univariate``, ``newton``, ``semidual``, or ``auto``: see :func:`choose_method`.
        univariate, newton, semidual: the settings of each method.
    """

    method: Method = "auto"
    univariate: UnivariateSolver = field(default_factory=UnivariateSolver)
    newton: NewtonSolver = field(default_factory=NewtonSolver)
    semidual: SemidualSolver = field(default_factory=SemidualSolver)

    def __post_init__(self) -> None:
        if self.method == "line":  # type: ignore[comparison-overlap]
            warnings.warn("method 'line' is now 'univariate'", DeprecationWarning, stacklevel=3)
            object.__setattr__(self, "method", "univariate")
        if self.method not in METHODS:
            raise InputError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")

    def chosen(self, problem: SemidiscreteProblem) -> Solver:
        """The solver for this problem."""
        method = choose_method(problem) if self.method == "auto" else self.method
        solvers: dict[str, Solver] = {
            "univariate": self.univariate,
            "newton": self.newton,
            "semidual": self.semidual,
        }
        return solvers[method]

    def solve(
        self,
        problem: SemidiscreteProblem,
        generator: Generator,
        *,
        start: SemidiscreteSolution | SemidualState | None = None,
        on_step: Callable[[Any], None] | None = None,
        group: Group = ALONE,
    ) -> SemidiscreteSolution:
        """Solve by the chosen method; the evidence names it.

        If ``auto`` chose Newton's method and that stops short of its tolerance, as with atoms that
        nearly coincide, the stochastic solver continues from there, with its own criterion.

        Args:
            start: a solution of a similar problem, or a state of the stochastic method.
            group: processes that share the samples of the stochastic method; all solve an exact
                method separately.
        """
        solver = self.chosen(problem)
        if isinstance(start, SemidualState):
            if solver is self.univariate or self.method == "newton":
                raise InputError("only the stochastic method resumes from a state")
        elif solver is self.newton:
            try:
                exact = self.newton.solve(problem, generator, start=start, on_step=on_step)
            except TransportError:
                if self.method == "newton":
                    raise
            else:
                if self.method == "newton" or exact.evidence.converged:
                    return exact
                start = exact
        elif solver is self.univariate:
            return self.univariate.solve(problem, generator, start=start, on_step=on_step)
        return self.semidual.solve(problem, generator, start=start, on_step=on_step, group=group)
