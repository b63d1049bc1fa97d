"""Children of shapes that equal their mirror images."""

import pytest
import torch

from pcgen.children import BlendSettings
from pcgen.children.clouds import Clouds
from pcgen.children.drawing import Children, MatchedClouds
from pcgen.children.frames import Stretch
from pcgen.distances.novelty import two_draw_distances
from pcgen.distances.tables import Work
from tests.children.conftest import build

NEAR = BlendSettings(partners=4)


def roofs(count: int, n: int = 512) -> torch.Tensor:
    """Curved roofs that equal their mirror images in x alone, in random order of the points."""
    draw = torch.Generator().manual_seed(1)
    x, z = 2 * torch.rand(2, count, n, generator=draw) - 1
    bend = 0.5 + torch.rand(count, 1, generator=draw)
    return torch.stack([x, (1 - x.abs() ** bend) * (1.5 + z) - 0.5, z], -1)


def mirror_ratio(points: torch.Tensor) -> float:
    """The distance of clouds to their mirror images, relative to that of two samplings."""
    first, second = (points[:, k::2].contiguous().numpy() for k in (0, 1))
    same = two_draw_distances(first, second, Work())
    second = second * [-1, 1, 1]
    return float((two_draw_distances(first, second.astype("f4"), Work()) / same).mean())


def test_symmetries_are_found_along_each_axis():
    points = roofs(3)
    points[1, :, 1] += 0.3 * points[1, :, 0]
    symmetry = Clouds.of(points, None, torch.zeros(3).long()).symmetry
    assert symmetry.tolist() == [[True, False, False], [False] * 3, [True, False, False]]


@pytest.mark.parametrize("kind", ["step", "ball"])
def test_children_of_symmetric_shapes_are_symmetric(tmp_path, generator, kind):
    points = roofs(6)
    settings = BlendSettings(partners=4, kinds=(kind,))
    child = build(points, tmp_path).draw(32, 256, generator, settings).points
    assert mirror_ratio(child) < 1.1 * mirror_ratio(points)


def test_children_name_the_symmetries_of_both_parents(tmp_path, generator):
    points = roofs(8)
    points[:3, :, 1] += 0.3 * points[:3, :, 0]
    children = build(points, tmp_path).of_shapes(torch.arange(8).repeat(20), 32, generator, NEAR)
    both = (children.parent >= 3).all(1)
    assert both.any()
    assert not both.all()
    assert torch.equal(children.symmetry[:, 0], both)
    assert not children.symmetry[:, 1:].any()


def test_matched_points_are_on_the_same_side_of_a_plane_of_symmetry(generator):
    x, y = 2 * torch.rand(2, 2, 100, 3, generator=generator) - 1
    still = Stretch(torch.zeros(2, 3), torch.ones(2, 3))
    folded = torch.tensor([[True, False, True], [False] * 3])
    pairs = MatchedClouds((x, y), None, (still, still), folded[:, 1], folded)
    own, its = pairs.in_cube()
    assert torch.equal(own, x)
    assert torch.equal(its[1], y[1])
    assert torch.equal(its[0].sign(), torch.where(folded[0], x[0], y[0]).sign())
    assert torch.equal(its[0].abs(), y[0].abs())
    assert torch.equal(pairs.fold(x)[0].sign(), torch.where(folded[0], 1.0, x[0].sign()))


def test_normals_are_mirrored_with_their_points(tmp_path, generator):
    points = roofs(6)
    slope = torch.tensor([0.8, 0.6, 0.0])
    normals = torch.where(points[..., :1] < 0, slope * slope.new_tensor([-1, 1, 1]), slope)
    child = build(points, tmp_path, normals=normals).draw(32, 256, generator, NEAR)
    side = child.points[..., 0] * child.normals[..., 0] * child.normals[..., 1]
    assert (side > 0).float().mean() > 0.99  # but for a few about the middle


def test_a_symmetric_shape_has_children_with_symmetric_partners_only(tmp_path, generator):
    points = roofs(8)
    points[:3, :, 1] += 0.3 * points[:3, :, 0]
    maps = build(points, tmp_path)
    rows = torch.arange(8).repeat(20)
    parent = maps.of_shapes(rows, 32, generator, NEAR).parent
    first, second = parent.T
    assert (second[first >= 3] >= 3).all()
    assert (second[first < 3] >= 3).any()


def test_mirror_images_are_of_one_axis_of_symmetry_and_follow_the_points(generator):
    points = torch.rand(4, 10, 3, generator=generator)
    symmetry = torch.tensor([[True, False, False], [False, True, True], [False] * 3, [True] * 3])
    nothing = torch.zeros(4, 2)
    parent, number = nothing.long(), nothing[:, 0].long()
    children = Children(points, None, parent, nothing.bool(), symmetry, number)
    doubled = children.with_mirror_images()
    assert torch.equal(doubled[:, :10], points)
    signs = torch.tensor([[-1, 1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    assert torch.equal(doubled[:, 10:], points * signs[:, None])
