"""Gaussian sources in 2D and 3D: masses agree with closed forms, quadrature and sampling."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import ndtr, ndtri

from pcgen.transport import (
    AutoSolver,
    GaussianMeasure,
    GaussianSource,
    NewtonSolver,
    SemidiscreteProblem,
    SemidualSolver,
    Status,
    UnivariateSolver,
)
from pcgen.transport.exact.measures import exact_measure, radial_potential
from pcgen.transport.exact.newton import hessian
from pcgen.transport.exact.power_diagram import power_diagram
from pcgen.transport.exact.radial_densities import GaussianDensity
from pcgen.transport.stochastic.mass_estimates import estimate_masses


def rng(seed=0):
    return np.random.default_rng(seed)


def cells_of(atoms, offset):
    density = GaussianDensity(atoms.shape[1])
    return power_diagram(atoms, offset, density.domain, density)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("at", [0, 1e-12, 1e-3, 0.5, 3, 6])
def test_half_spaces_meet_the_normal_distribution(dim, at):
    direction = rng(3).normal(size=dim)
    direction /= np.linalg.norm(direction)
    cells = cells_of(np.array([-direction, direction]), np.array([0, -2.0 * at]))
    assert cells.mass == pytest.approx([ndtr(at), ndtr(-at)], abs=2e-15)
    assert cells.flux[cells.inner] == pytest.approx(
        [np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi)], abs=1e-15
    )


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)])
def test_boxes_meet_the_product_of_normal_distributions(shape, rotated):
    """Atoms on a grid, with potentials that are sums over the axes, have boxes as cells."""
    places, sums, masses = [], [], []
    for axis, count in enumerate(shape):
        place = np.sort(rng(axis).normal(size=count))
        bounds = np.sort(rng(axis + 10).normal(size=count - 1)) * 2
        places.append(place)
        sums.append(np.r_[0, -np.cumsum(bounds * np.diff(place))])
        masses.append(np.diff(np.r_[0, ndtr(bounds), 1]))
    atoms = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, len(shape))
    offset = sum(np.meshgrid(*sums, indexing="ij")).ravel()
    expected = np.prod(np.meshgrid(*masses, indexing="ij"), axis=0).ravel()
    if rotated:
        atoms = atoms @ np.linalg.qr(rng(5).normal(size=(len(shape),) * 2))[0]
    assert np.abs(cells_of(atoms, offset).mass - expected).max() < 1e-14


def test_cells_of_three_atoms_meet_quadrature():
    atoms, offset = rng(1).normal(size=(3, 2)), np.array([0.3, -0.2, 0.1])

    def across(x, i):
        """φ(x) P(y in the cell of i | x); the cell ends in y where another score is equal."""
        low, high = -np.inf, np.inf
        for j in {0, 1, 2} - {i}:
            slope = atoms[i, 1] - atoms[j, 1]
            end = ((atoms[j, 0] - atoms[i, 0]) * x + offset[j] - offset[i]) / slope
            low, high = (max(low, end), high) if slope > 0 else (low, min(high, end))
        return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * max(0.0, ndtr(high) - ndtr(low))

    mass = cells_of(atoms, offset).mass
    for i in range(3):
        expected = quad(across, -9, 9, (i,), epsabs=1e-11, limit=500)[0]
        assert mass[i] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_hessian_agrees_with_finite_differences(dim):
    atoms = rng(6).normal(size=(15, dim))
    offset = -0.5 * (atoms**2).sum(1)
    exact = hessian(atoms, cells_of(atoms, offset)).toarray()
    steps = 1e-6 * np.eye(15)
    found = [(cells_of(atoms, offset + s).mass - cells_of(atoms, offset - s).mass) for s in steps]
    assert np.allclose(exact, np.array(found).T / 2e-6, atol=1e-5 * np.abs(exact).max())


def heavy_tails(dim):
    return rng(1).standard_t(1, size=(400, dim)), None


def outliers(dim):
    atoms = rng(2).normal(size=(400, dim))
    atoms[:3] *= 1e4
    return atoms, None


def uneven(dim):
    weights = 1e4 ** rng(4).random(400)
    return rng(4).standard_t(2, size=(400, dim)), weights / weights.sum()


def clusters(dim):
    centres = 10 * rng(6).normal(size=(8, dim))
    return centres.repeat(50, 0) + 1e-3 * rng(7).normal(size=(400, dim)), None


def flat(dim):
    return np.c_[rng(8).normal(size=(400, dim - 1)), np.zeros(400)], None


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("make", [heavy_tails, outliers, uneven, clusters, flat])
def test_hard_atoms_are_met_exactly_in_few_steps(make, dim):
    problem = SemidiscreteProblem(GaussianSource(dim), *make(dim))
    solution = NewtonSolver().solve(problem).require_converged()
    assert solution.evidence.steps <= 20
    again = cells_of(problem.atoms.numpy(), solution.potential.numpy()).mass
    assert np.abs(again / problem.weights.numpy() - 1).max() < 2e-8
    fresh = estimate_masses(problem, solution.envelope, 200_000, torch.Generator().manual_seed(0))
    assert abs(fresh.chi2) < 5 * fresh.chi2_error
    assert fresh.dead == 0
    gap = solution.evidence.primal - solution.evidence.dual
    assert abs(gap) < 5 * np.hypot(solution.evidence.primal_error, solution.evidence.dual_error)


@pytest.mark.parametrize("dim", [2, 3])
def test_two_atoms_meet_the_closed_form(dim):
    u, p = 1.7, 0.3
    atoms = u * np.eye(dim)[:1] * [[-1], [1]]
    solution = NewtonSolver().solve(SemidiscreteProblem(GaussianSource(dim), atoms, [p, 1 - p]))
    h = solution.potential.numpy()  # ½|p|² is the same at both
    assert h[0] - h[1] == pytest.approx(2 * u * ndtri(p), abs=1e-8)


@pytest.mark.parametrize("dim", [2, 3])
def test_atoms_on_a_line_agree_with_the_line_solver(dim):
    atoms = rng().normal(size=(30, 1)) * np.arange(1, dim + 1)
    problem = SemidiscreteProblem(GaussianSource(dim), atoms)
    newton, line = NewtonSolver().solve(problem), UnivariateSolver().solve(problem)
    assert torch.allclose(newton.potential, line.potential, atol=1e-8)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_gaussian_of_any_mean_and_covariance_is_exact(dim):
    """Shifting and scaling the source equals shifting the potential and scaling the atoms."""
    root = rng(1).normal(size=(dim, dim))
    source = GaussianMeasure.of_covariance(torch.arange(1.0, dim + 1), root @ root.T)
    problem = SemidiscreteProblem(source, rng(2).normal(size=(60, dim)))
    solution = AutoSolver().solve(problem, torch.Generator().manual_seed(0))
    assert solution.evidence.method == "newton"
    assert solution.evidence.converged
    fresh = estimate_masses(problem, solution.envelope, 200_000, torch.Generator().manual_seed(0))
    assert abs(fresh.chi2) < 5 * fresh.chi2_error
    again = NewtonSolver().solve(problem, start=solution)
    assert again.evidence.steps == 0


def test_a_gaussian_without_density_is_left_to_the_stochastic_solver():
    assert exact_measure(GaussianMeasure(torch.zeros(2), torch.ones(2, 1))) is None
    assert exact_measure(GaussianSource(4)) is None


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("stretch", [1, 30])
def test_first_cells_have_mass_however_far_the_atoms(dim, stretch):
    atoms = rng(3).standard_t(1, size=(500, dim)) * np.r_[stretch, np.ones(dim - 1)]
    atoms[0] = 0

    def first(weights):
        return radial_potential(atoms, weights, GaussianDensity(dim).radius)

    assert cells_of(atoms, first(np.full(500, 1 / 500))).mass.min() > 0
    weights = rng(4).dirichlet(np.full(500, 0.3)) + 1e-9
    mass = cells_of(atoms, first(weights / weights.sum())).mass
    assert mass.min() > 0


def test_the_stochastic_solver_agrees_with_newton():
    problem = SemidiscreteProblem(GaussianSource(3), rng().normal(size=(60, 3)))
    rough = SemidualSolver(tolerance=1e-3).solve(problem, torch.Generator().manual_seed(0))
    mass = cells_of(problem.atoms.numpy(), rough.require_converged().potential.numpy()).mass
    assert 60 * ((mass - 1 / 60) ** 2).sum() < 1.5e-3


def test_auto_goes_on_stochastically_where_newton_ends_short(monkeypatch):
    atoms = rng(3).normal(size=(100, 2))
    atoms[:20] = atoms[20:40] + 1e-9 * rng(4).normal(size=(20, 2))
    problem, draw = SemidiscreteProblem(GaussianSource(2), atoms), torch.Generator().manual_seed(0)
    assert NewtonSolver().solve(problem).evidence.status == Status.STALLED
    evidence = AutoSolver().solve(problem, draw).evidence
    assert (evidence.method, evidence.status) == ("semidual", Status.CONVERGED)
    assert evidence.samples == 0  # Newton's is good enough for it
