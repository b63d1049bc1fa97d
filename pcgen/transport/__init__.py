"""Optimal transport from a source measure onto atoms, and what surrounds it.

What enters: a source (anything with ``dim`` and ``sample``) and atoms with weights, the latents
of shapes say. What leaves: a convex potential h whose cells W_i = {x : ⟨p_i, x⟩ + h_i is largest}
hold the mass of their atoms, with evidence, and maps made of it. One family throughout::

    problem = SemidiscreteProblem(GaussianSource(64), atoms)
    solution = AutoSolver().solve(problem, generator).require_converged()
    points = ExtendedMap(solution).sample(100, generator)

=============  ====================================================================================
semidual       any dimension, any source: stochastic (Genans et al. 2025), annealed and averaged
search         its way past 50,000 atoms: cells searched for in a tree, refined from coarse atoms
line           exact where the atoms are on a line: quantiles
newton         exact in 2D and 3D from uniform and Gaussian sources: power diagrams, damped Newton
               (Kitagawa, Mérigot, Thibert 2019)
gaussian       exact between Gaussians: the Bures map, full and low rank
extended       hard, soft and extended maps; the singular set (Gu, Lei, Yau; An et al. 2020)
modes          the scale of the atoms around each, which tells modes apart
visits         small sets of draws that visit the cells evenly
conjugate      conjugate moment measures (Vesseron, Béthune, Cuturi 2025)
=============  ====================================================================================

All solvers of the semi-discrete problem share one signature, :class:`Solver`, and hand back one
:class:`SemidiscreteSolution`; :class:`AutoSolver` takes the exact one where there is one.
:mod:`pcgen.transport.maps.plots` draws 2D problems. For the cost ½|x - y|² the dual potential
at atom i is h_i + ½|p_i|².
"""

from pcgen import renamed
from pcgen.transport.auto import AutoSolver, Solver
from pcgen.transport.evidence import Evidence, Status
from pcgen.transport.exact.densities import ConvexDomain, GridDensity
from pcgen.transport.exact.newton import NewtonSolver
from pcgen.transport.exact.univariate import UnivariateSolver
from pcgen.transport.gaussian import GaussianMap, GaussianMeasure, bures_squared
from pcgen.transport.maps.extended import ExtendedMap, PushForward
from pcgen.transport.maps.stratified import StratifiedSampler
from pcgen.transport.potential import Potential, UpperEnvelope
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.solution import SemidiscreteSolution
from pcgen.transport.sources import (
    GaussianSource,
    SamplerSource,
    UniformBall,
    UniformCube,
    source_named,
)
from pcgen.transport.stochastic.semidual import SemidualSolver, SemidualState

__all__ = [
    "AutoSolver",
    "ConvexDomain",
    "Evidence",
    "ExtendedMap",
    "GaussianMap",
    "GaussianMeasure",
    "GaussianSource",
    "GridDensity",
    "NewtonSolver",
    "Potential",
    "PushForward",
    "SamplerSource",
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

__getattr__ = renamed.names(__name__)
