"""Stratified sampling: no cell exceeds its share, marginals are exact, and it terminates."""

import torch

from pcgen.transport import StratifiedSampler
from pcgen.transport.maps.stratified import PATIENCE


def first_kept(mass, count, generator, groups=None):
    visits, kept = StratifiedSampler(mass, groups), []
    while len(kept) < count:
        cells = torch.multinomial(mass, 64, replacement=True, generator=generator)
        kept += cells[visits.keep(cells)].tolist()
    return kept[:count]


def test_a_small_set_meets_no_cell_twice(generator):
    kept = first_kept(torch.full((100,), 0.01), 50, generator)
    assert len(set(kept)) == 50


def test_cells_get_their_mass_rounded_up(generator):
    mass = torch.tensor([0.5, 0.3, 0.2])
    kept = torch.tensor(first_kept(mass, 300, generator))
    counts = torch.bincount(kept, minlength=3)
    assert (counts <= 1 + 300 * mass).all()
    assert (counts > 300 * mass - 3).all()


def test_a_small_set_meets_no_group_twice_where_cells_have_two(generator):
    pair = 100 + torch.randperm(100, generator=generator) // 2
    groups = torch.stack([torch.arange(100), pair], 1)
    kept = first_kept(torch.full((100,), 0.01), 25, generator, groups)
    assert len(groups[kept].unique()) == 50


def test_a_group_that_a_cell_names_twice_counts_once(generator):
    groups = torch.tensor([[0, 0], [1, 2]])
    kept = first_kept(torch.tensor([0.5, 0.5]), 100, generator, groups)
    assert kept.count(0) == 50


def test_a_group_of_all_cells_is_never_full(generator):
    for cells in range(2, 60):  # many of these masses add up to a little less than one
        mass = torch.rand(cells, generator=generator)
        groups = torch.zeros(cells, 1, dtype=torch.int64)
        assert len(StratifiedSampler(mass, groups).keep(torch.arange(cells))) == cells


def test_every_place_in_a_set_keeps_the_law_of_the_source(generator):
    cells, sets, size = 8, 4000, 3
    mass = torch.full((cells,), 1 / cells)
    pairs = torch.stack([torch.arange(cells), (torch.arange(cells) + 1) % cells], 1)
    table = torch.zeros(size, cells)
    for _ in range(sets):
        for place, group in enumerate(first_kept(mass, size, generator, pairs)):
            table[place, group] += 1
    expected = sets / cells
    chi2 = ((table - expected).square() / expected).sum(1)
    assert (chi2 < 24).all()  # 7 degrees of freedom: one in a thousand


def test_a_set_goes_on_with_what_a_shorter_one_began(generator):
    mass = torch.rand(20, generator=generator)
    short, long = (first_kept(mass, count, torch.Generator().manual_seed(5)) for count in (7, 30))
    assert long[:7] == short


def test_a_source_that_meets_one_cell_only_is_not_waited_for():
    visits = StratifiedSampler(torch.full((1000,), 0.001))
    cells = torch.zeros(5 * (PATIENCE + 1), dtype=torch.int64)
    assert len(visits.keep(cells)) == 5
