"""Flows from a base to data: paths, couplings, velocities, integrators, one-step students.

Time runs from the base at t = 0 to the data at t = 1. The path is the straight line
x_t = (1 − t) x₀ + t x₁, which works for any base; its velocity is x₁ − x₀. The coupling of
(x₀, x₁) decides how good a flow can be with few steps, so couplings are optimal transport:
semi-discrete from base to latents (:mod:`coupling`), and a matching per shape, computed once,
from base points to surface points.

One network is both teacher and student: F(x, t, s, condition) with G(x, t, s) = x + (s − t) F.
The teacher is its diagonal v(x, t) = F(x, t, t), trained by flow matching. The student is all of F,
trained with the semigroup property G(·, t, s) = G(·, u, s) ∘ G(·, t, u), where the teacher takes
the first half (Ding et al., "Characteristic Learning for Provable One Step Generation",
arXiv 2405.05512). G(x, t, t) = x holds exactly for any weights.

* :mod:`integrate` - Euler and Heun with one signature; a student's map in a few steps.
* :mod:`characteristic` - flow-matching and semigroup losses.
* :mod:`coupling` - pairs (x₀, x₁) for latents and for points.
* :mod:`networks` - F for latents and F for points of a cloud.
"""
