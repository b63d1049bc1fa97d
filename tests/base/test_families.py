"""Every family follows the protocol, survives a round trip and handles degenerate latents."""

import dataclasses

import numpy as np
import pytest
import torch

from pcgen import base, checkpoint
from pcgen.base.gaussian import GaussianBase, GaussianSettings, shrunken_covariance
from pcgen.base.measure import BaseMeasure
from pcgen.base.mixture import MixtureSettings
from pcgen.datatypes import Source
from pcgen.errors import DataError, InputError
from pcgen.processes import Group

QUICK = ["standard", "gaussian", "gmm", "uniform"]
ALL = [*QUICK, "ae-ot"]


def draw(seed):
    return torch.Generator().manual_seed(seed)


def correlated(count, dim, seed=0):
    """Latents with a known covariance: a random factor, mean 1."""
    g = draw(seed)
    factor = torch.randn(dim, dim, generator=g) / dim**0.5
    return 1 + torch.randn(count, dim, generator=g) @ factor.T, factor @ factor.T


@pytest.mark.parametrize("name", ALL)
def test_a_base_is_a_source_with_a_name(name, generator):
    latents, _ = correlated(60, 4)
    omega = base.fit(name, latents, generator=generator)
    assert isinstance(omega, Source)
    assert isinstance(omega, BaseMeasure)
    assert (omega.name, omega.dim) == (name, 4)
    drawn = omega.sample(7, generator)
    assert drawn.shape == (7, 4)
    assert drawn.dtype == torch.float32
    assert omega.sample(0, generator).shape == (0, 4)
    assert omega.describe()["family"] == name


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("constant", [False, True])
def test_a_restored_base_draws_the_same_samples(name, constant, generator, tmp_path):
    latents, _ = correlated(60, 4)
    if constant:
        latents[:, 2] = 5.0
    omega = base.fit(name, latents, generator=generator)
    checkpoint.save(tmp_path / "base.safetensors", *omega.to_checkpoint())
    again = base.from_checkpoint(*checkpoint.load(tmp_path / "base.safetensors"))
    assert torch.equal(omega.sample(50, draw(3)), again.sample(50, draw(3)))
    assert again.notes == omega.notes


@pytest.mark.parametrize("name", ["gaussian", "gmm", "uniform", "ae-ot"])
def test_a_constant_coordinate_stays_constant(name, generator):
    latents, _ = correlated(40, 3)
    latents[:, 1] = -2.5
    omega = base.fit(name, latents, generator=generator)
    drawn = omega.sample(100, generator)
    assert (drawn[:, 1] == -2.5).all()
    assert drawn[:, 0].std() > 0
    assert "1 of 3 coordinates are constant" in omega.notes[0]


@pytest.mark.parametrize("name", ["gaussian", "gmm"])
def test_samples_have_the_mean_and_covariance_of_the_latents(name, generator):
    latents, covariance = correlated(4000, 3)
    drawn = base.fit(name, latents, generator=generator).sample(40_000, generator)
    assert torch.allclose(drawn.mean(0), torch.ones(3), atol=0.08)
    assert torch.allclose(torch.cov(drawn.T), covariance, atol=0.1)


def test_uniform_has_the_variance_of_the_latents(generator):
    latents, _ = correlated(500, 3)
    omega = base.fit("uniform", latents, generator=generator)
    assert torch.allclose(omega.sample(40_000, generator).var(0), latents.var(0), rtol=0.05)
    inside = omega.log_density(omega.sample(10, generator))
    volume = (omega.high - omega.low).double().prod()
    assert torch.allclose(inside.exp(), (1 / volume).expand(10))
    assert omega.log_density(omega.high[None] + 1) == -torch.inf


def test_ledoit_wolf_shrinkage_equals_scikit_learns():
    covariance = pytest.importorskip("sklearn.covariance")
    for count, dim in [(20, 50), (300, 10)]:
        x = torch.randn(count, dim, generator=draw(1), dtype=torch.float64)
        x = x * torch.linspace(0.2, 2, dim, dtype=torch.float64)
        x = x - x.mean(0)
        ours, weight = shrunken_covariance(x)
        theirs, expected = covariance.ledoit_wolf(x.numpy(), assume_centered=True)
        assert weight == pytest.approx(expected, rel=1e-9)
        assert np.allclose(ours, theirs, rtol=1e-9)


def test_log_densities_integrate_to_one(generator):
    latents, _ = correlated(200, 2)
    grid = torch.linspace(-12, 14, 521)
    cells = torch.cartesian_prod(grid, grid)
    for name in QUICK:
        omega = base.fit(name, latents, generator=generator)
        total = omega.log_density(cells).exp().sum() * (grid[1] - grid[0]) ** 2
        assert float(total) == pytest.approx(1, abs=0.02), name


def test_a_low_rank_gaussian_keeps_the_leading_directions_and_the_total_variance():
    latents, _ = correlated(2000, 6)
    full = base.fit("gaussian", latents, generator=draw(0), settings={"shrinkage": 0.0})
    thin = base.fit("gaussian", latents, generator=draw(0), settings={"rank": 2, "shrinkage": 0.0})
    assert thin.factor.shape == (6, 2)
    assert torch.allclose(thin.covariance.trace(), full.covariance.trace(), rtol=1e-5)
    top = torch.linalg.eigvalsh(full.covariance)[-2:]
    assert torch.allclose(torch.linalg.eigvalsh(thin.covariance)[-2:], top, rtol=1e-4)
    assert torch.isfinite(thin.log_density(latents)).all()


def test_fewer_latents_than_dimensions_give_a_full_covariance_and_a_note():
    latents = torch.randn(10, 64, generator=draw(0))
    omega = base.fit("gaussian", latents, generator=draw(1))
    assert torch.linalg.eigvalsh(omega.covariance).min() > 0.05
    assert "Ledoit-Wolf" in omega.notes[0]


def test_two_latents_are_enough_for_the_closed_forms():
    latents = torch.tensor([[0.0, 0, 0], [1.0, 2, 3]])
    for name in ["gaussian", "gmm", "uniform"]:
        drawn = base.fit(name, latents, generator=draw(0)).sample(1000, draw(1))
        assert torch.isfinite(drawn).all()
        assert torch.allclose(drawn.mean(0), latents.mean(0), atol=0.2)


@pytest.mark.parametrize("name", ["gaussian", "gmm", "uniform", "ae-ot", "auto"])
@pytest.mark.parametrize("copies", [20, 100])
def test_many_copies_of_two_latents_are_enough_too(name, copies):
    latents = torch.tensor([[0.0, 0, 0], [1.0, 2, 3]]).repeat_interleave(copies, 0)
    drawn = base.fit(name, latents, generator=draw(0)).sample(2000, draw(1))
    assert torch.allclose(drawn.mean(0), latents.mean(0), atol=0.2)
    assert torch.allclose(drawn.var(0), latents.var(0, correction=0), rtol=0.5)


@pytest.mark.parametrize("name", ["gaussian", "gmm", "uniform", "ae-ot"])
@pytest.mark.parametrize("count", [1, 5])
def test_one_latent_or_copies_of_one_are_refused(name, count, generator):
    with pytest.raises(InputError, match=r"needs at least 2 different latents, got 1"):
        base.fit(name, torch.ones(count, 3), generator=generator)
    assert base.fit("standard", torch.ones(count, 3), generator=generator).dim == 3


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        (torch.ones(3), "must be"),
        (torch.ones(0, 3), "must be"),
        (torch.tensor([[1.0, torch.nan], [0, 0]]), "1 of 2 latents contain NaN"),
        (torch.ones(2, 2, dtype=torch.complex64), "real numbers, got torch.complex64"),
        (torch.tensor([[1e300, 0.0], [0, 0]], dtype=torch.float64), "infinite"),
    ],
)
def test_broken_latents_are_refused(latents, message, generator):
    with pytest.raises(InputError, match=message):
        base.fit("gaussian", latents, generator=generator)


def test_unknown_names_and_settings_are_refused(generator):
    latents, _ = correlated(10, 2)
    with pytest.raises(InputError, match="one of standard, gaussian"):
        base.fit("gauss", latents, generator=generator)
    with pytest.raises(InputError, match="unknown keys ranks"):
        base.fit("gaussian", latents, generator=generator, settings={"ranks": 2})
    with pytest.raises(InputError, match="takes GaussianSettings"):
        base.fit("gaussian", latents, generator=generator, settings=MixtureSettings())
    with pytest.raises(InputError, match="validation latents have 3 dimensions"):
        base.fit("gmm", latents, generator=generator, validation=torch.ones(4, 3))


def test_a_checkpoint_of_another_kind_is_refused(generator):
    latents, _ = correlated(10, 2)
    tensors, meta = base.fit("gaussian", latents, generator=generator).to_checkpoint()
    with pytest.raises(DataError, match="has base 'mystery'"):
        base.from_checkpoint(tensors, {**meta, "family": "mystery"})
    with pytest.raises(DataError, match="format 99"):
        base.from_checkpoint(tensors, {**meta, "format": 99})
    with pytest.raises(DataError, match="fit the base again"):
        base.from_checkpoint({"mean": tensors["mean"]}, meta)


def test_gmm_finds_three_blobs_and_is_better_than_one_gaussian_on_held_out_latents():
    g = draw(0)
    centres = 6 * torch.randn(3, 8, generator=g)
    label = torch.randint(3, (300,), generator=g)
    latents = centres[label] + 0.5 * torch.randn(300, 8, generator=g)
    train, held = latents[:200], latents[200:]
    settings = MixtureSettings(components=(1, 2, 3, 6))
    mixture = base.fit("gmm", train, generator=g, validation=held, settings=settings)
    single = base.fit("gaussian", train, generator=g)
    assert len(mixture.weights) in (3, 6)
    assert mixture.log_density(held).mean() > single.log_density(held).mean() + 3
    assert {row[0] for row in mixture.table} == {1, 2, 3, 6}


def test_gmm_falls_back_to_one_component_when_the_latents_are_gaussian():
    latents = torch.randn(300, 16, generator=draw(0)) * torch.linspace(0.2, 1, 16)
    mixture = base.fit("gmm", latents, generator=draw(0))
    assert len(mixture.weights) == 1


@pytest.mark.parametrize("name", ["gaussian", "gmm"])
def test_a_large_relaxation_returns_the_standard_base(name, generator):
    latents, _ = correlated(300, 3)
    omega = base.fit(name, 4 * latents, generator=generator, settings={"relaxation": 1e6})
    drawn = omega.sample(20_000, generator)
    assert torch.allclose(drawn.mean(0), torch.zeros(3), atol=0.03)
    assert torch.allclose(torch.cov(drawn.T), torch.eye(3), atol=0.05)


def test_relaxation_moves_along_the_geodesic():
    mean, root = torch.tensor([3.0, 0.0]), torch.diag(torch.tensor([4.0, 0.5]))
    measure = base.gaussian.gaussian_from_moments(mean, root @ root, relaxation=1.0)
    assert torch.allclose(measure.mean, mean / 2)
    assert torch.allclose(measure.factor, (root + torch.eye(2)) / 2)


def test_settings_refuse_nonsense():
    for wrong in [{"structure": "round"}, {"rank": -1}, {"shrinkage": 2.0}, {"relaxation": -1.0}]:
        with pytest.raises(InputError):
            GaussianSettings(**wrong)
    with pytest.raises(dataclasses.FrozenInstanceError):
        GaussianSettings().rank = 3
    singular = GaussianBase(mean=torch.zeros(2), factor=torch.zeros(2, 2))
    with pytest.raises(InputError, match="singular"):
        singular.log_density(torch.zeros(1, 2))


@dataclasses.dataclass(frozen=True)
class Told(Group):
    """Processes that take turns; the first has sent ``words``."""

    words: list = dataclasses.field(default_factory=list)

    def tensors(self, make):
        if self.first:
            self.words.append(make())
        return self.words[-1]


@pytest.mark.parametrize("name", ["gaussian", "gmm"])
def test_the_first_process_fits_for_all(name, monkeypatch):
    z, words = correlated(80, 3)[0], []

    def drawn(rank):
        omega = base.fit(name, z, generator=draw(1), group=Told(rank, 2, words=words))
        return omega.sample(4, draw(2))

    first = drawn(0)
    assert torch.equal(first, base.fit(name, z, generator=draw(1)).sample(4, draw(2)))
    family = dataclasses.replace(base.FAMILIES[name], fit=None)
    monkeypatch.setitem(base.FAMILIES, name, family)
    assert torch.equal(drawn(1), first)
