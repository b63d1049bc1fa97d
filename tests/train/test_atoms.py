"""Variants of latents: whose code, and whose proportions."""

import torch

from pcgen.train.atoms import (
    LEAST_SHARE,
    STRETCH,
    Atoms,
    neighbours_of_other_shapes,
    recombined,
)


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


def four_shapes():
    codes = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    sizes = torch.arange(8.0).view(4, 2)
    return Atoms(
        z=torch.cat([codes, sizes], 1),
        row=torch.tensor([4, 5, 6, 7]),
        label=torch.tensor([0, 1] * 2),
    )


def test_a_variant_has_its_proportions_between_those_of_its_shape_and_a_near_one():
    atoms = four_shapes()
    made = recombined(atoms, atoms.z, 3, 1, 2, torch.Generator().manual_seed(0))
    assert torch.equal(made.z[:, 0], atoms.z[:, 0].repeat(3))
    own, other = atoms.z[:, 1:].repeat(3, 1), atoms.z[[1, 0, 3, 2], 1:].repeat(3, 1)
    share = ((made.z[:, 1:] - own) / (other - own)).mean(1)
    assert share.min() >= LEAST_SHARE - 5 * STRETCH
    assert share.max() <= 1 + 5 * STRETCH
    assert len(made.z.unique(dim=0)) == 12
    assert torch.equal(made.row, atoms.row.repeat(3))
    assert torch.equal(made.label, atoms.label.repeat(3))


def test_half_of_the_variants_have_the_code_of_the_mirror_image():
    atoms = four_shapes()
    image = atoms.z + 100
    made = recombined(atoms, image, 500, 1, 2, torch.Generator().manual_seed(0))
    flipped = made.z[:, 0] > 50
    assert torch.equal(made.z[:, 0], atoms.z[:, 0].repeat(500) + 100 * flipped)
    assert 0.46 < flipped.double().mean() < 0.54
    assert made.z[:, 1:].max() < 50  # a mirror image has the proportions of its shape


def test_a_lone_shape_keeps_its_code_and_nearly_its_proportions():
    z = torch.tensor([[0.3, 1.0, 2.0]])
    atoms = Atoms(z=z, row=torch.tensor([7]), label=torch.tensor([0]))
    made = recombined(atoms, z, 2, 12, 2, torch.Generator()).z
    assert torch.equal(made[:, 0], z[:, 0].repeat(2))
    assert torch.allclose(made, z.repeat(2, 1), atol=5 * STRETCH)


def test_a_least_change_lengthens_the_short_ones_towards_one_neighbour():
    atoms = four_shapes()  # neighbours differ by (2, 2): 1.4 to 2.8
    own = atoms.z[:, 1:].repeat(50, 1)
    changed = {
        least: recombined(atoms, atoms.z, 50, 2, 2, torch.Generator().manual_seed(0), least).z[
            :, 1:
        ]
        - own
        for least in (1e-9, 2.0)
    }
    was, size = (change.norm(dim=1) for change in changed.values())
    assert was.min() < 1.6 < 2.0 - 1e-5 < size.min()
    assert torch.allclose(size, was.clamp_min(2.0), atol=1e-5)
    assert torch.allclose(changed[2.0] / size[:, None], changed[1e-9] / was[:, None], atol=1e-4)
    for shape in range(4):
        unit = torch.nn.functional.normalize(changed[2.0].view(50, 4, 2)[:, shape], dim=1)
        assert (unit @ unit.T).min() > 0.9
