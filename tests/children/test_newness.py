import numpy as np
import pytest
import torch

from pcgen.children import newness
from pcgen.children.frames import cube, mirrored
from pcgen.children.newness import Yardstick
from pcgen.kernels.kdtree import chamfer_table
from tests.children.conftest import boxes


@pytest.fixture
def blobs():
    draw = torch.Generator().manual_seed(3)
    spots = 2 * torch.rand(12, 6, 3, generator=draw) - 1
    return spots.repeat(1, 50, 1) + 0.1 * torch.randn(12, 300, 3, generator=draw)


@pytest.mark.parametrize("frame", ["box", "cube"])
def test_a_copy_and_its_mirror_image_are_replays(blobs, frame):
    stick = Yardstick(blobs, frame)
    other_draw = blobs[:, 150:]
    for turned in (other_draw, other_draw * torch.tensor([-1.0, 1, 1])):
        found = stick.measure(turned)
        assert found.index.tolist() == list(range(12))
        assert found.replayed.mean() > 0.8


def test_a_stretched_copy_is_new_in_the_box_and_a_replay_in_the_cube(blobs):
    stretched = blobs[:, 150:] * torch.tensor([1.0, 0.4, 1.0])
    assert not Yardstick(blobs, "box").measure(stretched).replayed.any()
    assert Yardstick(blobs, "cube").measure(stretched).replayed.mean() > 0.8


def test_a_shape_left_out_is_compared_with_the_others(blobs):
    twice = torch.cat([blobs, blobs.flip(1)[:1]])
    found = Yardstick(twice, "box").leave_one_out(np.arange(13))
    assert found.index[0] == 12
    assert found.index[12] == 0
    assert found.replayed[[0, 12]].all()
    assert not found.replayed[1:12].any()


@pytest.mark.parametrize("native", [True, False])
def test_distances_are_those_of_the_whole_table(blobs, monkeypatch, native):
    monkeypatch.setattr(newness, "QUERIES", 5)
    monkeypatch.setattr("pcgen.kernels.backends.native_usable", lambda: native)
    queries = boxes(11, 150)[0]
    found = Yardstick(blobs, "cube").measure(queries)
    training, sides = cube(blobs)[:, :150], (cube(queries), mirrored(cube(queries)))
    table = np.minimum(*(chamfer_table(side.numpy(), training.numpy()) for side in sides))
    np.testing.assert_allclose(found.distance, table.min(1), rtol=1e-5)
    assert found.index.tolist() == table.argmin(1).tolist()


def test_the_search_without_a_compiler_finds_the_same(blobs, monkeypatch):
    fast = Yardstick(blobs, "box").leave_one_out(np.arange(12))
    monkeypatch.setattr("pcgen.kernels.backends.native_usable", lambda: False)
    slow = Yardstick(blobs, "box").leave_one_out(np.arange(12))
    assert fast.index.tolist() == slow.index.tolist()
    np.testing.assert_allclose(fast.distance, slow.distance, rtol=1e-4)


def test_a_lone_shape_is_infinitely_new():
    found = Yardstick(boxes(1, 100)[0], "box").leave_one_out(np.arange(1))
    assert np.isinf(found.distance).all()
    assert not found.replayed.any()
