"""Optimal transport from a source measure onto atoms, and maps built from it.

A source (anything with ``dim`` and ``sample``) and weighted atoms, such as the latents of shapes,
give a convex potential h. Its cells W_i = {x : ⟨p_i, x⟩ + h_i is largest} have the masses of their
atoms, with evidence of the remaining errors. All solvers are used alike::

    problem = SemidiscreteProblem(GaussianSource(64), atoms)
    solution = AutoSolver().solve(problem, generator).require_converged()
    points = SemidiscreteMap(solution).sample(100, generator)

==========  ======================================================================================
exact       quantiles on a line; power diagrams and damped Newton in 2D and 3D (Kitagawa,
            Mérigot, Thibert 2019)
stochastic  any dimension, any source: annealed and averaged stochastic steps (Genans et al. 2025);
            search among more than 50,000 atoms
maps        hard, soft and extended maps and the singular set (Gu, Lei, Yau; An et al. 2020);
            stratified sampling; plots
conjugate   conjugate moment measures (Vesseron, Béthune, Cuturi 2025)
==========  ======================================================================================

The root modules hold what these share: problem, solution, evidence, sources, potential, Gaussian
(Bures) maps and exact assignment. All semi-discrete solvers implement :class:`Solver` and return a
:class:`SemidiscreteSolution`; :class:`AutoSolver` takes the exact solver if there is one. For the
cost ½|x - y|² the dual potential at atom i is h_i + ½|p_i|².
"""

from pcgen.transport.auto import AutoSolver, Solver
from pcgen.transport.evidence import Evidence, Status
from pcgen.transport.exact.densities import ConvexDomain, GridDensity
from pcgen.transport.exact.newton import NewtonSolver
from pcgen.transport.exact.univariate import UnivariateSolver
from pcgen.transport.gaussian import GaussianMap, GaussianMeasure, bures_squared
from pcgen.transport.maps.extended import PushForward, SemidiscreteMap
from pcgen.transport.maps.stratified import StratifiedSampler
from pcgen.transport.potential import UpperEnvelope
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.solution import SemidiscreteSolution
from pcgen.transport.sources import (
    GaussianSource,
    SamplerSource,
    UniformBall,
    UniformCube,
    source_named,
)
from pcgen.transport.stochastic.semidual import SemidualSolver
from pcgen.transport.stochastic.state import SemidualState

__all__ = [
    "AutoSolver",
    "ConvexDomain",
    "Evidence",
    "GaussianMap",
    "GaussianMeasure",
    "GaussianSource",
    "GridDensity",
    "NewtonSolver",
    "PushForward",
    "SamplerSource",
    "SemidiscreteMap",
    "SemidiscreteProblem",
    "SemidiscreteSolution",
    "SemidualSolver",
    "SemidualState",
    "Solver",
    "Status",
    "StratifiedSampler",
    "UniformBall",
    "UniformCube",
    "UnivariateSolver",
    "UpperEnvelope",
    "bures_squared",
    "source_named",
]
