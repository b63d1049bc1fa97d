"""The search for cells among many atoms is exact if wide, and does not mislead the solver."""

import pytest
import torch

from pcgen import checkpoint, kernels
from pcgen.errors import TransportError
from pcgen.kernels import backends
from pcgen.transport import (
    GaussianSource,
    SamplerSource,
    SemidiscreteProblem,
    SemidualSolver,
)
from pcgen.transport.evidence import Status
from pcgen.transport.stochastic import schedule
from pcgen.transport.stochastic.mass_estimates import MassEstimate, estimate_masses
from pcgen.transport.stochastic.search import empty_cells, tree
from pcgen.transport.stochastic.search.beam_width import narrowest_beam, search_recall, with_tree
from pcgen.transport.stochastic.search.tree import LANES, BlockTree, block_order
from pcgen.transport.stochastic.solve_checkpoint import SolveCheckpoint
from tests.transport.stochastic import manifold
from tests.transport.stochastic.manifold import draw

pytestmark = pytest.mark.skipif(not backends.native_usable(), reason="no C compiler")


def curved(count=3000, dim=24):
    return manifold.curved(count, dim, inner=4)


def convex_potential(atoms):
    return -0.3 * atoms.double().square().sum(1)


@pytest.fixture
def searched_from(monkeypatch):
    monkeypatch.setattr(tree, "SEARCH_FROM", 1000)


def solve(problem, start=None, on_step=None, **settings):
    return SemidualSolver(**settings).solve(problem, draw(0), start=start, on_step=on_step)


@pytest.mark.parametrize("count", [1, 16, 17, 500, 9000])
def test_order_holds_every_atom_once(count):
    order = block_order(torch.randn(count, 3, generator=draw(0)))
    assert torch.equal(order.sort().values, torch.arange(count))


def test_blocks_are_of_nearby_atoms():
    atoms = curved(4096, 8)
    tree = BlockTree.of(atoms)
    together = atoms[tree.order].view(-1, LANES, 8)
    within = (together - together.mean(1, keepdim=True)).square().sum(2).mean()
    assert within < 0.25 * (atoms - atoms.mean(0)).square().sum(1).mean()
    # The stated radii are those of the blocks.
    assert tree.radius[0].square().mean().item() == pytest.approx(within.item(), rel=1e-4)


@pytest.mark.parametrize("count", [40, 700, 9001])
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_widest_beam_scores_every_atom(count, epsilon):
    atoms = curved(count, 10)
    tree = BlockTree.of(atoms)
    x = torch.randn(101, 10, generator=draw(4))
    offset = tree.offset(convex_potential(atoms), 1.0)
    importance = torch.rand(LANES * tree.widest, generator=draw(5))
    arguments = (x, tree.blocks, offset, tree.starts, tree.beams(tree.widest), epsilon)
    native = kernels.searched_cells(*arguments, importance=importance)
    dense = kernels.searched_cells(*arguments, importance=importance, backend="dense")
    # Shares below exp(-10) of the largest are left out.
    torch.testing.assert_close(native[0], dense[0], atol=0.01 if epsilon else 0, rtol=0)
    assert native[1] == pytest.approx(dense[1], rel=2e-3)
    torch.testing.assert_close(native[2], dense[2])
    torch.testing.assert_close(native[3], dense[3], atol=1e-4, rtol=1e-5)
    if epsilon == 0:
        best = kernels.best_cells(x, atoms, convex_potential(atoms))[1][:, 0]
        torch.testing.assert_close(tree.order[native[2]], best)


@pytest.mark.parametrize("k", [1, 2, 7])
def test_the_widest_beam_finds_the_k_best_of_all_atoms(k):
    atoms = curved(700, 10)
    tree, x = BlockTree.of(atoms), torch.randn(101, 10, generator=draw(4))
    potential = convex_potential(atoms)
    wanted, best = kernels.best_cells(x, atoms, potential, k=k)
    arguments = (x, tree.blocks, tree.offset(potential, 1.0), tree.starts, tree.beams(tree.widest))
    for backend in ("native", "dense"):
        score, cell = kernels.searched_best(*arguments, k, backend=backend)
        assert torch.equal(tree.order[cell], best)
        torch.testing.assert_close(score, wanted, atol=1e-4, rtol=1e-5)


def test_wider_beams_find_more_cells():
    problem = SemidiscreteProblem(GaussianSource(24), curved())
    work = with_tree(SemidualSolver().prepare(problem, draw(0)))
    potential = convex_potential(work.atoms)
    found = [search_recall(work, potential, beam) for beam in (4, 12, 48, work.tree.widest)]
    assert found == sorted(found)
    assert found[0] < 0.9 < found[2]
    assert found[-1] == 1
    beam = narrowest_beam(work, potential, tree.ENOUGH)
    assert search_recall(work, potential, beam) >= tree.ENOUGH


@pytest.mark.parametrize(("narrow", "lanes"), [(1, LANES), (64, LANES), (64, 0)])
def test_cells_without_a_sample_are_found_as_by_all_scores(monkeypatch, narrow, lanes):
    monkeypatch.setattr(empty_cells, "NARROWEST", narrow)
    monkeypatch.setattr(empty_cells, "LANES", lanes)  # with none, every row is searched as usual
    problem = SemidiscreteProblem(GaussianSource(24), curved())
    work = with_tree(SemidualSolver().prepare(problem, draw(0)))
    potential = convex_potential(work.atoms)
    # So low that no sample is ever in this cell.
    potential[7] -= 1e3

    def estimate(samples, number):
        cell = kernels.best_cells(work.draw(0, samples, number), work.atoms, potential)[1][:, 0]
        return cell, torch.bincount(cell, minlength=len(potential)).double()

    counts = estimate(3000, -5)[1]
    few = MassEstimate(counts=counts, weights=work.weights, samples=3000)
    found = empty_cells.search_empty_cells(work, potential, work.tree.widest, few, 33_000, -6)
    assert found.searched_samples == 30_000
    new = estimate(30_000, -6)[1]
    assert torch.equal(found.searched_counts > 0, (counts == 0) & (new > 0))
    assert found.searched_counts[7] == 0
    # 33,000 samples are eleven per cell, so cells without one are dead, not untested.
    assert found.dead == ((counts + new) == 0).sum()
    assert (few.dead, found.untested) == (0, 0)
    assert found.counts is counts
    search = empty_cells.search_empty_cells
    ended = search(work, potential, work.tree.widest, few, 33_000, -6, lambda: True)
    assert ended.searched_samples == 0


def test_atoms_without_structure_are_scored_in_full(searched_from):
    # In 64 dimensions all atoms are about equally far from each other.
    atoms = torch.randn(1500, 64, generator=draw(6))
    states = []
    solution = solve(SemidiscreteProblem(GaussianSource(64), atoms), on_step=states.append)
    assert not states[0].beam
    assert solution.evidence.searched == 0
    solution.require_converged()


SLOW = [pytest.param(case, marks=pytest.mark.slow) for case in ("uneven weights", "clusters")]


@pytest.mark.parametrize("case", ["curved", "off-centre sampler", *SLOW])
def test_searched_solutions_hold_against_all_scores(searched_from, case):
    atoms, weights, source = curved(), None, GaussianSource(24)
    if case == "uneven weights":
        weights = torch.rand(len(atoms), generator=draw(7)).double() + 0.1
        weights /= weights.sum()
    if case == "clusters":
        atoms = atoms * 0.1 + 10 * torch.randn(6, 24, generator=draw(8)).repeat(500, 1)
    if case == "off-centre sampler":

        def sample(count, generator):
            return 5 + 2 * torch.rand(count, 24, generator=generator)

        source = SamplerSource(24, sample)
    problem = SemidiscreteProblem(source, atoms, weights)
    solution = solve(problem).require_converged()
    evidence = solution.evidence
    assert evidence.searched > 0
    assert evidence.recall > 0.95
    estimate = estimate_masses(problem, solution.envelope, 200_000, draw(99))
    assert estimate.chi2 < 0.02 + 3 * estimate.chi2_error
    assert evidence.chi2 == pytest.approx(estimate.chi2, abs=4 * evidence.chi2_error)
    assert estimate.dead <= 1  # of 3000, with 67 samples each


@pytest.mark.slow
def test_search_starts_near_the_answer(searched_from, monkeypatch):
    problem = SemidiscreteProblem(GaussianSource(24), curved())
    quick = solve(problem, low_discrepancy=False).evidence.samples
    monkeypatch.setattr(tree, "SEARCH_FROM", 10**6)
    assert quick < solve(problem, low_discrepancy=False).evidence.samples


def test_a_searched_solve_resumes_to_the_bit(searched_from, tmp_path):
    problem = SemidiscreteProblem(GaussianSource(24), curved())
    states = []
    whole = solve(problem, on_step=states.append)
    middle = states[len(states) // 2]
    assert middle.beam
    tensors, rest = middle.to_tensors()
    checkpoint.save(tmp_path / "map.state", tensors, {**rest, "key": "this"})
    again = solve(
        problem, start=SolveCheckpoint(tmp_path / "map.state", "this", problem.count).read()
    )
    assert torch.equal(again.potential, whole.potential)
    assert again.evidence == whole.evidence


def test_dead_cells_are_hardly_looked_for_where_chi2_is_too_large(searched_from):
    problem = SemidiscreteProblem(GaussianSource(24), curved())
    solution = solve(problem, max_samples=400)
    evidence = solution.evidence
    assert evidence.status is Status.BUDGET
    assert evidence.chi2 > evidence.tolerance
    # 32 a cell would be 96,000. Of 3,000, one is expected in each cell, so none is called dead.
    assert 0 < evidence.searched <= 3000
    assert evidence.dead == 0
    assert 0 < evidence.untested < 2000
    with pytest.raises(TransportError, match=f"and {evidence.untested} untested"):
        solution.require_converged()


def test_a_warm_start_is_searched_too(searched_from):
    problem = SemidiscreteProblem(GaussianSource(24), curved())
    first = solve(problem, tolerance=0.05)
    states = []
    second = solve(problem, start=first, on_step=states.append)
    assert states[0].beam
    assert states[0].averaging
    assert second.require_converged().evidence.chi2 < first.evidence.chi2


@pytest.mark.slow
def test_an_atom_far_from_its_block_keeps_its_mass(searched_from):
    atoms = curved()
    atoms[::500] += 6 * torch.randn(6, 24, generator=draw(9))
    problem = SemidiscreteProblem(GaussianSource(24), atoms)
    solution = solve(problem).require_converged()
    estimate = estimate_masses(problem, solution.envelope, 300_000, draw(98))
    mass = estimate.counts[::500] / estimate.samples * len(atoms)
    assert mass.min() > 0.5
    assert mass.max() < 1.6
    assert estimate.dead == 0


def test_a_search_for_dead_cells_takes_no_more_samples_than_the_solve(searched_from, monkeypatch):
    """Cells that it does not meet are not passed over: more samples are taken."""
    samples, searches, search = [0], [], schedule.search_empty_cells

    def recorded(work, potential, beam, estimate, most, *rest):
        found = search(work, potential, beam, estimate, most, *rest)
        searches.append((most, samples[-1], found.untested, found.dead))
        return found

    monkeypatch.setattr(schedule, "search_empty_cells", recorded)
    problem = SemidiscreteProblem(GaussianSource(24), curved())
    found = solve(problem, on_step=lambda state: samples.append(state.samples), tolerance=0.3)
    assert found.evidence.converged
    assert (found.evidence.dead, found.evidence.untested) == (0, 0)
    assert all(most <= max(done, 3000) for most, done, *_ in searches)
    assert any(untested or dead for *_, untested, dead in searches[:-1])
