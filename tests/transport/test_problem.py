"""What a problem accepts and refuses, and its error messages."""

import numpy as np
import pytest
import torch

from pcgen.errors import InputError
from pcgen.transport import (
    GaussianSource,
    SamplerSource,
    SemidiscreteProblem,
    UniformBall,
    UniformCube,
    UpperEnvelope,
)
from pcgen.transport.potential import working_dtype
from pcgen.transport.sources import normal_quantile


def problem(atoms, weights=None):
    return SemidiscreteProblem(GaussianSource(np.shape(atoms)[1]), atoms, weights)


def test_weights_are_uniform_unless_given():
    assert problem(np.eye(4)).weights.tolist() == [0.25] * 4


def test_float16_atoms_are_widened_and_float64_kept():
    assert problem(np.eye(2, dtype=np.float16)).atoms.dtype == torch.float32
    assert problem(np.eye(2)).atoms.dtype == torch.float64


def test_long_integers_keep_their_digits():
    places = np.array([[2**30, 0], [2**30 + 1, 0], [0, 1]])
    assert problem(places).distinct.count == 3
    assert problem(torch.tensor(places)).distinct.count == 3
    assert problem(places % 7).atoms.dtype == torch.float32


@pytest.mark.parametrize(
    ("atoms", "weights", "message"),
    [
        (np.array([[0.0, np.nan], [1, 1]]), None, r"1 of 2 atoms .* the first is atom 0"),
        (np.eye(2), [0.7, 0.7], r"sum to 1, got 1\.4"),
        (np.eye(2), [1.5, -0.5], r"not be negative"),
        (np.eye(2), [1.0], r"weights must be \(2,\)"),
        (np.eye(2), [np.nan, 1.0], r"weights contain NaN"),
        (np.zeros((0, 2)), None, r"at least 1, got \(0, 2\)"),
        (1e-120 * np.eye(2), None, r"all atoms lie within 1e-120"),
    ],
)
def test_bad_atoms_and_weights_are_refused(atoms, weights, message):
    with pytest.raises(InputError, match=message):
        problem(atoms, weights)


@pytest.mark.parametrize("kind", [torch.complex64, torch.bool])
def test_tensors_that_are_no_real_numbers_are_refused(kind):
    with pytest.raises(InputError, match="atoms must be numbers, got a tensor"):
        problem(torch.eye(2).to(kind))


def test_a_source_of_another_dimension_is_refused():
    with pytest.raises(InputError, match="dimension 2, the source has 3"):
        SemidiscreteProblem(GaussianSource(3), np.eye(2))


def test_more_atoms_than_memory_are_refused_before_anything_is_built(monkeypatch):
    monkeypatch.setattr("pcgen.transport.problem._free_memory", lambda: 1000)
    with pytest.raises(InputError, match="use fewer atoms"):
        problem(np.eye(20))


def test_copies_are_one_place_and_weightless_atoms_none():
    atoms = np.array([[1.0, 0], [0, 0], [1, 0], [-0.0, 0], [5, 5]])
    given = problem(atoms, [0.2, 0.3, 0.1, 0.4, 0.0])
    assert given.distinct.first.tolist() == [0, 1]
    assert given.distinct.place.tolist() == [0, 1, 0, 1, -1]
    assert given.distinct.weights.tolist() == pytest.approx([0.3, 0.7])
    spread = given.distinct.spread(torch.tensor([1.0, 2.0]))
    assert spread.tolist() == [1, 2, 1, 2, -np.inf]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_places_are_found_as_numpy_finds_unique_rows(dtype):
    random = np.random.default_rng(0)
    atoms = random.integers(-1, 2, (300, 4)).astype(dtype) * dtype(0.1)  # many copies, signed zeros
    weights = random.integers(0, 3, 300) / 1.0
    given = problem(atoms, weights / weights.sum())
    carrying = weights > 0
    rows, index = np.unique(atoms[carrying] + 0.0, axis=0, return_index=True)
    firsts = np.flatnonzero(carrying)[np.sort(index)]
    assert given.distinct.first.tolist() == firsts.tolist()
    assert given.distinct.count == len(rows)
    for i in np.flatnonzero(carrying):
        assert (atoms[firsts[given.distinct.place[i]]] == atoms[i]).all()
    assert given.distinct.of(given.atoms).numpy() == pytest.approx(atoms[firsts])
    alone = problem(random.standard_normal((50, 4)).astype(dtype))
    assert alone.distinct.of(alone.atoms) is alone.atoms


@pytest.mark.parametrize("source", [GaussianSource(3), UniformCube(3), UniformBall(3)])
def test_sources_draw_their_law_from_the_generator_alone(source, generator):
    first = source.sample(20000, generator)
    again = source.sample(20000, generator.manual_seed(0))
    assert torch.equal(first, again)
    assert first.dtype == torch.float32
    variance = {"gaussian": 1.0, "uniform": 1 / 12, "ball": 1 / 5}[source.name]
    assert torch.allclose(first.var(0), torch.full((3,), variance), rtol=0.05)
    assert first.mean(0).abs().max() < 5 * (variance / 20000) ** 0.5


def test_quantiles_of_the_sources_invert_their_distribution():
    p = torch.linspace(0.001, 0.999, 99, dtype=torch.float64)
    assert torch.allclose(torch.special.ndtr(normal_quantile(p)), p, atol=1e-12)
    assert torch.allclose(GaussianSource(2).from_uniform(p).double(), normal_quantile(p), atol=1e-5)
    stretched = GaussianSource(2).line_quantile(torch.tensor([3.0, 4.0]))
    assert torch.allclose(stretched(p), 5 * normal_quantile(p))
    assert UniformCube(2).line_quantile(torch.tensor([1.0, 1.0])) is None


def test_a_sampler_is_checked():
    with pytest.raises(InputError, match=r"must return \(4, 2\), got \(4, 3\)"):
        SamplerSource(2, lambda n, g: torch.zeros(n, 3)).sample(4, torch.Generator())
    with pytest.raises(InputError, match="NaN"):
        SamplerSource(1, lambda n, g: torch.full((n, 1), torch.nan)).sample(4, torch.Generator())


def test_the_envelope_is_the_largest_affine_function(generator):
    atoms, offset = torch.randn(30, 4, generator=generator) + 100, torch.randn(30).double()
    x = torch.randn(50, 4, generator=generator)
    scores = x.double() @ atoms.double().T + offset
    envelope = UpperEnvelope(atoms, offset)
    assert torch.allclose(envelope.value(x), scores.amax(1), atol=1e-4)
    assert torch.equal(envelope.gradient(x), atoms[scores.argmax(1)])
    value, mean = envelope.smooth(x, 0.5)
    assert torch.allclose(value, 0.5 * (scores / 0.5).logsumexp(1), atol=1e-4)
    assert torch.allclose(mean.double(), (scores / 0.5).softmax(1) @ atoms.double(), atol=1e-3)


def test_young_equality_holds_at_the_gradient_and_inequality_elsewhere(generator):
    atoms = torch.randn(12, 2, generator=generator).double()
    envelope = UpperEnvelope(atoms, torch.randn(12, generator=generator).double())
    x = torch.randn(20, 2, generator=generator).double()
    y = envelope.gradient(x)
    assert torch.allclose(envelope.value(x) + envelope.conjugate(y), (x * y).sum(1), atol=1e-8)
    middle = atoms.mean(0, keepdim=True).expand(20, 2)
    young = envelope.value(x) + envelope.conjugate(middle) - (x * middle).sum(1)
    assert (young > -1e-9).all()
    assert envelope.conjugate(torch.full((1, 2), 100.0)).item() == torch.inf


def test_close_atoms_are_scored_in_float64():
    spread = torch.randn(100, 3).double()
    assert working_dtype(spread) == torch.float32
    assert working_dtype(torch.cat([spread, spread + 1e-6])) == torch.float64
