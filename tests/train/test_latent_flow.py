"""Blending partners: near, and of another shape."""

import torch

from pcgen.train.latent_flow import neighbours_of_other_shapes
from pcgen.train.latents import Atoms


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
