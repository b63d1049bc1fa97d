import torch

from pcgen.children.partners import FEW, find_partners
from tests.children.conftest import boxes, cube


def found(points, label, most=3, symmetry=None):
    if symmetry is None:
        symmetry = torch.zeros(len(points), 3, dtype=torch.bool)
    return find_partners(iter(cube(points).split(2)), torch.tensor(label), symmetry, most)


def letter(*cells: tuple[float, float, float]) -> torch.Tensor:
    """A cloud of small clusters within eight corners, so that its cube is [-1, 1]³."""
    corners = torch.tensor([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]).float()
    return torch.cat([corners.repeat(2, 1), torch.tensor(cells).repeat_interleave(16, 0)])


def test_the_nearest_fills_the_same_cells():
    points = torch.stack([
        letter((0.1, 0.1, 0.1), (0.6, 0.1, 0.1)),
        letter((0.1, -0.6, 0.6), (0.6, -0.6, 0.1)),
        letter((0.1, 0.1, 0.1), (0.6, 0.1, 0.6)),
    ])  # fmt: skip
    result = found(points, [0, 0, 0], 2)
    assert result.row[0].tolist() == [2, 1]
    assert result.row[2].tolist() == [0, 1]
    assert result.differing[0].tolist() == [2, 4]


def test_a_mirror_image_is_the_nearest_of_all():
    here = letter((0.6, 0.1, 0.1), (0.9, 0.6, 0.1))
    there = here * torch.tensor([-1.0, 1, 1])
    other = letter((0.1, 0.1, 0.1), (0.9, 0.6, 0.1))
    result = found(torch.stack([here, there, other]), [0, 0, 0], 2)
    assert result.row[0, 0] == 1
    assert result.mirror[0, 0]
    assert result.differing[0, 0] == 0


def test_partners_are_of_the_same_category():
    points, _ = boxes(12)
    label = [0] * 6 + [1] * 6
    result = found(points, label, 5)
    assert (result.row[:6] < 6).all()
    assert (result.row[6:] >= 6).all()
    assert all(row not in partners for row, partners in enumerate(result.row.tolist()))


def test_a_lone_shape_borrows_a_few_partners_from_other_categories():
    points, _ = boxes(9)
    result = found(points, [0, *[1] * 8], 7)
    assert result.counts.tolist() == [FEW - 1] + [7] * 8
    assert 0 not in result.row[1:].tolist()


def test_two_shapes_have_each_other():
    points, _ = boxes(2)
    assert found(points, [0, 0], 5).row.tolist() == [[1] + [-1] * 4, [0] + [-1] * 4]
    assert found(points, [0, 1], 5).counts.tolist() == [1, 1]


def test_partners_have_all_symmetries_of_a_shape():
    points, _ = boxes(8)
    symmetry = torch.zeros(8, 3, dtype=torch.bool)
    symmetry[:5, 0] = True
    symmetry[0, 2] = True  # no other has it: all are partners
    result = found(points, [0] * 8, 7, symmetry)
    assert result.counts.tolist() == [7, 4, 4, 4, 4, 7, 7, 7]
    assert (result.row[1:5, :4] < 5).all()
