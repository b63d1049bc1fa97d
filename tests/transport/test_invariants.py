"""The exact potential of shifted, scaled, permuted or mirrored atoms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcgen.transport import AutoSolver, GaussianSource, SemidiscreteProblem
from pcgen.transport.assignment import assignment_cost, centred_cost

SEEDS = st.integers(0, 2**32 - 1)
quick = settings(max_examples=15, deadline=None)


def problem(seed, dim, count=12):
    """Atoms with uneven weights and a minimum distance."""
    random = np.random.default_rng(seed)
    atoms = random.normal(size=(count, dim)) + 3 * random.integers(-1, 2, (count, 1))
    weights = random.uniform(0.2, 1, count)
    return atoms, weights / weights.sum()


def potential(atoms, weights):
    source = GaussianSource(atoms.shape[1])
    found = AutoSolver().solve(
        SemidiscreteProblem(source, atoms, weights), torch.Generator().manual_seed(0)
    )
    return found.require_converged().potential.numpy()


@pytest.mark.parametrize("dim", [1, 2, 3])
@quick
@given(seed=SEEDS, shift=st.floats(-50, 50), scale=st.floats(0.01, 100))
def test_a_shift_changes_no_cell_and_a_scale_is_that_of_the_potential(dim, seed, shift, scale):
    atoms, weights = problem(seed, dim)
    moved = potential(scale * atoms + shift, weights)
    assert moved == pytest.approx(scale * potential(atoms, weights), abs=1e-5 * scale)


@pytest.mark.parametrize("dim", [1, 2, 3])
@quick
@given(seed=SEEDS)
def test_permuted_atoms_have_permuted_potentials(dim, seed):
    atoms, weights = problem(seed, dim)
    order = np.random.default_rng(seed).permutation(len(atoms))
    assert potential(atoms[order], weights[order]) == pytest.approx(
        potential(atoms, weights)[order], abs=1e-6
    )


@pytest.mark.parametrize("dim", [1, 2, 3])
@quick
@given(seed=SEEDS)
def test_mirrored_atoms_of_a_symmetric_source_have_the_same_potential(dim, seed):
    atoms, weights = problem(seed, dim)
    mirrored = atoms * np.r_[-1.0, np.ones(dim - 1)]
    assert potential(mirrored, weights) == pytest.approx(potential(atoms, weights), abs=1e-6)


@quick
@given(seed=SEEDS, shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_the_assignment_cost_is_a_squared_distance(seed, shift, scale):
    random = torch.Generator().manual_seed(seed)
    x, y, x2, y2 = torch.randn(4, 20, 3, generator=random, dtype=torch.float64)
    cost = assignment_cost(x, y)
    assert assignment_cost(y, x) == pytest.approx(cost)
    assert assignment_cost(x[torch.randperm(20, generator=random)], y) == pytest.approx(cost)
    assert assignment_cost(scale * x + shift, scale * y + shift) == pytest.approx(scale**2 * cost)
    assert centred_cost(x, x2, y, y2) == pytest.approx(centred_cost(y, y2, x, x2))
