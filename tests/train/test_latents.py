"""Variants of latents: whose code, and whose proportions."""

import torch

from pcgen.train.latents import STRETCH, Atoms, neighbours_of_other_shapes, recombined


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


def test_a_variant_has_the_code_of_one_shape_and_the_proportions_of_a_near_one():
    codes = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    sizes = torch.arange(8.0).view(4, 2)
    atoms = Atoms(
        z=torch.cat([codes, sizes], 1),
        row=torch.tensor([4, 5, 6, 7]),
        label=torch.tensor([0, 1] * 2),
    )
    made = recombined(atoms, 3, 1, 2, torch.Generator().manual_seed(0))
    assert torch.equal(made.z[:, 0], codes[:, 0].repeat(3))
    taken = sizes[[1, 0, 3, 2]].repeat(3, 1)
    assert torch.allclose(made.z[:, 1:], taken, atol=5 * STRETCH)
    assert len(made.z.unique(dim=0)) == 12
    assert torch.equal(made.row, atoms.row.repeat(3))
    assert torch.equal(made.label, atoms.label.repeat(3))


def test_a_lone_shape_keeps_its_code_and_nearly_its_proportions():
    z = torch.tensor([[0.3, 1.0, 2.0]])
    atoms = Atoms(z=z, row=torch.tensor([7]), label=torch.tensor([0]))
    made = recombined(atoms, 2, 12, 2, torch.Generator()).z
    assert torch.equal(made[:, 0], z[:, 0].repeat(2))
    assert torch.allclose(made, z.repeat(2, 1), atol=5 * STRETCH)
