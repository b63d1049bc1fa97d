"""Flows from a base to data: paths, couplings, velocities, integrators, one-step students.

Time runs from the base at t = 0 to the data at t = 1. The path is the straight line
x_t = (1 − t) x₀ + t x₁, for which any base works; its velocity is x₁ − x₀. How good a flow can
be at few steps is decided by the coupling of (x₀, x₁), so couplings are optimal transport:
semi-discrete from base to latents (:mod:`coupling`), and a bijection per shape, computed once,
from base points to surface points.

One network serves teacher and student: F(x, t, s, condition) with G(x, t, s) = x + (s − t) F.
The teacher is its diagonal v(x, t) = F(x, t, t), learned by flow matching; the student is the
whole, learned by the semigroup property G(·, t, s) = G(·, u, s) ∘ G(·, t, u) with the teacher's
steps in the first half (Ding et al., "Characteristic Learning for Provable One Step Generation",
arXiv 2405.05512). G(x, t, t) = x holds exactly, whatever the weights.

* :mod:`integrate` - Euler and Heun under one signature; the map of a student in few steps.
* :mod:`characteristic` - flow-matching and semigroup losses.
* :mod:`coupling` - pairs (x₀, x₁) for latents and for points.
* :mod:`networks` - F for latents and F for points of a cloud.
"""
