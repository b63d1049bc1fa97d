import torch

from pcgen.children.frames import Stretch
from pcgen.shapes.normalise import FLAT, proportion_free


def cube(points):
    return Stretch.of(points).cube(points)


def test_the_cube_is_that_of_novelty(generator):
    x = torch.randn(3, 50, 3, generator=generator) * torch.tensor([1.0, 3.0, 0.02])
    assert torch.allclose(cube(x), torch.from_numpy(proportion_free(x.numpy())), atol=1e-5)


def test_a_stretched_copy_falls_onto_its_original(generator):
    x = 2 * torch.rand(2, 50, 3, generator=generator) - 1
    stretched = x * torch.tensor([1.0, 3.0, 0.4]) + 5
    assert torch.allclose(cube(x), cube(stretched), atol=1e-5)
    assert torch.allclose(cube(x).amax(1), torch.ones(2, 3))


def test_a_flat_axis_is_not_stretched_to_the_cube(generator):
    x = torch.randn(1, 50, 3, generator=generator)
    x[..., 2] = 0
    assert (cube(x)[..., 2] == 0).all()
    thin = x + 1e-3 * torch.randn(1, 50, 3, generator=generator)
    assert cube(thin)[..., 2].abs().max() < 0.1
    assert float(Stretch.of(thin).proportions[0, 2]) == torch.tensor(FLAT)


def test_normals_stay_at_right_angles_to_a_stretched_plane(generator):
    along = torch.randn(1, 40, 2, generator=generator)
    plane = torch.stack([along[..., 0], along[..., 1], along[..., 0] + 2 * along[..., 1]], 2)
    normal = torch.nn.functional.normalize(torch.tensor([-1.0, -2.0, 1.0]), dim=0)
    stretch = Stretch.of(plane * torch.tensor([1.0, 1.0, 0.3]))
    before = torch.nn.functional.normalize(normal / torch.tensor([1.0, 1.0, 0.3]), dim=0)
    moved = stretch.cube(plane * torch.tensor([1.0, 1.0, 0.3]))
    turned = stretch.cube_normals(before.expand(1, 40, 3))
    edges = moved - moved[:, :1]
    assert (edges * turned).sum(2).abs().max() < 1e-5
