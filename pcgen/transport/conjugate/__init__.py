"""Conjugate moment measures: one convex w that defines a base and the map to the data.

For data ρ, find w with ρ = (∇w*)♯ P_w, P_w ∝ e^{−w} (Vesseron, Béthune and Cuturi, 2025, arXiv
2503.10576). The base is log-concave, so near-jumps of ∇w* carry all the multimodality of ρ. The
fixed-point iteration: G(w) is the Brenier potential with ∇G♯ρ = P_w; step to (1 − η) w + η G(w).

* :mod:`gaussian` - the closed form, any dimension.
* :mod:`univariate` - one dimension, by quantiles: exact up to the grid.
* :mod:`network` - samples in any dimension, w an input-convex network (:mod:`convex`), sampled by
  Langevin steps with a Metropolis test (:mod:`mala`), conjugates by :mod:`legendre`.
* :mod:`iteration` - damping rule, tests for convergence and divergence.
"""

from pcgen.transport.conjugate.gaussian import GaussianConjugate, conjugate_gaussian
from pcgen.transport.conjugate.iteration import IterationStatus, damping_rule
from pcgen.transport.conjugate.measure import ConjugateNetwork
from pcgen.transport.conjugate.network import ConjugateSettings, conjugate_network
from pcgen.transport.conjugate.univariate import UnivariateConjugate, conjugate_univariate

__all__ = [
    "ConjugateNetwork",
    "ConjugateSettings",
    "GaussianConjugate",
    "IterationStatus",
    "UnivariateConjugate",
    "conjugate_gaussian",
    "conjugate_network",
    "conjugate_univariate",
    "damping_rule",
]
