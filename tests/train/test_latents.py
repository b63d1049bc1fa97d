"""Latents between shapes: near, and of another shape."""

import torch

from pcgen.train.latents import Atoms, blended, neighbours_of_other_shapes


def atoms_of(points, rows):
    z = torch.tensor(points, dtype=torch.float32)[:, None]
    return Atoms(z=z, row=torch.tensor(rows), label=torch.zeros(len(rows), dtype=torch.int64))


def test_partners_are_the_nearest_atoms_of_other_shapes():
    atoms = atoms_of([0.0, 0.1, 1.0, 1.1, 5.0], [7, 7, 3, 3, 9])
    assert neighbours_of_other_shapes(atoms, 2).tolist() == [[2, 3], [2, 3], [1, 0], [1, 0], [3, 2]]


def test_a_lone_shape_is_its_own_partner():
    atoms = atoms_of([0.0, 0.1], [7, 7])
    for row, partners in enumerate(neighbours_of_other_shapes(atoms, 3).tolist()):
        assert set(partners) == {row}


def test_a_blend_lies_between_its_shape_and_the_middle_to_another():
    atoms = atoms_of([0.0, 1.0, 10.0], [7, 3, 9])
    more = blended(atoms, 500, 1, torch.Generator().manual_seed(0))
    assert len(more.z) == 503
    position, row = more.z[3:, 0], more.row[3:]
    assert position[row == 7].min() >= 0
    assert 0.4 < position[row == 7].max() <= 0.5
    assert 0.5 <= position[row == 3].min() < 0.6
    assert 5.5 <= position[row == 9].min() < 6


def test_no_blends_leave_the_atoms_alone():
    atoms = atoms_of([0.0, 1.0], [7, 3])
    assert blended(atoms, 0, 1, torch.Generator()) is atoms
