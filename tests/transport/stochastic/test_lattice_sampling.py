"""Batches with redrawn leading coordinates: same distribution, less variance, exact resume."""

import dataclasses

import numpy as np
import pytest
import torch

from pcgen.kernels import backends
from pcgen.transport import (
    GaussianSource,
    SamplerSource,
    SemidiscreteProblem,
    SemidualSolver,
    UniformCube,
)
from pcgen.transport.stochastic.cell_masses import SampleBatch, cell_masses
from pcgen.transport.stochastic.mass_estimates import MassEstimate, estimate_masses
from tests.transport.stochastic import manifold
from tests.transport.stochastic.manifold import draw

pytestmark = pytest.mark.skipif(not backends.native_usable(), reason="no C compiler")


def curved(count=400, dim=40):
    return manifold.curved(count, dim, inner=5)


def workspace(source, atoms):
    problem = SemidiscreteProblem(source, atoms)
    return SemidualSolver().prepare(problem, draw(0))


@pytest.mark.parametrize("source", [GaussianSource, UniformCube])
@pytest.mark.parametrize("step", [0, -5])  # of the sequence, and independent
def test_redrawn_rows_have_the_masses_of_plain_ones_and_vary_less(source, step):
    work = workspace(source(40), curved())
    offset = -0.02 * work.atoms.double().square().sum(1)
    leading = work.leading
    plain = SampleBatch(work._project(work.problem.source.sample(20_000, draw(9))))
    found = cell_masses(work.rows(0, 4000, step), work.atoms, leading, offset, work.weights, 0.0)
    other = cell_masses(plain, work.atoms, None, offset, work.weights, 0.0)
    assert found.mass.sum().item() == pytest.approx(4000, rel=1e-4)
    mean = (found.mass + other.mass) / (found.rows + other.rows)
    sigma = (mean * (1 - mean) * (1 / other.rows + 1 / found.rows)).sqrt()
    difference = (found.mass / found.rows - other.mass / other.rows).abs()
    assert (difference <= 5 * sigma + 2 / other.rows).all()
    assert found.variance(work.weights) < 0.6 * other.variance(work.weights)


def test_the_variance_of_plain_samples_is_the_number_of_cells():
    weights = torch.full((50,), 0.02, dtype=torch.float64)
    counts = torch.full((50,), 100.0, dtype=torch.float64)
    plain = MassEstimate(counts=counts, weights=weights, samples=5000)
    same = dataclasses.replace(plain, square=(counts / weights).sum().item())
    assert same.chi2 == pytest.approx(plain.chi2, abs=1e-12)
    assert same.effective == pytest.approx(5000 * 50 / 49)


def test_a_census_of_redrawn_rows_is_unbiased_and_its_error_right():
    work = workspace(GaussianSource(40), curved(100))
    offset = -0.02 * work.atoms.double().square().sum(1)
    found = []
    for number in range(60):
        t = cell_masses(
            work.rows(0, 200, -9 - number), work.atoms, work.leading, offset, work.weights, 0.0
        )
        given = {"counts": t.mass, "weights": work.weights, "samples": 200, "square": t.square}
        found.append(MassEstimate(**given))
    values = np.array([estimate.chi2 for estimate in found])
    total = cell_masses(
        work.rows(0, 40_000, -8), work.atoms, work.leading, offset, work.weights, 0.0
    )
    truth = ((total.mass / 40_000 - work.weights).square() / work.weights).sum().item()
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / 60**0.5)
    assert np.mean([estimate.chi2_error for estimate in found]) == pytest.approx(
        values.std(), rel=0.6
    )


def test_the_solver_gets_below_the_limit_of_plain_samples_and_judges_itself_rightly():
    problem = SemidiscreteProblem(GaussianSource(40), curved(800))
    solution = SemidualSolver(tolerance=0.01).solve(problem, draw(0)).require_converged()
    evidence = solution.evidence
    assert evidence.redraws == 16
    estimate = estimate_masses(problem, solution.envelope, 60_000, draw(99))
    assert estimate.chi2 == pytest.approx(evidence.chi2, abs=4 * estimate.chi2_error + 0.002)
    assert estimate.dead == 0
    assert estimate.chi2 < 0.6 * 800 / evidence.samples


def test_a_run_with_redrawn_rows_goes_on_exactly():
    problem, solver = SemidiscreteProblem(GaussianSource(40), curved(200)), SemidualSolver()
    states = []
    whole = solver.solve(problem, draw(3), on_step=states.append)
    middle = states[-3]
    assert middle.averaging
    assert middle.noise < 200
    again = solver.solve(problem, draw(0), start=type(middle).from_tensors(*middle.to_tensors()))
    assert torch.equal(whole.potential, again.potential)
    assert whole.evidence == again.evidence


def test_rows_are_plain_where_nothing_is_gained_or_nothing_can_be_redrawn(monkeypatch):
    few = torch.randn(50, 3, generator=draw(0))
    assert workspace(GaussianSource(3), few).leading is None
    sampler = SamplerSource(40, lambda n, g: torch.randn(n, 40, generator=g))
    assert workspace(sampler, curved()).leading is None
    assert workspace(GaussianSource(40), curved().double() * 1e-9 + 1).leading is not None
    monkeypatch.setattr("pcgen.transport.stochastic.lattice_sampling.native_usable", lambda: False)
    assert workspace(GaussianSource(40), curved()).leading is None


def test_pot_confirms_the_potential_by_duality():
    ot = pytest.importorskip("ot")
    atoms = curved(60, 20)
    problem = SemidiscreteProblem(GaussianSource(20), atoms)
    solution = SemidualSolver(tolerance=0.02).solve(problem, draw(0)).require_converged()
    x = torch.randn(1000, 20, generator=draw(5)).double()
    cost = 0.5 * torch.cdist(x, atoms.double()).square()
    exact = ot.emd2(np.full(1000, 1 / 1000), problem.weights.numpy(), cost.numpy())
    dual = solution.potential + 0.5 * atoms.double().square().sum(1)
    ours = ((cost - dual).amin(1)).mean() + problem.weights @ dual
    # Any potential is below the exact value of these samples; the optimal one by O(n / samples).
    assert -1e-9 < exact - ours.item() < 0.03 * exact
