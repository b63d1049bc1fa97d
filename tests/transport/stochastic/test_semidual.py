"""The stochastic solver: closed forms, hard inputs, and exact resuming."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pcgen.errors import DataError, InputError, TransportError
from pcgen.transport import (
    GaussianSource,
    SamplerSource,
    SemidiscreteProblem,
    SemidiscreteSolution,
    SemidualSolver,
    Status,
    UniformBall,
    UniformCube,
)
from pcgen.transport.sources import normal_quantile
from pcgen.transport.stochastic import time_limit
from pcgen.transport.stochastic.cell_corrections import revive_dead_cells
from pcgen.transport.stochastic.mass_estimates import MassEstimate, estimate_masses


def normal(count, dim, seed=0):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def solve(atoms, *, source=None, weights=None, seed=0, start=None, **settings):
    source = source or GaussianSource(atoms.shape[1])
    problem = SemidiscreteProblem(source, atoms, weights)
    generator = torch.Generator().manual_seed(seed)
    return SemidualSolver(**settings).solve(problem, generator, start=start)


def fresh(solution, samples, seed=99):
    """An independent estimate: chi2 and dead cells."""
    generator = torch.Generator().manual_seed(seed)
    return estimate_masses(solution.problem, solution.envelope, samples, generator)


@pytest.mark.parametrize(("mass", "u"), [(0.5, 1.0), (0.2, 3.0), (0.9, 0.1)])
def test_two_atoms_meet_the_closed_form(mass, u):
    atoms = torch.zeros(2, 10)
    atoms[:, 0] = torch.tensor([-u, u])
    solution = solve(atoms, weights=[mass, 1 - mass], tolerance=1e-4)
    # Equal norms: the difference of h is that of g, 2u Φ⁻¹(p), and the facet is at x₁ = Φ⁻¹(p).
    facet = (solution.potential[0] - solution.potential[1]).item() / (2 * u)
    assert facet == pytest.approx(normal_quantile(torch.tensor(mass)).item(), abs=0.02)


@pytest.mark.parametrize("dim", [3, 40])
@pytest.mark.parametrize("source", [GaussianSource, UniformCube, UniformBall])
def test_every_atom_receives_its_mass(source, dim):
    solution = solve(normal(300, dim), source=source(dim)).require_converged()
    estimate = fresh(solution, 60000)
    assert estimate.dead == 0
    assert estimate.chi2 < 0.02 + 3 * estimate.chi2_error
    assert solution.evidence.chi2 == pytest.approx(estimate.chi2, abs=0.01)


def test_the_statistical_limit_is_reached_in_high_dimension():
    solution = solve(normal(1000, 48), tolerance=0.01).require_converged()
    assert fresh(solution, 200_000).chi2 <= 1.3 * 1000 / solution.evidence.samples
    assert solution.evidence.dead == 0


@pytest.mark.parametrize(
    "atoms",
    [
        pytest.param(
            normal(10, 16).repeat_interleave(30, 0) * 5 + 0.1 * normal(300, 16), id="tight"
        ),
        pytest.param(100 + 0.01 * normal(300, 4), id="far"),
        pytest.param(normal(300, 1) @ torch.ones(1, 5), id="on-a-line"),
        pytest.param(normal(30, 64), id="fewer-than-dim"),
    ],
)
def test_hard_positions_of_atoms_converge(atoms):
    solution = solve(atoms, tolerance=0.05).require_converged()
    estimate = fresh(solution, 30000)
    assert estimate.chi2 < 0.05 + 3 * estimate.chi2_error


def test_unequal_weights_are_met():
    weights = np.random.default_rng(0).dirichlet(np.full(200, 1.0))
    solution = solve(normal(200, 12), weights=weights, tolerance=0.01)
    estimate = fresh(solution, 200_000)
    assert estimate.chi2 < 0.02
    heavy = weights > 1 / 200
    share = estimate.counts.numpy()[heavy] / estimate.samples / weights[heavy]
    assert np.abs(share - 1).max() < 0.4


@pytest.mark.parametrize("scale", [0.1, 1000.0])
def test_scaling_the_atoms_scales_the_potential_and_nothing_else(scale):
    one, other = solve(normal(300, 8)), solve(scale * normal(300, 8))
    assert one.evidence.samples == other.evidence.samples
    assert torch.allclose(scale * one.potential, other.potential, rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.parametrize("offset", [1.0, 1000.0])
def test_moving_the_source_moves_the_cells_with_it(offset):
    """Equal initial potentials are a poor start for a source that is not centred at the origin."""
    away = SamplerSource(5, lambda n, g: torch.randn(n, 5, generator=g) + offset)
    solution = solve(normal(200, 5), source=away).require_converged()
    estimate = fresh(solution, 30_000)
    assert estimate.dead == 0
    assert estimate.chi2 < 0.02 + 3 * estimate.chi2_error
    here = solve(normal(200, 5)).require_converged()
    assert solution.evidence.samples < 2 * here.evidence.samples
    again = solve(normal(200, 5), source=away, start=solution, tolerance=0.1)
    assert again.evidence.samples == 0


def test_moving_the_atoms_leaves_the_cells():
    x = normal(1000, 8, seed=3)
    here, there = solve(normal(100, 8)), solve(normal(100, 8) + 1000)
    assert (here.assign(x) == there.assign(x)).float().mean() > 0.99


def test_copies_share_a_cell_and_its_mass():
    atoms = torch.cat([normal(40, 6), normal(40, 6)[:10]])
    solution = solve(atoms).require_converged()
    assert torch.equal(solution.potential[:10], solution.potential[40:])
    cells = solution.assign(normal(40000, 6, seed=5))
    assert cells.max() < 40
    assert (cells < 10).float().mean().item() == pytest.approx(0.4, abs=0.03)


def test_atoms_without_weight_get_nothing():
    weights = np.full(50, 1 / 40)
    weights[:10] = 0
    solution = solve(normal(50, 6), weights=weights).require_converged()
    assert (solution.potential[:10] == -torch.inf).all()
    assert solution.assign(normal(20000, 6, seed=5)).min() >= 10


def test_one_atom_takes_all():
    solution = solve(normal(1, 5))
    assert solution.evidence.status == Status.EXACT
    assert solution.potential.tolist() == [0.0]
    assert torch.equal(solution.map(normal(3, 5)), normal(1, 5).expand(3, 5))


def test_a_source_without_extent_between_two_atoms_is_refused():
    flat = SamplerSource(2, lambda n, g: torch.randn(n, 2, generator=g) * torch.tensor([1.0, 0]))
    with pytest.raises(TransportError, match="no extent along the difference of atoms 0 and 1"):
        solve(torch.tensor([[0.0, 0], [0, 1], [1, 0]]), source=flat)


def test_a_flat_source_is_fine_where_it_tells_the_atoms_apart():
    flat = SamplerSource(3, lambda n, g: torch.randn(n, 3, generator=g) * torch.tensor([1.0, 1, 0]))
    assert solve(normal(50, 3), source=flat).evidence.converged


def test_a_spent_budget_is_said_with_its_remedy():
    solution = solve(normal(200, 8), tolerance=1e-3, max_samples=5000)
    assert solution.evidence.status == Status.BUDGET
    assert solution.evidence.samples <= 5000 + 256
    with pytest.raises(TransportError, match="raise max_samples"):
        solution.require_converged()


@pytest.fixture
def clock(monkeypatch):
    """A clock that advances by a second whenever a solver reads it, after steps and tests."""
    now = SimpleNamespace(seconds=0.0)

    def monotonic():
        now.seconds += 1
        return now.seconds

    monkeypatch.setattr(time_limit, "monotonic", monotonic)
    return now


@pytest.mark.parametrize(
    "source", [GaussianSource(8), SamplerSource(8, lambda n, g: torch.randn(n, 8, generator=g))]
)
def test_a_solve_ends_by_the_clock_whatever_its_tests_take(clock, source):
    """Tests at a tolerance of 1e-4 would take two million samples, a second per batch."""
    solution = solve(normal(200, 8), source=source, tolerance=1e-4, max_seconds=300.0)
    assert 300 <= clock.seconds <= 1.1 * 300 + 5
    assert solution.evidence.status == Status.BUDGET
    assert solution.evidence.dead == 0
    assert solution.evidence.chi2 < 0.02
    assert fresh(solution, 100_000).chi2 < 0.02
    with pytest.raises(TransportError, match="max_seconds"):
        solution.require_converged()


def test_time_that_is_not_used_up_changes_nothing(clock):
    free, limited = solve(normal(200, 8)), solve(normal(200, 8), max_seconds=1e6)
    assert clock.seconds > 0
    assert torch.equal(free.potential, limited.potential)
    assert free.evidence == limited.evidence


def test_a_resumed_solve_has_the_time_that_was_left(clock):
    problem, states = SemidiscreteProblem(GaussianSource(8), normal(200, 8)), []
    solver = SemidualSolver(tolerance=1e-4, max_seconds=300.0)
    draw = torch.Generator().manual_seed(0)
    solver.solve(problem, draw, on_step=states.append)
    late = next(state for state in states if state.seconds >= 250)
    clock.seconds = 0.0
    again = solver.solve(problem, draw, start=type(late).from_tensors(*late.to_tensors()))
    assert 50 <= clock.seconds <= 50 + 30 + 5
    assert again.evidence.samples > late.samples


@pytest.mark.parametrize("seconds", [0, -1.0, math.inf, math.nan])
def test_a_time_that_is_not_positive_is_refused(seconds):
    with pytest.raises(InputError, match="max_seconds"):
        SemidualSolver(max_seconds=seconds)


def test_equal_seeds_give_equal_solutions_and_others_differ():
    one, same, other = (solve(normal(60, 6), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.potential, same.potential)
    assert one.evidence == same.evidence
    assert not torch.equal(one.potential, other.potential)


@pytest.mark.parametrize(
    "source", [GaussianSource(6), SamplerSource(6, lambda n, g: torch.rand(n, 6, generator=g))]
)
def test_a_stopped_run_goes_on_exactly(source):
    problem = SemidiscreteProblem(source, normal(120, 6))
    solver, states = SemidualSolver(), []
    whole = solver.solve(problem, torch.Generator().manual_seed(3), on_step=states.append)
    middle = states[len(states) // 2]
    tensors, rest = middle.to_tensors()
    resumed = solver.solve(
        problem, torch.Generator(), start=type(middle).from_tensors(tensors, rest)
    )
    assert torch.equal(whole.potential, resumed.potential)
    assert whole.evidence == resumed.evidence


def test_a_warm_start_takes_fewer_samples():
    atoms = normal(400, 16)
    cold = solve(atoms)
    moved = SemidiscreteProblem(GaussianSource(16), atoms + 0.01 * normal(400, 16, seed=7))
    warm = SemidualSolver().solve(moved, torch.Generator().manual_seed(1), start=cold)
    again = SemidualSolver().solve(moved, torch.Generator().manual_seed(1))
    assert warm.evidence.converged
    assert warm.evidence.samples < again.evidence.samples
    same = SemidualSolver(tolerance=0.1).solve(cold.problem, torch.Generator(), start=cold)
    assert same.evidence.samples == 0


def test_primal_and_dual_agree_and_are_a_transport_cost():
    # N(0, I) onto itself, sampled: half the squared distance is small; onto a shifted copy it is
    # half the squared shift and more.
    shift = torch.full((4,), 10.0)
    solution = solve(normal(500, 4) + shift, tolerance=0.005)
    evidence = solution.evidence
    gap = abs(evidence.dual - evidence.primal)
    assert gap < 4 * math.hypot(evidence.dual_error, evidence.primal_error)
    mean = (normal(500, 4) + shift).mean(0).square().sum().item() / 2
    assert mean < evidence.primal + 4 * evidence.primal_error < mean + 4


def test_a_solution_survives_its_file(tmp_path):
    solution = solve(normal(30, 4))
    solution.save(tmp_path / "map.npz")
    loaded = SemidiscreteSolution.load(tmp_path / "map.npz")
    assert loaded.evidence == solution.evidence
    assert torch.equal(loaded.potential, solution.potential)
    x = normal(200, 4, seed=9)
    assert torch.equal(loaded.assign(x), solution.assign(x))
    with np.load(tmp_path / "map.npz") as file:
        scores = x.numpy() @ file["atoms"].T + file["potential"]
    assert (scores.argmax(1) == solution.assign(x).numpy()).mean() > 0.99


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK not a zip")
    with pytest.raises(DataError, match=r"bad\.npz is not a transport file"):
        SemidiscreteSolution.load(tmp_path / "bad.npz")


def test_the_census_is_unbiased_and_its_error_right():
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    actual = np.array([0.15, 0.2, 0.25, 0.4])
    truth = float(((actual - weights.numpy()) ** 2 / weights.numpy()).sum())
    draws = np.random.default_rng(0).multinomial(100, actual, size=4000)
    found = [
        MassEstimate(counts=torch.tensor(c).double(), weights=weights, samples=100) for c in draws
    ]
    values = np.array([estimate.chi2 for estimate in found])
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / 4000**0.5)
    assert np.mean([estimate.chi2_error for estimate in found]) == pytest.approx(
        values.std(), rel=0.3
    )


def test_a_source_that_is_one_point_is_refused():
    for place in (0.0, 5.0):
        point = SamplerSource(2, lambda n, g, place=place: torch.full((n, 2), place))
        with pytest.raises(TransportError, match="samples of the source are the same point"):
            solve(normal(5, 2), source=point)


def test_the_state_of_another_problem_is_refused():
    states = []
    problem = SemidiscreteProblem(GaussianSource(3), normal(40, 3))
    generator = torch.Generator().manual_seed(0)
    SemidualSolver(max_samples=2000).solve(problem, generator, on_step=states.append)
    with pytest.raises(InputError, match="got 40 potentials for 50 distinct atoms"):
        solve(normal(50, 3), start=states[-1])


@pytest.mark.parametrize("scale", [1e-60, 1e37, 1e60])
def test_scores_out_of_the_range_of_float32_are_right(scale):
    """Values of these sizes are 0 or infinite there."""
    one, other = solve(normal(50, 4).double()), solve(scale * normal(50, 4).double())
    assert other.evidence.converged
    assert torch.allclose(one.potential, other.potential / scale, atol=0.2)
    assert fresh(other, 20_000).chi2 < 0.02 + 3 * fresh(other, 20_000).chi2_error


@pytest.mark.parametrize(
    "settings", [{"tolerance": 0}, {"batch": 0}, {"batch": 2.5}, {"step_size": -1}]
)
def test_settings_are_checked(settings):
    with pytest.raises(InputError, match="must be"):
        SemidualSolver(**settings)


def test_dead_cells_are_raised_to_their_mass():
    """One correction: a cell with a far too low potential gets about its share."""
    problem = SemidiscreteProblem(GaussianSource(5), normal(50, 5))
    solver, states = SemidualSolver(), []
    solver.solve(problem, torch.Generator().manual_seed(0), on_step=states.append)
    work = solver.prepare(problem, torch.Generator(), states[-1])
    sunk = states[-1].average.clone()
    sunk[[3, 30]] -= 50
    state = dataclasses.replace(states[-1], average=sunk, potential=sunk)
    estimate = solver.schedule(work).estimate(state, 10_000)
    assert estimate.dead_cells.nonzero()[:, 0].tolist() == [3, 30]
    repaired = revive_dead_cells(work, state, estimate)
    again = solver.schedule(work).estimate(repaired, 20_000)
    share = again.counts[[3, 30]] / again.samples * 50
    assert ((share > 0.7) & (share < 1.4)).all()


def test_rare_atoms_are_alive_or_said_to_be_untested():
    weights = np.random.default_rng(0).random(200) ** 4 + 1e-3
    solution = solve(normal(200, 8), weights=weights / weights.sum())
    evidence = solution.evidence
    assert evidence.dead == 0
    counts = fresh(solution, 400_000).counts.numpy()
    due = 400_000 * solution.problem.weights.numpy()
    # Ten or more were due in the solver's own tests, 256 to a cell.
    assert (counts[due > 400_000 * 10 / (256 * 200)] > 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_rare_atom_among_few_is_tested(seed):
    """Its mass is 10⁻⁴: 256 tests for each of 30 cells would not have found it."""
    weights = np.full(30, 1.0)
    weights[0] = 30e-4
    solution = solve(normal(30, 3, seed), weights=weights / weights.sum(), seed=seed)
    assert solution.evidence.untested == 0
    counts = fresh(solution, 1_000_000).counts
    assert counts[0] > 0


def test_an_atom_that_is_hardly_due_does_not_sink_out_of_sight():
    weights = torch.full((100,), 1.0, dtype=torch.float64)
    weights[:5] = 1e-7
    solution = solve(normal(100, 2), weights=weights / weights.sum()).require_converged()
    assert solution.potential.max() - solution.potential.min() < 100
    evidence = solution.evidence
    assert evidence.primal == pytest.approx(evidence.dual, rel=0.05)


def test_the_smoothing_never_underflows():
    """An unreachable tolerance causes repeated annealing; the scores stay finite."""
    atoms = normal(5, 1).repeat_interleave(80, 0) + 1e-3 * normal(400, 1)
    solution = solve(atoms, tolerance=1e-3, max_samples=50_000, low_discrepancy=False)
    assert torch.isfinite(solution.potential).all()
    assert solution.evidence.status == Status.BUDGET


def test_the_evidence_tells_what_rare_atoms_miss():
    """A thousand rare atoms with a tenth or 1.9 times their mass hardly show in χ²."""
    weights = torch.cat([torch.full((1000,), 1e-4), torch.ones(9000)]).double()
    mass = weights.clone()
    mass[:500] *= 0.1
    mass[500:1000] *= 1.9
    weights, mass, samples = weights / weights.sum(), mass / mass.sum(), 10**10
    draw = torch.Generator().manual_seed(0)
    for true, expected in ((mass, 0.9), (weights, 0.0)):
        counts = torch.poisson(true * samples, generator=draw)
        estimate = MassEstimate(counts=counts, weights=weights, samples=samples)
        assert estimate.chi2 < 1e-3
        assert estimate.errors()["rare"] == pytest.approx(expected, abs=0.05)
