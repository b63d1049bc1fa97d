"""Optimal transport from a source measure onto atoms, and what surrounds it.

What enters: a source (anything with ``dim`` and ``sample``) and atoms with weights, the latents
of shapes say. What leaves: a convex potential h whose cells W_i = {x : ⟨p_i, x⟩ + h_i is largest}
hold the mass of their atoms, with evidence, and maps made of it. One family throughout::

    problem = SemidiscreteProblem(GaussianSource(64), atoms)
    solution = SemidualSolver(tolerance=0.02).solve(problem, generator).require_converged()
    points = ExtendedMap(solution).sample(100, generator)

=============  ====================================================================================
semidual       any dimension, any source: stochastic (Genans et al. 2025), annealed and averaged
extended       hard, soft and extended maps; the singular set (Gu, Lei, Yau; An et al. 2020)
conjugate      conjugate moment measures (Vesseron, Béthune, Cuturi 2025)
=============  ====================================================================================

For the cost ½|x - y|² the dual potential at atom i is h_i + ½|p_i|².
"""

from pcgen.transport.evidence import Evidence, Status
from pcgen.transport.extended import ExtendedMap, Mapped
from pcgen.transport.potential import Potential, UpperEnvelope
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.semidual import SemidualSolver, SemidualState
from pcgen.transport.solution import SemidiscreteSolution
from pcgen.transport.sources import (
    GaussianSource,
    SamplerSource,
    UniformBall,
    UniformCube,
    source_named,
)

__all__ = [
    "Evidence",
    "ExtendedMap",
    "GaussianSource",
    "Mapped",
    "Potential",
    "SamplerSource",
    "SemidiscreteProblem",
    "SemidiscreteSolution",
    "SemidualSolver",
    "SemidualState",
    "Status",
    "UniformBall",
    "UniformCube",
    "UpperEnvelope",
    "source_named",
]
