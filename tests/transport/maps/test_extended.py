"""The extended map covers all modes, mixes none, gives new points, and is independent of scale."""

import math

import numpy as np
import pytest
import torch

from pcgen.bench.densities import DENSITIES
from pcgen.errors import InputError
from pcgen.transport import (
    GaussianSource,
    NewtonSolver,
    SemidiscreteMap,
    SemidiscreteProblem,
    SemidualSolver,
    UniformCube,
)
from pcgen.transport.maps.local_scale import local_scales


def eight_gaussians(count):
    angle = torch.arange(8) * math.pi / 4
    return 2 * torch.stack([angle.cos(), angle.sin()], 1), 0.1, torch.arange(count) % 8


def twenty_five_gaussians(count):
    line = 2.0 * (torch.arange(5) - 2)
    return torch.cartesian_prod(line, line), 0.05, torch.arange(count) % 25


def clusters_in_32_dimensions(count):
    centres = 2 * torch.randn(16, 32, generator=torch.Generator().manual_seed(1))
    return centres, 0.3, torch.arange(count) % 16


def solved(make, count=800, scale=1.0, tolerance=0.02):
    centres, width, labels = make(count)
    noise = torch.randn(count, centres.shape[1], generator=torch.Generator().manual_seed(2))
    atoms = scale * (centres[labels] + width * noise)
    problem = SemidiscreteProblem(GaussianSource(atoms.shape[1]), atoms)
    solver = SemidualSolver(tolerance=tolerance)
    return solver.solve(problem, torch.Generator().manual_seed(0)), centres, labels


def source_points(dim, count=10000):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    "make", [eight_gaussians, twenty_five_gaussians, clusters_in_32_dimensions]
)
def test_modes_are_covered_and_none_mixed(make):
    solution, centres, labels = solved(make, tolerance=0.005)
    mapped = SemidiscreteMap(solution)(source_points(centres.shape[1]))
    statistics = mapped.statistics(labels)
    assert statistics["coverage"] == 1
    assert statistics["mixture"] <= 0.001
    assert statistics["interpolated"] > 0.9
    # By position, too: each point is nearest the centre of its cell's mode.
    nearest = torch.cdist(mapped.points, centres).argmin(1)
    assert (nearest == labels[mapped.cell]).float().mean() >= 0.999
    counts = np.bincount(nearest.numpy(), minlength=len(centres))
    share = 1 / len(centres)
    sigma = (len(nearest) * share * (1 - share)) ** 0.5
    assert np.abs(counts - len(nearest) * share).max() < 3 * sigma


def square_of(points):
    """The number of the nearest square of the checkerboard, and the distance to it."""
    corners = torch.cartesian_prod(torch.arange(-2.0, 2), torch.arange(-2.0, 2))
    corners = corners[corners.sum(1).remainder(2) == 0]
    outside = (points[:, None] - corners - 0.5).abs() - 0.5
    distance, square = outside.clamp(min=0).norm(dim=2).min(1)
    return square, distance


def arc_of(points):
    """The nearest eighth of the swiss roll, and the distance to the roll."""
    angle = 1.5 * math.pi * (1 + 2 * torch.linspace(0, 1, 2001))
    roll = torch.stack([angle * angle.cos(), angle * angle.sin()], 1) / 5
    distance, place = torch.cdist(points, roll).min(1)
    return (place / 2001 * 8).long(), distance


# Squares that touch are distinguished down to half the spacing of their atoms, √(8 / N) / 2; the
# roll has a width of 0.06, and a distance of 1.26 between its turns.
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "mode_of", "margin"),
    [
        ("checkerboard", square_of, 0.5 * (8 / 1500) ** 0.5),
        ("swiss-roll", arc_of, 0.3),
    ],
)
def test_touching_and_rolled_up_modes_are_covered_and_kept_apart(name, mode_of, margin, seed):
    atoms = DENSITIES[name](1500, torch.Generator().manual_seed(seed))
    solution = NewtonSolver().solve(SemidiscreteProblem(UniformCube(2), atoms))
    x = UniformCube(2).sample(40_000, torch.Generator().manual_seed(7))
    mapped = SemidiscreteMap(solution)(x)
    _, distance = mode_of(mapped.points)
    # A thousandth is allowed; without shares that fade these boards have 0.0006 to 0.0008.
    assert (distance > margin).float().mean() <= 0.0004
    labels, _ = mode_of(atoms)
    statistics = mapped.statistics(labels)
    assert statistics["coverage"] == 1
    assert statistics["interpolated"] > 0.99
    with pytest.raises(InputError, match="labels must have one number per atom"):
        mapped.statistics(labels[:-1])
    share = torch.bincount(labels, minlength=8) / 1500
    counts = torch.bincount(labels[mapped.cell], minlength=8)
    sigma = (40_000 * share * (1 - share)).sqrt()
    assert ((counts - 40_000 * share).abs() < 3 * sigma).all()


def few_atoms_a_mode(size, dim, width=0.02):
    """Twelve modes on a circle, 1.55 apart."""
    angle = torch.arange(12) * math.pi / 6
    centres = torch.zeros(12, dim)
    centres[:, :2] = 3 * torch.stack([angle.cos(), angle.sin()], 1)
    noise = torch.randn(12 * size, dim, generator=torch.Generator().manual_seed(3)) / dim**0.5
    labels = torch.arange(12 * size) % 12
    return centres[labels] + width * noise, labels


@pytest.mark.parametrize(
    ("size", "dim"), [(2, 2), (3, 2), (5, 2), (7, 2), (3, 32), (5, 32), (7, 32)]
)
def test_modes_of_few_atoms_are_not_mixed(size, dim):
    atoms, labels = few_atoms_a_mode(size, dim)
    middle = 0.4 / dim**0.5 * normal(200, dim)
    problem = SemidiscreteProblem(GaussianSource(dim), torch.cat([atoms, middle]))
    labels = torch.cat([labels, torch.full((200,), 12)])
    solution = SemidualSolver(tolerance=0.1).solve(problem, torch.Generator().manual_seed(0))
    statistics = SemidiscreteMap(solution)(source_points(dim)).statistics(labels)
    assert statistics["coverage"] == 1
    assert statistics["mixture"] <= 0.001
    assert statistics["interpolated"] > 0.9


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_of_few_atoms_all_are_reached_and_mixed_two_by_two(count):
    atoms = 4 * torch.rand(count, 2, generator=torch.Generator().manual_seed(count))
    solution = NewtonSolver().solve(SemidiscreteProblem(UniformCube(2), atoms))
    x = UniformCube(2).sample(20_000, torch.Generator().manual_seed(1))
    mapped = SemidiscreteMap(solution)(x)
    apart = torch.pdist(atoms).median()
    assert (torch.cdist(atoms, mapped.points).amin(1) < 0.3 * apart).all()
    assert mapped.statistics()["interpolated"] > 0.5
    assert ((mapped.shares > 0).sum(1) <= max(2, 1 + count // 4)).all()
    # A mean of all atoms would have no variance.
    assert mapped.points.var(0).sum() > 0.35 * atoms.var(0, correction=0).sum()


def normal(count, dim):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("dim", [2, 32])
def test_atoms_that_nearly_coincide_are_no_mode_of_their_own(dim):
    """Otherwise samples in their cells would be copies of them."""
    some = normal(200, dim)
    twins = some[:20] + 1e-4 * torch.randn(20, dim, generator=torch.Generator().manual_seed(5))
    plain, scales = (local_scales(atoms, 50) for atoms in (some, torch.cat([some, twins])))
    share = 0.5 if dim == 2 else 0.8
    assert (scales[:200] > share * plain).float().mean() > 0.99
    assert torch.allclose(scales[200:], scales[:20], rtol=1e-2)


@pytest.mark.parametrize("scale", [0.1, 10.0])
def test_rescaling_the_latents_rejects_the_same_points(scale):
    x = source_points(2)
    one = SemidiscreteMap(solved(eight_gaussians)[0])(x)
    other = SemidiscreteMap(solved(eight_gaussians, scale=scale)[0])(x)
    assert 0 < one.rejected.float().mean() < 0.05
    assert (one.rejected == other.rejected).float().mean() > 0.9999
    assert torch.allclose(scale * one.points, other.points, atol=0.02 * scale)


def test_hard_mode_gives_atoms_and_extended_mode_new_points():
    solution, _, _ = solved(clusters_in_32_dimensions, 300)
    x = source_points(32, 2000)
    hard, extended = SemidiscreteMap(solution, "hard")(x), SemidiscreteMap(solution)(x)
    assert torch.equal(hard.points, solution.map(x))
    assert torch.equal(hard.cell, extended.cell)
    assert hard.statistics()["replayed"] == 1
    replays = (torch.cdist(extended.points, solution.problem.atoms).amin(1) < 1e-4).float().mean()
    assert replays < 0.1
    assert extended.statistics()["replayed"] == pytest.approx(replays.item(), abs=0.01)


def test_soft_mode_is_the_softmax_mean():
    solution, _, _ = solved(eight_gaussians, 200)
    x = source_points(2, 300)
    points = SemidiscreteMap(solution, "soft", epsilon=0.1)(x).points
    scores = (x.double() @ solution.problem.atoms.double().T + solution.potential) / 0.1
    assert torch.allclose(
        points.double(), scores.softmax(1) @ solution.problem.atoms.double(), atol=1e-4
    )


def test_the_gap_is_the_distance_to_the_wall():
    solution, _, _ = solved(eight_gaussians, 200)
    x = source_points(2, 500).double()
    mapped = SemidiscreteMap(solution)(x)
    own, other = (solution.problem.atoms[mapped.neighbours[:, i]].double() for i in (0, 1))
    step = (other - own) / (other - own).norm(dim=1, keepdim=True)
    facet = x + step * mapped.gap[:, None]
    first, second = mapped.neighbours[:, 0], mapped.neighbours[:, 1]
    at = [(facet * p).sum(1) + solution.potential[i] for p, i in ((own, first), (other, second))]
    assert torch.allclose(at[0], at[1], atol=1e-9)


def test_the_map_is_continuous_inside_a_mode():
    """Along a path in the source, outputs move in small steps within a mode.

    They are small compared with the hard map; not zero, as the shares of far neighbours fade.
    """
    solution, _, labels = solved(eight_gaussians)
    path = torch.linspace(-0.5, 0.5, 20001)[:, None] * torch.tensor([[0.3, 1.0]]) + 1.2
    hard, extended = (SemidiscreteMap(solution, mode)(path) for mode in ("hard", "extended"))
    same = labels[hard.cell][1:] == labels[hard.cell][:-1]
    largest = [mapped.points.diff(dim=0).norm(dim=1)[same].max() for mapped in (hard, extended)]
    assert largest[1] < 0.2 * largest[0]


def test_rejecting_draws_again_until_nothing_is_near_the_singular_set(generator):
    solution, _, _ = solved(eight_gaussians, 200)
    assert SemidiscreteMap(solution, singular="reject").sample(500, generator).shape == (500, 2)


def two_modes(count):
    """Modes far apart: at equal distance, the score of the other mode is by far the lowest."""
    centres = torch.zeros(2, 8)
    centres[1, 0] = 30.0
    return centres, 0.3, torch.arange(count) % 2


@pytest.mark.parametrize("make", [eight_gaussians, clusters_in_32_dimensions, two_modes])
def test_the_rejected_points_are_those_from_which_a_short_step_ends_in_another_mode(make):
    solution, centres, labels = solved(make)
    extended, x = SemidiscreteMap(solution), source_points(centres.shape[1], 3000).double()
    mapped, step = extended(x), extended.band * extended.typical[0]
    atoms, potential = solution.problem.atoms.double(), solution.potential
    own, near = labels[mapped.cell], torch.zeros(len(x), dtype=torch.bool)
    scores = x @ atoms.T + potential
    for mode in range(len(centres)):
        best = scores.where(labels == mode, -torch.inf).argmax(1)
        towards = torch.nn.functional.normalize(atoms[best] - atoms[mapped.cell], dim=1)
        there = labels[((x + step * towards) @ atoms.T + potential).argmax(1)]
        near |= (there != own) & (own != mode)
    assert near.float().mean() > 0.01
    assert (mapped.rejected == near).float().mean() > 0.997
    assert not extended(x, find_rejected=False).rejected.any()


def test_shares_are_weights():
    solution, _, _ = solved(eight_gaussians, 200)
    shares = SemidiscreteMap(solution)(source_points(2, 1000)).shares
    assert torch.allclose(shares.sum(1), torch.ones(1000).double())
    assert (shares >= 0).all()
    assert (shares[:, 0] == shares.amax(1)).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_atoms_work_in_every_mode(count, generator):
    atoms = torch.randn(count, 3, generator=generator)
    problem = SemidiscreteProblem(GaussianSource(3), atoms)
    solution = SemidualSolver().solve(problem, generator)
    for mode in ("hard", "soft", "extended"):
        points = SemidiscreteMap(solution, mode).sample(10, generator)
        assert points.shape == (10, 3)
        assert torch.isfinite(points).all()


def test_blocks_do_not_change_the_map():
    solution, _, _ = solved(eight_gaussians, 200)
    x = source_points(2, 100)
    whole, parts = SemidiscreteMap(solution)(x), SemidiscreteMap(solution, batch=7)(x)
    assert torch.allclose(whole.points, parts.points)
    assert torch.equal(whole.rejected, parts.rejected)


def test_unknown_modes_are_named():
    solution, _, _ = solved(eight_gaussians, 16)
    with pytest.raises(InputError, match="got 'softest'"):
        SemidiscreteMap(solution, "softest")


@pytest.mark.parametrize("count", [1, 16])
@pytest.mark.parametrize("mode", ["hard", "soft", "extended"])
def test_points_that_are_no_numbers_of_the_source_are_refused(count, mode, generator):
    problem = SemidiscreteProblem(GaussianSource(3), torch.randn(count, 3, generator=generator))
    extended = SemidiscreteMap(SemidualSolver().solve(problem, generator), mode)
    x = torch.zeros(5, 3)
    x[1, 2], x[3, 0] = torch.nan, torch.inf
    with pytest.raises(InputError, match="2 of 5 points contain NaN"):
        extended(x)
    with pytest.raises(InputError, match=r"points must be \(n, 3\), got \(5, 2\)"):
        extended(x[:, :2])
    with pytest.raises(InputError, match="0 or more, got -3"):
        extended.sample(-3, generator)
    assert extended(x[:0]).points.shape == (0, 3)
