import pytest
import torch

from pcgen.children.masks import KINDS, draw_masks


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_takes_the_share_that_was_asked_for(kind, generator):
    points = 2 * torch.rand(16, 1000, 3, generator=generator) - 1
    mask = draw_masks(points, (kind,), (0.25, 0.25), 1e-4, generator)
    assert mask.shape == (16, 1000)
    assert ((mask > 0.5).float().mean(1) - 0.75).abs().max() < 0.02


def test_a_symmetric_mask_treats_left_and_right_alike(generator):
    half = torch.rand(8, 300, 3, generator=generator)
    both = torch.cat([half, half * torch.tensor([-1.0, 1, 1])], 1)
    left, right = draw_masks(both, ("symmetric",), (0.2, 0.8), 0.1, generator).chunk(2, 1)
    assert torch.allclose(left, right)


def test_steps_are_mostly_upwards(generator):
    points = 2 * torch.rand(200, 400, 3, generator=generator) - 1
    mask = draw_masks(points, ("step",), (0.5, 0.5), 0.1, generator)
    along = (mask[..., None] * points).mean(1).abs().mean(0)
    assert along[1] > 1.5 * along[0]
    assert along[1] > 1.5 * along[2]
