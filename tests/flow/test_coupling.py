"""Bijections between clouds agree with a small exact case; projections onto surfaces."""

import itertools

import pytest
import torch

from pcgen.errors import InputError
from pcgen.flow.coupling import METHODS, match_points, project_to_surface, surface_targets


def test_the_exact_matching_is_the_cheapest_of_all_permutations(generator):
    a, b = torch.randn(6, 2, generator=generator), torch.randn(6, 2, generator=generator)
    index = match_points(a, b, method="exact")
    cost = (a - b[index]).square().sum()
    best = min((a - b[list(order)]).square().sum() for order in itertools.permutations(range(6)))
    assert torch.allclose(cost, best)


@pytest.mark.parametrize("method", ["exact", "bsp", "none"])
def test_every_matching_is_a_bijection(method, generator):
    a, b = torch.randn(64, 3, generator=generator), torch.randn(64, 3, generator=generator)
    assert sorted(match_points(a, b, method=method).tolist()) == list(range(64))


def test_clouds_of_different_sizes_are_refused():
    with pytest.raises(InputError, match="must both be"):
        match_points(torch.zeros(3, 2), torch.zeros(4, 2))


def test_the_nearest_matching_projects_onto_a_denser_cloud(generator):
    a, b = torch.randn(20, 3, generator=generator), torch.randn(500, 3, generator=generator)
    index = match_points(a, b, method="nearest")
    assert torch.equal(index, torch.cdist(a, b).argmin(1))


@pytest.mark.parametrize("method", ["nearest", "exact", "bsp", "none"])
def test_points_that_are_no_numbers_are_refused(method):
    a, broken = torch.zeros(4, 3), torch.zeros(4, 3)
    broken[2, 1] = torch.nan
    with pytest.raises(InputError, match="the start points contain NaN"):
        match_points(broken, a, method=method)
    with pytest.raises(InputError, match="the end points contain NaN"):
        match_points(a, broken, method=method)


def test_nothing_cannot_be_the_nearest():
    with pytest.raises(InputError, match="no end points"):
        match_points(torch.zeros(4, 3), torch.zeros(0, 3), method="nearest")


def square(generator, count=20_000):
    """Points of the square [-1, 1]² at height 0.5 and normals, of either sign."""
    points = torch.rand(count, 3, generator=generator) * 2 - 1
    points[:, 1] = 0.5
    normals = torch.zeros(count, 3)
    normals[:, 1] = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    return points, normals


def test_points_above_a_plane_fall_straight_onto_it(generator):
    surface, normals = square(generator)
    start = torch.rand(300, 3, generator=generator) * 1.8 - 0.9
    start[:, 1] = 0.5 + 0.02 * torch.randn(300, generator=generator)
    end, facing = project_to_surface(start, surface, normals)
    foot = start.clone()
    foot[:, 1] = 0.5
    # To the point below it, and not to one of the finitely many points nearby, 0.008 away; but
    # for the few that lie in the largest gaps between these, which pass for a border.
    aside = (end - foot).norm(dim=1)
    assert (aside < 1e-6).float().mean() > 0.85
    assert aside.max() < 0.015
    assert (end[:, 1] - 0.5).abs().max() < 1e-6
    assert torch.equal(facing.abs(), torch.tensor([0.0, 1.0, 0.0]).expand(300, -1))


def test_points_beyond_the_border_are_pulled_to_it(generator):
    surface, normals = square(generator)
    start = torch.tensor([[1.5, 0.5, 0.0], [1.5, 0.6, 0.0], [0.0, 0.5, -3.0]])
    end, _ = project_to_surface(start, surface, normals)
    border = torch.tensor([[1.0, 0.5, 0.0], [1.0, 0.5, 0.0], [0.0, 0.5, -1.0]])
    assert torch.allclose(end, border, atol=0.05)
    assert (end[:, 1] == 0.5).all()


def test_a_point_of_the_surface_stays(generator):
    surface, normals = square(generator, 500)
    assert torch.allclose(
        project_to_surface(surface[:50], surface, normals)[0], surface[:50], atol=1e-6
    )


def test_without_normals_a_few_surface_points_are_averaged(generator):
    surface, _ = square(generator, 500)
    start = torch.rand(20, 3, generator=generator)
    nearest = torch.cdist(start, surface).topk(4, largest=False).indices
    end, facing = project_to_surface(start, surface, None)
    assert torch.allclose(end, surface[nearest].mean(1), atol=1e-6)
    assert facing is None


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("told", [True, False])
def test_a_surface_of_few_points_is_one(count, told, generator):
    surface, normals = square(generator, count)
    start = torch.rand(6, 3, generator=generator)
    end, _ = project_to_surface(start, surface, normals if told else None)
    assert torch.isfinite(end).all()
    assert torch.allclose(end[:, 1], torch.full((6,), 0.5))


def test_equal_surface_points_are_a_point(generator):
    surface, normals = torch.zeros(9, 3), torch.eye(3)[[1] * 9]
    end, _ = project_to_surface(torch.rand(5, 3, generator=generator), surface, normals)
    assert torch.allclose(end, torch.zeros(5, 3), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_targets_and_their_normals(method, generator):
    surface, normals = square(generator, 400)
    start = torch.rand(64, 3, generator=generator)
    end, facing = surface_targets(start, surface, normals, method, seed=1)
    assert end.shape == facing.shape == (64, 3)
    assert torch.allclose(end[:, 1], torch.full((64,), 0.5))
    assert surface_targets(start, surface, None, method)[1] is None
    if method in ("exact", "bsp", "none"):  # bijections: no surface point twice
        assert len(torch.unique(end, dim=0)) == 64


def test_an_unknown_method_lists_the_known_ones(generator):
    with pytest.raises(InputError, match="nearest"):
        surface_targets(torch.zeros(4, 3), torch.zeros(4, 3), None, "magic")
