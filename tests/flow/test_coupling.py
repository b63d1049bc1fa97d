"""Bijections between clouds, against an exact small case."""

import itertools

import pytest
import torch

from pcgen.errors import InputError
from pcgen.flow.coupling import match_points


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
    with pytest.raises(InputError, match="the start points hold NaN"):
        match_points(broken, a, method=method)
    with pytest.raises(InputError, match="the end points hold NaN"):
        match_points(a, broken, method=method)


def test_nothing_cannot_be_the_nearest():
    with pytest.raises(InputError, match="no end points"):
        match_points(torch.zeros(4, 3), torch.zeros(0, 3), method="nearest")
