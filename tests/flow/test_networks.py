"""The receptive field of a point of a cloud."""

import dataclasses

import pytest
import torch
from scipy.spatial import cKDTree

from pcgen.flow import networks
from pcgen.flow.networks import (
    TIME_FEATURES,
    BoundPointFlow,
    LatentFlowNetwork,
    PointCondition,
    PointFlowNetwork,
    gather_rows,
    time_features,
)
from pcgen.latent.autoencoder import LocalCodes
from pcgen.latent.mixture import MixtureBatch, MixtureSamples
from pcgen.train.execution import Execution

CODE, K = 5, 6


def condition_of(points, generator, neighbours=K, parts=4):
    """Conditions of clouds with random components, codes and patches."""
    batch, n, dim = points.shape
    mixture = MixtureBatch(
        torch.randn(batch, parts, dim, generator=generator),
        torch.randn(batch, parts, dim, dim, generator=generator),
        torch.zeros(batch, parts).log_softmax(1),
        0.01,
    )
    part = torch.randint(parts, (batch, n), generator=generator)
    local = LocalCodes(
        torch.randn(batch, n, CODE, generator=generator),
        torch.randn(batch, n, dim, generator=generator),
        torch.rand(batch, dim, generator=generator) + 0.5,
    )
    start = MixtureSamples(points, part, torch.zeros_like(points))
    return PointCondition.of(mixture, start, local, neighbours)


def network(dim=3, blocks=2, code=CODE):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        slope = PointFlowNetwork(dim, code, 16, blocks)
        for parameter in slope.parameters():  # some are zero before training
            torch.nn.init.normal_(parameter, std=0.3)
        return slope.requires_grad_(False)


def times(batch):
    return torch.full((batch,), 0.3), torch.full((batch,), 0.7)


@pytest.mark.parametrize("dim", [2, 3])
def test_points_are_moved_alike_in_any_order(dim, generator):
    x = torch.randn(2, 80, dim, generator=generator)
    condition, slope = condition_of(x, generator), network(dim)
    order = torch.randperm(80, generator=generator)
    back = order.argsort()
    shuffled = dataclasses.replace(
        condition,
        near=back[condition.near[:, order]],
        **{k: getattr(condition, k)[:, order] for k in ("centre", "factor", "code", "mean")},
    )
    expected = slope.velocity_and_normal(x, *times(2), condition)
    found = slope.velocity_and_normal(x[:, order], *times(2), shuffled)
    for values, wanted in zip(found, expected, strict=True):
        assert torch.allclose(values, wanted[:, order], atol=1e-5)
        assert wanted.std() > 1e-3  # or nothing would have been compared


def test_neighbours_of_shuffled_points_are_the_same_points(generator):
    x = torch.randn(1, 80, 3, generator=generator)
    order = torch.randperm(80, generator=generator)
    near = condition_of(x, generator).near
    assert torch.equal(order[condition_of(x[:, order], generator).near], near[:, order])


@pytest.mark.parametrize("offset", [(1.0, -3.0, 0.5)])
def test_a_moved_cloud_is_moved_alike(offset, generator):
    x, offset = torch.randn(2, 60, 3, generator=generator), torch.tensor(offset)
    condition, slope = condition_of(x, generator), network()
    moved = dataclasses.replace(
        condition, centre=condition.centre + offset, mean=condition.mean + offset
    )
    expected = slope.velocity_and_normal(x, *times(2), condition)
    found = slope.velocity_and_normal(x + offset, *times(2), moved)
    for values, wanted in zip(found, expected, strict=True):
        assert torch.allclose(values, wanted, atol=1e-4)


def hops(near, start, count):
    """All points within a number of steps on the graph."""
    reached = {start}
    for _ in range(count):
        reached |= {int(k) for point in reached for k in near[point]}
    return reached


@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
def test_the_field_of_view_is_one_hop_more_than_there_are_blocks(blocks, generator):
    x = torch.randn(1, 300, 3, generator=generator)
    condition, slope = condition_of(x, generator, neighbours=4), network(blocks=blocks)
    expected = slope(x, *times(1), condition)[0]
    seen = [hops(condition.near[0], point, blocks + 1) for point in range(300)]
    for moved in range(0, 300, 60):
        other = x.clone()
        other[0, moved] += 0.3
        change = (slope(other, *times(1), condition)[0] - expected).abs().amax(1)
        sees = torch.tensor([moved in view for view in seen])
        assert 0 < int(sees.sum()) < 300
        assert torch.equal(change > 0, sees)


def test_the_code_of_a_far_patch_changes_nothing(generator):
    x = torch.randn(1, 300, 3, generator=generator)
    condition, slope = condition_of(x, generator, neighbours=4), network()
    expected = slope(x, *times(1), condition)[0]
    for name in ("code", "centre", "mean", "factor"):
        values = getattr(condition, name).clone()
        values[0, 17] += 1
        other = dataclasses.replace(condition, **{name: values})
        change = (slope(x, *times(1), other)[0] - expected).abs().flatten(1).amax(1)
        # The network mixes what points know of themselves after the first hop.
        sees = torch.tensor([17 in hops(condition.near[0], point, 2) for point in range(300)])
        assert change[17] > 0, name
        assert float(change[~sees].max()) == 0, name


@pytest.mark.parametrize("dim", [2, 3])
def test_neighbours_are_those_of_a_tree(dim, generator):
    x = torch.randn(3, 200, dim, generator=generator)
    condition = condition_of(x, generator)
    for cloud, near, scale in zip(x, condition.near, condition.scale, strict=True):
        distance, index = cKDTree(cloud.numpy()).query(cloud.numpy(), k=K + 1)
        assert torch.equal(near, torch.from_numpy(index[:, 1:]))
        assert float(scale) == pytest.approx(float(distance[:, 1:].mean()), rel=1e-4)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_points_have_as_many_neighbours_as_there_are(count, generator):
    x = torch.randn(2, count, 3, generator=generator)
    condition = condition_of(x, generator)
    assert condition.near.shape == (2, count, max(1, count - 1))
    assert all(
        torch.isfinite(y).all() for y in network().velocity_and_normal(x, *times(2), condition)
    )


def test_equal_points_have_finite_slopes(generator):
    x = torch.zeros(1, 20, 3)
    assert torch.isfinite(network()(x, *times(1), condition_of(x, generator))).all()


def test_a_condition_is_indexed_by_shapes(generator):
    x = torch.randn(4, 50, 3, generator=generator)
    condition, slope = condition_of(x, generator), network()
    rows = torch.tensor([2, 0])
    expected = slope(x, *times(4), condition)[rows]
    assert torch.allclose(slope(x[rows], *times(2), condition[rows]), expected, atol=1e-5)


def test_a_new_network_moves_nothing(generator):
    x = torch.randn(2, 30, 3, generator=generator)
    slope = PointFlowNetwork(3, CODE, 8, 1)
    assert (slope(x, *times(2), condition_of(x, generator)) == 0).all()


def test_forgotten_normals_are_zero(generator):
    x = torch.randn(2, 30, 3, generator=generator)
    slope = network()
    slope.forget_normals()
    bound = BoundPointFlow(slope, condition_of(x, generator))
    assert bound(x, *times(2)).abs().max() > 0
    assert (bound.normal == 0).all()


def test_velocities_scale_with_the_cloud(generator):
    """A smaller shape with smaller patches is corrected by smaller steps."""
    x = torch.randn(1, 60, 3, generator=generator)
    condition, slope = condition_of(x, generator), network()
    half = dataclasses.replace(
        condition, scale=condition.scale / 2, centre=condition.centre / 2,
        factor=condition.factor / 2, mean=x / 2,
    )  # fmt: skip
    full = dataclasses.replace(condition, mean=x)
    expected = slope(x, *times(1), full)
    assert torch.allclose(slope(x / 2, *times(1), half), expected / 2, atol=1e-5)


def test_rows_are_gathered(generator):
    values = torch.randn(2, 7, 3, generator=generator)
    index = torch.randint(7, (2, 5, 4), generator=generator)
    found = gather_rows(values, index)
    for b in range(2):
        assert torch.equal(found[b], values[b][index[b]])


def test_features_of_the_length_of_a_jump_vanish_with_it():
    t = torch.rand(9, generator=torch.Generator().manual_seed(0))
    features = time_features(t, t)
    assert features.shape == (9, TIME_FEATURES)
    assert (features[:, 7:] == 0).all()
    assert torch.equal(time_features(t, t + 0.2)[:, :7], features[:, :7])


def test_a_label_changes_the_slope_of_latents(generator):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        slope = LatentFlowNetwork(4, 16, 1, classes=2)
        torch.nn.init.normal_(slope.leave.weight)
    x = torch.randn(1, 4, generator=generator).expand(2, -1)
    one, other = slope(x, *times(2), torch.eye(2))
    assert not torch.allclose(one, other)


def test_the_latent_flow_gives_the_numbers_and_gradients_of_plain_layers(generator, monkeypatch):
    """Which library multiplies on the CPU changes the last bits only; bfloat16 goes round it."""
    torch.manual_seed(0)
    slope = LatentFlowNetwork(5, 70, 2)
    for parameter in slope.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x, (t, s) = torch.randn(9, 5, generator=generator), times(9)

    def evaluated():
        with torch.autograd.profiler.profile() as seen:
            value = slope(x, t, s)
        gradients = torch.autograd.grad(value.square().sum(), list(slope.parameters()))
        return [value.detach(), *gradients], {event.name for event in seen.function_events}

    ours, seen = evaluated()
    with Execution(precision="bfloat16").rounding():
        (rounded, *_), _ = evaluated()
    if networks.ONE_DNN:
        assert "aten::mkldnn_linear" in seen
    monkeypatch.setattr(networks, "ONE_DNN", False)
    plain, seen = evaluated()
    assert "aten::mkldnn_linear" not in seen
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))
    with Execution(precision="bfloat16").rounding():
        (expected, *_), _ = evaluated()
    torch.testing.assert_close(rounded, expected, rtol=1e-4, atol=1e-4)
    assert not torch.equal(expected, plain[0])
