"""The student is exact at t = s, and the true characteristics minimise its loss."""

import pytest
import torch

from pcgen.errors import InputError
from pcgen.flow.characteristic import (
    StudentSettings,
    characteristic_map,
    matching_loss,
    semigroup_loss,
    velocity_of,
)
from pcgen.flow.integrate import trajectory
from pcgen.flow.networks import LatentFlowNetwork


def exact_slope(x, t, s):
    """Characteristics of x(t) = (1 + 2t) x(0); on the diagonal their velocity."""
    scale = (1 + 2 * t)[:, None]
    return 2 * x / scale


def test_the_jump_is_exactly_the_identity_where_both_times_agree(generator):
    network = LatentFlowNetwork(4, 32, 2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    x, t = torch.randn(10, 4, generator=generator), torch.rand(10, generator=generator)
    assert torch.equal(characteristic_map(network, x, t, t), x)


def test_the_semigroup_loss_of_exact_characteristics_is_the_teachers_step_error(generator):
    x = torch.randn(512, 2, generator=generator)
    loss = semigroup_loss(
        exact_slope, exact_slope, exact_slope, x, 3 * x, StudentSettings(grid=64), generator
    )
    assert loss < 1e-6


def test_the_semigroup_loss_of_a_wrong_student_is_positive(generator):
    x = torch.randn(512, 2, generator=generator)
    loss = semigroup_loss(
        lambda x, t, s: torch.zeros_like(x),
        exact_slope,
        exact_slope,
        x,
        3 * x,
        StudentSettings(),
        generator,
    )
    assert loss > 0.5


def test_base_and_data_that_are_no_pairs_are_refused(generator):
    start, end = torch.zeros(8, 2), torch.zeros(1, 2)
    with pytest.raises(InputError, match="same shape"):
        matching_loss(exact_slope, start, end, generator)
    settings = StudentSettings()
    with pytest.raises(InputError, match="same shape"):
        semigroup_loss(exact_slope, exact_slope, exact_slope, start, end, settings, generator)


def test_teacher_then_student_learn_a_gaussian_flow_in_one_step(generator):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LatentFlowNetwork(1, 64, 1)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(400):
        x = torch.randn(256, 1, generator=generator)
        loss = matching_loss(network, x, 3 * x + 1, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x = torch.linspace(-1.5, 1.5, 31)[:, None]
    *_, end = trajectory(velocity_of(network), x, steps=20, method="heun")
    assert (end - (3 * x + 1)).abs().max() < 0.25


def test_a_teacher_is_a_valid_start_for_its_student(generator):
    """The features of s − t vanish on the diagonal, so their weights have no effect."""
    network = LatentFlowNetwork(3, 16, 1)
    x, t = torch.randn(4, 3, generator=generator), torch.rand(4, generator=generator)
    before = network(x, t, t)
    with torch.no_grad():
        network.enter.weight[:, 3 + 7 : 3 + 11] += 5.0
    assert torch.equal(network(x, t, t), before)
