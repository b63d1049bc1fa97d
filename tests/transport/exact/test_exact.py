"""The exact solvers: closed forms, finite differences, Monte Carlo, and each other."""

import contextlib
import math

import numpy as np
import pytest
import torch

from pcgen.errors import InputError, TransportError
from pcgen.transport import (
    ConvexDomain,
    GaussianSource,
    GridDensity,
    NewtonSolver,
    SemidiscreteProblem,
    SemidualSolver,
    Status,
    UniformBall,
    UniformCube,
    UnivariateSolver,
)
from pcgen.transport.exact.newton import hessian, recover_cells
from pcgen.transport.exact.power_diagram import power_diagram
from pcgen.transport.sources import normal_quantile


def rng(seed=0):
    return np.random.default_rng(seed)


def random_grid(seed=0):
    return GridDensity(rng(seed).uniform(0.1, 1, size=(5, 7)), (-1, -2), (2, 1))


def domains():
    polygon, polyhedron = rng(3).normal(size=(12, 2)), rng(4).normal(size=(14, 3))
    return [
        pytest.param(ConvexDomain.box([-0.5, -0.5], [0.5, 0.5]), None, id="square"),
        pytest.param(ConvexDomain(polygon), None, id="polygon"),
        pytest.param(random_grid().domain, random_grid(), id="grid"),
        pytest.param(ConvexDomain.box([0, 0, 0], [1, 2, 3]), None, id="box"),
        pytest.param(ConvexDomain(polyhedron), None, id="polyhedron"),
    ]


def test_unit_interval_meets_the_closed_form():
    y = np.sort(rng().normal(size=20))
    weights = rng(1).dirichlet(np.ones(20))
    unit = UnivariateSolver(quantile=lambda p: p)
    solution = unit.solve(SemidiscreteProblem(UniformCube(1), y[:, None], weights))
    g = solution.potential.numpy() + y**2 / 2
    bounds = weights.cumsum()[:-1]
    expected = 0.5 * (bounds - y[1:]) ** 2 - 0.5 * (bounds - y[:-1]) ** 2
    assert np.allclose(np.diff(g), expected, atol=1e-12)


def test_two_atoms_in_a_gaussian_meet_the_closed_form():
    u, p = 1.7, 0.3
    atoms = np.zeros((2, 5))
    atoms[:, 0] = -u, u
    solution = UnivariateSolver().solve(SemidiscreteProblem(GaussianSource(5), atoms, [p, 1 - p]))
    g = solution.potential + 0.5 * torch.from_numpy(atoms).square().sum(1)
    expected = 2 * u * normal_quantile(torch.tensor(p, dtype=torch.float64)).item()
    assert (g[0] - g[1]).item() == pytest.approx(expected, abs=1e-12)


def test_atoms_on_a_line_in_space_are_solved_exactly():
    weights = rng(1).dirichlet(np.ones(12))
    atoms = rng().normal(size=(12, 1)) * np.array([[1.0, 2, 3, 4]]) + 7
    solution = UnivariateSolver().solve(SemidiscreteProblem(GaussianSource(4), atoms, weights))
    x = torch.randn(200_000, 4, generator=torch.Generator().manual_seed(0))
    counts = np.bincount(solution.assign(x), minlength=12)
    sigma = np.sqrt(200_000 * weights * (1 - weights))
    assert np.abs((counts - 200_000 * weights) / sigma).max() < 5


def test_atoms_off_the_line_are_sent_to_the_other_solvers():
    with pytest.raises(InputError, match="NewtonSolver"):
        UnivariateSolver().solve(SemidiscreteProblem(GaussianSource(2), rng().normal(size=(5, 2))))


@pytest.mark.parametrize(("domain", "density"), domains())
def test_masses_of_cells_agree_with_sampling_and_sum_to_one(domain, density):
    atoms = rng(5).normal(size=(40, domain.dim)) * 2 + 1
    offset = -0.15 * (atoms**2).sum(1)
    cells = power_diagram(atoms, offset, domain, density)
    assert cells.mass.sum() == pytest.approx(1, abs=2e-14)
    x = (density or domain).sample(200_000, torch.Generator().manual_seed(0)).double().numpy()
    counts = np.bincount((x @ atoms.T + offset).argmax(1), minlength=40)
    sigma = np.sqrt(200_000 * cells.mass * (1 - cells.mass)) + 1e-9
    assert (np.abs(counts - 200_000 * cells.mass) < 5 * sigma + 1).all()


@pytest.mark.parametrize(("domain", "density"), domains())
def test_the_hessian_agrees_with_finite_differences(domain, density):
    atoms = rng(6).normal(size=(15, domain.dim))
    offset = -0.5 * (atoms**2).sum(1)
    exact = hessian(atoms, power_diagram(atoms, offset, domain, density)).toarray()
    step = 1e-6
    columns = []
    for i in range(15):
        move = step * np.eye(15)[i]
        up, down = (power_diagram(atoms, offset + s * move, domain, density) for s in (1, -1))
        columns.append((up.mass - down.mass) / (2 * step))
    assert np.allclose(exact, np.array(columns).T, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize(("domain", "density"), domains())
@pytest.mark.parametrize("weighted", [False, True])
def test_newton_meets_every_mass_to_1e_8(domain, density, weighted):
    weights = rng(8).dirichlet(np.ones(100)) if weighted else None
    problem = SemidiscreteProblem(density or domain, rng(7).normal(size=(100, domain.dim)), weights)
    solution = NewtonSolver().solve(problem).require_converged()
    again = power_diagram(problem.atoms.numpy(), solution.potential.numpy(), domain, density)
    assert np.abs(again.mass / problem.weights.numpy() - 1).max() < 1e-8
    assert solution.evidence.steps <= 20
    gap = abs(solution.evidence.primal - solution.evidence.dual)
    errors = math.hypot(solution.evidence.primal_error, solution.evidence.dual_error)
    assert gap < 5 * errors


@pytest.mark.parametrize("dim", [2, 3])
def test_500_atoms_take_at_most_20_steps_and_the_last_are_quadratic(dim):
    errors = []
    problem = SemidiscreteProblem(UniformCube(dim), rng().normal(size=(500, dim)))
    solution = NewtonSolver(tolerance=1e-11).solve(
        problem, on_step=lambda s: errors.append(np.abs(s.cells.mass * 500 - 1).max())
    )
    assert solution.evidence.steps <= 20
    slope = math.log(errors[-2] / errors[-3]) / math.log(errors[-3] / errors[-4])
    assert slope > 1.6


def heavy_at_the_border(seed):
    places = rng(seed).uniform(size=(500, 2))
    return places, np.where(np.abs(places - 0.5).max(1) > 0.42, 1.0, 1e-4)


def heavy_tails(seed):
    return rng(seed).standard_t(2, size=(500, 2)), 1e4 ** rng(seed + 10).random(500)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("make", [heavy_at_the_border, heavy_tails])
def test_weights_of_four_orders_of_magnitude_take_at_most_20_steps(make, seed):
    places, weights = make(seed)
    problem = SemidiscreteProblem(UniformCube(2), places, weights / weights.sum())
    evidence = NewtonSolver().solve(problem).require_converged().evidence
    assert evidence.steps <= 20


@pytest.mark.parametrize("dim", [2, 3])
def test_lost_cells_are_raised_to_the_mass_asked_for(dim):
    atoms, domain = rng(5).normal(size=(40, dim)), ConvexDomain.box([-0.5] * dim, [0.5] * dim)
    potential = -0.15 * (atoms**2).sum(1)
    before = power_diagram(atoms, potential, domain)
    lost = before.mass.argsort()[[10, 39]]
    potential[lost] -= 5

    def cut(potential):
        return power_diagram(atoms, potential, domain)

    least = np.zeros(40)
    least[lost] = 0.002
    assert (cut(potential).mass[lost] == 0).all()
    again, cells = recover_cells(atoms, potential, cut(potential), least, cut)
    assert ((cells.mass[lost] >= 0.002) & (cells.mass[lost] < 0.2)).all()
    assert np.array_equal(np.delete(again, lost), np.delete(potential, lost))


@pytest.mark.parametrize(
    ("atoms", "dim"),
    [
        pytest.param(np.c_[rng().normal(size=30), np.zeros(30)], 2, id="on-a-line"),
        pytest.param(np.c_[rng().normal(size=(40, 2)), np.zeros(40)], 3, id="on-a-plane"),
        pytest.param(np.stack(np.mgrid[:6, :6], -1).reshape(-1, 2) / 1.0, 2, id="on-a-grid"),
        pytest.param(100 + 1e-3 * rng().normal(size=(50, 2)), 2, id="far-away"),
        pytest.param(
            rng().normal(size=(6, 2)).repeat(20, 0) + 1e-4 * rng(1).normal(size=(120, 2)),
            2,
            id="tight-clusters",
        ),
        pytest.param(np.array([[3.0, 4.0]]), 2, id="one"),
        pytest.param(np.array([[3.0, 4.0], [0, 0]]), 2, id="two"),
    ],
)
def test_degenerate_positions_are_no_special_case(atoms, dim):
    solution = NewtonSolver().solve(SemidiscreteProblem(UniformCube(dim), atoms))
    assert solution.evidence.status == Status.EXACT
    x = UniformCube(dim).sample(50_000, torch.Generator().manual_seed(0))
    share = np.bincount(solution.assign(x), minlength=len(atoms)) / 50_000 * len(atoms)
    assert np.abs(share - 1).max() < 5 * math.sqrt(len(atoms) / 50_000)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("far", [1e3, 1e6])
def test_cells_beside_far_outliers_keep_their_digits(dim, far):
    domain = ConvexDomain.box([-0.5] * dim, [0.5] * dim)
    atoms = rng(2).normal(size=(300, dim))
    alone = NewtonSolver().solve(SemidiscreteProblem(domain, atoms)).potential.numpy()
    mass = power_diagram(atoms, alone, domain).mass
    # Planes that steep, and that low, are below the others wherever these have cells.
    more = np.r_[atoms, far * np.eye(dim)[:1]]
    with_far = power_diagram(more, np.r_[alone, -far], domain).mass
    assert with_far[-1] == 0
    assert np.abs(with_far[:-1] / mass - 1).max() < 1e-9


def test_a_density_with_empty_regions_is_solved():
    values = np.zeros((8, 8))
    values[::3, ::3] = 1
    problem = SemidiscreteProblem(GridDensity(values), rng().normal(size=(60, 2)))
    solution = NewtonSolver().solve(problem)
    assert solution.evidence.converged or solution.evidence.status == Status.STALLED
    assert solution.evidence.converged == (solution.evidence.worst <= 1e-8)


def test_the_stochastic_solver_agrees_with_newton():
    atoms = rng().normal(size=(60, 2))
    problem = SemidiscreteProblem(UniformCube(2), atoms)
    generator = torch.Generator().manual_seed(0)
    rough = SemidualSolver(tolerance=1e-3).solve(problem, generator).require_converged()
    exact = NewtonSolver().solve(problem)
    domain = ConvexDomain.box([-0.5, -0.5], [0.5, 0.5])
    mass = power_diagram(atoms, rough.potential.numpy(), domain).mass
    assert ((mass * 60 - 1) ** 2).mean() < 1e-3
    assert (mass > 0).all()
    assert torch.allclose(rough.potential, exact.potential, atol=0.02)
    x = UniformCube(2).sample(20_000, generator)
    assert (rough.assign(x) == exact.assign(x)).float().mean() > 0.97


def test_newton_starts_warm_and_the_stochastic_solver_accepts_its_answer():
    problem = SemidiscreteProblem(UniformCube(2), rng().normal(size=(80, 2)))
    exact = NewtonSolver().solve(problem)
    assert NewtonSolver().solve(problem, start=exact).evidence.steps == 0
    again = SemidualSolver().solve(problem, torch.Generator(), start=exact)
    assert again.evidence.samples == 0


def test_weights_of_eight_orders_of_magnitude_are_met_to_rounding():
    draw = rng(12)
    weights = np.maximum(draw.dirichlet(np.full(500, 0.3)), 1e-9)
    problem = SemidiscreteProblem(
        UniformCube(2), draw.uniform(size=(500, 2)), weights / weights.sum()
    )
    evidence = NewtonSolver().solve(problem).require_converged().evidence
    assert evidence.worst * problem.weights.min().item() < 2e-15 or evidence.worst < 1e-8
    assert evidence.dead == 0


def test_a_second_start_that_ends_worse_is_not_the_answer(monkeypatch):
    problem = SemidiscreteProblem(UniformCube(2), rng().normal(size=(30, 2)))
    good = NewtonSolver().solve(problem)
    rough = SemidualSolver(tolerance=0.5).solve(problem, torch.Generator().manual_seed(0))
    monkeypatch.setattr("pcgen.transport.exact.newton.ROUNDING", 0.0)
    monkeypatch.setattr("pcgen.transport.exact.newton.ROUGH", 0.0)
    monkeypatch.setattr(SemidualSolver, "solve", lambda *_: rough)
    # A tolerance out of reach, and no step is small enough: both attempts end where they begin.
    solution = NewtonSolver(tolerance=1e-30, smallest_step=2.0).solve(problem, start=good)
    assert solution.evidence.status == Status.STALLED
    assert solution.evidence.worst < 1e-6


def test_a_stall_by_rounding_makes_no_second_start(monkeypatch):
    problem = SemidiscreteProblem(UniformCube(2), rng().normal(size=(30, 2)))
    monkeypatch.setattr("pcgen.transport.exact.newton.ROUNDING", 0.0)
    monkeypatch.delattr(SemidualSolver, "solve")
    evidence = NewtonSolver(tolerance=1e-30).solve(problem).evidence
    assert evidence.status == Status.STALLED
    assert evidence.worst < 1e-10


def test_newton_refuses_a_source_it_cannot_measure():
    with pytest.raises(InputError, match="use SemidualSolver"):
        NewtonSolver().solve(SemidiscreteProblem(UniformBall(4), np.eye(4)))


def test_atoms_that_nearly_coincide_never_pass_silently():
    atoms = rng().normal(size=(50, 2))
    atoms[1] = atoms[0] + 1e-15
    problem = SemidiscreteProblem(UniformCube(2), atoms)
    with contextlib.suppress(TransportError):  # which says that they must be merged
        evidence = NewtonSolver().solve(problem).evidence
        assert evidence.converged == (evidence.worst <= 1e-8)


@pytest.mark.parametrize("corners", [np.zeros((3, 2)), np.eye(3), np.ones((4, 4)), [[0, np.nan]]])
def test_flat_or_broken_domains_are_refused(corners):
    with pytest.raises(InputError):
        ConvexDomain(corners)


@pytest.mark.parametrize("source", [ConvexDomain(rng(3).normal(size=(9, 3))), random_grid()])
def test_exact_sources_sample_their_own_moments(source):
    x = source.sample(100_000, torch.Generator().manual_seed(0)).double().numpy()
    if isinstance(source, ConvexDomain):
        mean, covariance = source.moments
    else:
        rows, columns = source.values.shape
        edges = source.edges
        centres = np.stack(np.meshgrid(*((e[1:] + e[:-1]) / 2 for e in edges)), -1).reshape(-1, 2)
        share = source.values.ravel() / source.values.sum()
        mean = share @ centres
        inside = np.diag([(edges[0][1] - edges[0][0]) ** 2, (edges[1][1] - edges[1][0]) ** 2]) / 12
        covariance = np.cov(centres.T, aweights=share, ddof=0) + inside
        assert (rows, columns) == (5, 7)
    assert np.allclose(x.mean(0), mean, atol=5 * np.sqrt(np.diag(covariance) / 1e5).max())
    assert np.allclose(np.cov(x.T), covariance, atol=0.02 * np.trace(covariance))


@pytest.mark.slow
def test_20_000_atoms_are_solved():
    problem = SemidiscreteProblem(UniformCube(2), rng().normal(size=(20_000, 2)))
    evidence = NewtonSolver().solve(problem).evidence
    assert evidence.converged
    assert evidence.steps <= 30


@pytest.mark.slow
@pytest.mark.parametrize("dim", [2, 3])
def test_ten_million_samples_agree_within_five_standard_errors(dim):
    solution = NewtonSolver().solve(
        SemidiscreteProblem(UniformCube(dim), rng().normal(size=(100, dim)))
    )
    generator, counts = torch.Generator().manual_seed(0), np.zeros(100)
    for _ in range(100):
        x = UniformCube(dim).sample(100_000, generator)
        counts += np.bincount(solution.assign(x), minlength=100)
    sigma = math.sqrt(1e7 * 0.01 * 0.99)
    assert np.abs(counts - 1e5).max() < 5 * sigma
