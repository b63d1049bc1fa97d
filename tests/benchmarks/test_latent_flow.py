"""The measure tells a transport that was learned from pairs that were memorised."""

import torch

from pcgen.flow.networks import LatentFlowNetwork
from pcgen.train.loop import LoopSettings
from tests.benchmarks.latent_flow import describe, fitted, left


def after_training(end_of, pairs):
    draw = torch.Generator().manual_seed(0)
    start, other = torch.randn(pairs, 8, generator=draw), torch.randn(500, 8, generator=draw)
    loop = LoopSettings(steps=200, batch=64, rate=3e-3, average=0.9)
    seen = start, end_of(start, draw)
    torch.manual_seed(0)
    network = LatentFlowNetwork(8, 64, 1)
    *_, (number, flow) = fitted(network, seen, loop, 0.0, seed=0)
    assert number == 200
    return left(flow, seen), left(flow, (other, end_of(other, draw)))


def test_a_shift_is_learned_for_other_points_too():
    assert max(after_training(lambda x, _: x + 1, pairs=1000)) < 0.05


def test_random_ends_of_few_points_are_memorised():
    seen, new = after_training(lambda x, draw: x + torch.randn(x.shape, generator=draw), pairs=8)
    assert seen < 0.3
    assert new > 1


def test_a_line_has_the_number_of_pairs_and_both_distances():
    lines = describe([{"pool": 32, "step": 4, "seen": 0.5, "new": 1.25}]).splitlines()
    assert lines[1].split() == ["32", "4", "0.500", "1.250"]
