"""Among very many atoms the extended map searches for cells and neighbours, and finds most."""

import pytest
import torch

from pcgen import kernels
from pcgen.kernels import backends
from pcgen.transport import GaussianSource, SemidiscreteMap, SemidiscreteProblem, SemidualSolver
from pcgen.transport.maps.best_cells import FOUND, BestCells
from pcgen.transport.stochastic.search import tree
from pcgen.transport.stochastic.search.tree import BlockTree
from tests.transport.stochastic import manifold
from tests.transport.stochastic.manifold import draw

pytestmark = pytest.mark.skipif(not backends.native_usable(), reason="no C compiler")


@pytest.fixture(scope="module")
def solution():
    problem = SemidiscreteProblem(GaussianSource(24), manifold.curved(6000, 24, inner=4))
    return SemidualSolver(tolerance=0.5).solve(problem, draw(0))


def test_a_map_that_searches_is_nearly_the_one_by_all_scores(solution, monkeypatch):
    x = GaussianSource(24).sample(2000, draw(1))
    every = SemidiscreteMap(solution)
    assert not every.searches
    wanted, scales = every(x), every.local_scale
    monkeypatch.setattr(tree, "SEARCH_FROM", 5000)
    found = SemidiscreteMap(solution)
    assert found.searches
    assert found._best.beams
    monkeypatch.setattr("pcgen.transport.potential.UpperEnvelope.cells", None)  # not all scores
    same = (found(x, find_rejected=False).points - wanted.points).norm(dim=1) < 1e-3
    assert 0.8 < same.double().mean() < 1
    assert torch.equal(found(x[:300], find_rejected=False).cell, found(x).cell[:300])
    assert (found.local_scale == scales).double().mean() > 0.9


def test_the_beam_finds_the_share_that_is_asked_for(solution):
    envelope, x = solution.envelope, GaussianSource(24).sample(3000, draw(2))
    nested = BlockTree.of(envelope.centred)
    cells = BestCells.of(envelope.centred, envelope.offset, 6, nested, x[:1000])
    wanted = kernels.best_cells(x[1000:], envelope.centred, envelope.offset, k=6)[1]
    found = (cells(x[1000:])[:, :, None] == wanted[:, None]).any(1).double().mean()
    assert FOUND - 0.02 < found < 1


def test_where_a_search_visits_half_of_all_atoms_all_are_scored():
    atoms, x = torch.randn(2000, 40, generator=draw(3)), torch.randn(100, 40, generator=draw(4))
    potential = -0.5 * atoms.double().square().sum(1)
    cells = BestCells.of(atoms, potential, 5, BlockTree.of(atoms), x)
    assert cells.tree is None
    assert torch.equal(cells(x), kernels.best_cells(x, atoms, potential, k=5)[1])
