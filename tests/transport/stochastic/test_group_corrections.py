"""Balancing groups of atoms: the small convex problem, its scores, and its use."""

import dataclasses

import numpy as np
import pytest
import torch

from pcgen.transport import GaussianSource, SemidiscreteProblem, SemidualSolver
from pcgen.transport.stochastic import group_corrections
from pcgen.transport.stochastic.cell_corrections import balance_groups, groups_unbalanced
from pcgen.transport.stochastic.group_corrections import (
    best_group_scores,
    group_shifts,
    partition,
    partitions,
    shells,
)


def clusters(count=800, groups=16, dim=32):
    centres = 2 * torch.randn(groups, dim, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(count, dim, generator=torch.Generator().manual_seed(2))
    label = torch.arange(count) % groups
    return centres[label] + 0.3 * noise, label


def test_balance_meets_the_weights_on_its_samples(generator):
    best = 3 * torch.randn(20_000, 12, generator=generator)
    weights = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(12)))
    shift = group_shifts(best, weights)
    share = torch.bincount((best + shift).argmax(1), minlength=12) / 20_000
    assert (share - weights).abs().max() < 0.005


@pytest.mark.parametrize("spread", [1e-2, 1e-4])
def test_balance_tells_parts_of_tight_clusters_apart(generator, spread):
    cluster = torch.randn(10_000, 4, generator=generator).double().repeat_interleave(4, 1)
    best = cluster + spread * torch.randn(10_000, 16, generator=generator).double()
    weights = torch.from_numpy(np.random.default_rng(1).dirichlet(np.ones(16)))
    shift = group_shifts(best, weights)
    share = torch.bincount((best + shift).argmax(1), minlength=16) / 10_000
    assert (share - weights).abs().max() < 0.002


def test_groups_follow_tight_clusters():
    atoms, label = clusters()
    groups = partition(atoms, torch.full((800,), 1 / 800).double())
    assert groups.weights.sum().item() == pytest.approx(1)
    for group in range(groups.count):
        assert len(label[groups.label == group].unique()) == 1


def test_clusters_that_stand_apart_are_one_group_each_and_a_blob_is_not_cut():
    random = torch.Generator().manual_seed(3)
    label = torch.arange(400) % 5
    centres = 3 * torch.randn(5, 2, generator=random)
    atoms = centres[label] + 0.01 * torch.randn(400, 2, generator=random)
    uniform = torch.full((400,), 1 / 400).double()
    coarse, fine = partitions(atoms, uniform)
    assert coarse.count == 5 < fine.count
    assert len(torch.stack([coarse.label, label], 1).unique(dim=0)) == 5
    assert coarse.weights.tolist() == pytest.approx([0.2] * 5)
    assert len(partitions(torch.randn(400, 2, generator=random), uniform)) == 1


def test_best_of_groups_is_the_best_score_in_each(generator):
    atoms, _ = clusters(100)
    groups = partition(atoms, torch.full((100,), 0.01).double())
    x, offset = torch.randn(50, 32, generator=generator), torch.randn(100, generator=generator)
    best = best_group_scores(x, atoms, offset.double(), groups)
    scores = x @ atoms.T + offset
    for group in range(groups.count):
        assert torch.allclose(best[:, group], scores[:, groups.label == group].amax(1), atol=1e-4)


def test_a_group_that_was_shifted_away_is_brought_back():
    atoms, label = clusters()
    problem = SemidiscreteProblem(GaussianSource(32), atoms)
    solver, states = SemidualSolver(), []
    solver.solve(problem, torch.Generator().manual_seed(0), on_step=states.append)
    work = solver.prepare(problem, torch.Generator(), states[-1])
    shifted = states[-1].average + 0.2 * (label == 3)
    state = dataclasses.replace(states[-1], average=shifted, potential=shifted)
    groups = work.partitions[0]
    assert groups_unbalanced(work, state, solver.schedule(work).estimate(state, 30_000), groups)
    back = balance_groups(work, state, groups)
    estimate = solver.schedule(work).estimate(back, 60_000)
    share = torch.bincount(label, estimate.counts, 16) / estimate.samples * 16
    assert (share - 1).abs().max() < 0.1


def test_more_clusters_than_groups_converge_as_soon_as_few_do():
    """Forty clusters of uneven sizes, far from the source; 32 groups do not separate all."""
    random = np.random.default_rng(24)
    centres = 10 * random.standard_normal((40, 8))
    label = random.choice(40, 2000, p=random.dirichlet(np.full(40, 0.5)))
    atoms = centres[label] + 0.05 * random.standard_normal((2000, 8)) + 1000
    problem = SemidiscreteProblem(GaussianSource(8), atoms)
    solver = SemidualSolver(max_samples=100 * 2000)
    solution = solver.solve(problem, torch.Generator().manual_seed(0)).require_converged()
    normal = torch.randn(100_000, 8, generator=torch.Generator().manual_seed(1))
    groups = partitions(torch.from_numpy(atoms), problem.weights)
    assert groups[0].count == len(np.unique(label))
    counts = torch.bincount(solution.assign(normal), minlength=2000)
    share = groups[0].masses(counts.double()) / 100_000
    assert ((share - groups[0].weights).square() / groups[0].weights).sum() < 0.005


def test_shells_have_equal_masses_and_shift_without_a_step(generator):
    atoms = torch.randn(800, 3, generator=generator) + 7
    weights = torch.from_numpy(np.random.default_rng(0).dirichlet(np.ones(800)))
    found = shells(atoms, weights)
    assert found.count == 16
    assert (found.weights - 1 / 16).abs().max() < 0.01
    radius = (atoms - weights.float() @ atoms).norm(dim=1)
    order = radius.argsort()
    assert (found.label[order].diff() >= 0).all()
    assert torch.allclose(found.spread(torch.ones(16).double()), torch.ones(800).double())
    ramp = found.spread(torch.arange(16.0).double())[order]
    assert ramp.diff().min() >= 0
    assert ramp.diff().max() < 0.5
    assert shells(atoms[:10], weights[:10]) is None
    assert shells(torch.eye(40), torch.full((40,), 1 / 40).double()) is None  # one sphere


def test_the_outer_atoms_get_no_more_than_their_mass():
    """With smoothed cells the outermost tenth had 18 % too much mass, and the second moment 6 %."""
    draw = torch.Generator().manual_seed(6)
    atoms = torch.randn(1200, 5, generator=draw) @ torch.randn(5, 40, generator=draw)
    solver = SemidualSolver()
    problem = SemidiscreteProblem(GaussianSource(40), atoms)
    solution = solver.solve(problem, torch.Generator().manual_seed(0)).require_converged()
    reached = solution.map(torch.randn(40_000, 40, generator=draw)) - atoms.mean(0)
    wanted = (atoms - atoms.mean(0)).square().sum(1)
    assert reached.square().sum(1).mean() == pytest.approx(wanted.mean().item(), rel=0.02)
    outer = wanted >= wanted.quantile(0.9)
    share = (reached.square().sum(1) >= wanted[outer].min()).float().mean()
    assert share == pytest.approx(0.1, abs=0.007)


def test_uneven_clusters_in_the_plane_converge():
    weights = np.random.default_rng(3).gamma(0.5, size=400)
    weights[:3] = 1e-3 * weights.mean()
    random = np.random.default_rng(3)
    direction = random.standard_normal(2)
    centres = random.standard_normal((8, 2)) + 10 * direction / np.linalg.norm(direction)
    atoms = centres[random.integers(0, 8, 400)] + 0.01 * random.standard_normal((400, 2))
    problem = SemidiscreteProblem(GaussianSource(2), np.float32(atoms), weights / weights.sum())
    SemidualSolver().solve(problem, torch.Generator().manual_seed(0)).require_converged()


def test_balance_on_a_source_of_few_points_ends_where_no_share_can_change(monkeypatch):
    generator = torch.Generator().manual_seed(3)
    best = torch.rand(300, 12, generator=generator).repeat(200, 1)
    weights = torch.rand(12, generator=generator).double() + 0.2
    weights /= weights.sum()
    levels, smoothed = [], group_corrections._smoothed

    def counted(*arguments):
        levels.append(arguments[3].item())
        return smoothed(*arguments)

    monkeypatch.setattr(group_corrections, "_smoothed", counted)
    shift = group_corrections.group_shifts(best, weights)
    share = torch.bincount((best + shift).argmax(1), minlength=12) / len(best)
    assert (share - weights).abs().max() <= 1.01 / 300  # as near as a point of 300 allows
    assert len(levels) < group_corrections.LEVELS
