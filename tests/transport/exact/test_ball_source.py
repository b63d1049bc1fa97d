"""The uniform ball in 2D and 3D: exact masses agree with caps, sectors and sampling."""

import numpy as np
import pytest
import torch

from pcgen.transport import AutoSolver, NewtonSolver, SemidiscreteProblem, UniformBall
from pcgen.transport.exact.newton import hessian
from pcgen.transport.exact.power_diagram import power_diagram
from pcgen.transport.exact.radial_densities import BallDensity
from pcgen.transport.stochastic.mass_estimates import estimate_masses


def rng(seed=0):
    return np.random.default_rng(seed)


def cells_of(atoms, offset):
    density = BallDensity(atoms.shape[1])
    return power_diagram(atoms, offset, density.domain, density)


@pytest.mark.parametrize("at", [0, 1e-12, 1e-3, 0.5, 0.99])
def test_caps_meet_the_closed_form(at):
    section = np.sqrt(1 - at**2)
    for dim, cap, flux in (
        (2, (np.arccos(at) - at * section) / np.pi, 2 * section / np.pi),
        (3, (1 - at) ** 2 * (2 + at) / 4, 0.75 * section**2),
    ):
        direction = rng(3).normal(size=dim)
        direction /= np.linalg.norm(direction)
        cells = cells_of(np.array([-direction, direction]), np.array([0, -2.0 * at]))
        assert cells.mass == pytest.approx([1 - cap, cap], abs=2e-15)
        assert cells.flux[cells.inner] == pytest.approx([flux], abs=2e-15)


@pytest.mark.parametrize("dim", [2, 3])
def test_sectors_meet_their_angles(dim):
    """The cells of atoms on a circle with equal potentials are sectors between bisectors."""
    angle = np.sort(rng(1).uniform(0, 2 * np.pi, 9))
    atoms = np.zeros((9, dim))
    atoms[:, 0], atoms[:, 1] = np.cos(angle), np.sin(angle)
    gaps = np.diff(np.r_[angle, angle[0] + 2 * np.pi])
    expected = (gaps + np.roll(gaps, 1)) / (4 * np.pi)
    assert np.abs(cells_of(atoms, np.zeros(9)).mass - expected).max() < 1e-14


@pytest.mark.parametrize("dim", [2, 3])
def test_masses_agree_with_sampling_and_the_hessian_with_differences(dim):
    atoms = rng(5).normal(size=(40, dim)) * 2
    offset = -0.15 * (atoms**2).sum(1)
    cells = cells_of(atoms, offset)
    assert cells.mass.sum() == pytest.approx(1, abs=1e-14)
    x = UniformBall(dim).sample(200_000, torch.Generator().manual_seed(0)).double().numpy()
    counts = np.bincount((x @ atoms.T + offset).argmax(1), minlength=40)
    sigma = np.sqrt(200_000 * np.maximum(cells.mass, 0))
    assert (np.abs(counts - 200_000 * cells.mass) < 5 * sigma + 1).all()
    steps = 1e-6 * np.eye(40)
    found = [(cells_of(atoms, offset + s).mass - cells_of(atoms, offset - s).mass) for s in steps]
    exact = hessian(atoms, cells).toarray()
    assert np.allclose(exact, np.array(found).T / 2e-6, atol=1e-5 * np.abs(exact).max())


def blob(dim):
    return rng(1).normal(size=(400, dim)), None


def heavy_tails(dim):
    weights = 1e3 ** rng(4).random(400)
    return rng(1).standard_t(1, size=(400, dim)), weights / weights.sum()


def clusters(dim):
    return rng(6).normal(size=(8, dim)).repeat(50, 0) + 1e-2 * rng(7).normal(size=(400, dim)), None


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("make", [blob, heavy_tails, clusters])
def test_atoms_are_met_exactly_in_few_steps(make, dim):
    problem = SemidiscreteProblem(UniformBall(dim), *make(dim))
    solution = AutoSolver().solve(problem, torch.Generator().manual_seed(0)).require_converged()
    assert solution.evidence.method == "newton"
    assert solution.evidence.steps <= 20
    again = cells_of(problem.atoms.numpy(), solution.potential.numpy()).mass
    assert np.abs(again / problem.weights.numpy() - 1).max() < 2e-8
    fresh = estimate_masses(problem, solution.envelope, 200_000, torch.Generator().manual_seed(0))
    assert abs(fresh.chi2) < 5 * fresh.chi2_error
    assert NewtonSolver().solve(problem, start=solution).evidence.steps == 0
