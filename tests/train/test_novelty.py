"""The least change of variants, on boxes whose proportions are nearly alike, or not."""

import pytest
import torch

from pcgen.latent.autoencoder import proportions
from pcgen.latent.mixture import Drawn
from pcgen.train import novelty
from pcgen.train.atoms import Atoms
from pcgen.train.data import TrainingClouds
from pcgen.train.novelty import ENOUGH, LEAST, SUSPECT, describe, least_change
from pcgen.train.presets import BaseSettings

SCALE = 2.0  # of the logarithm of proportions in a code, as of an autoencoder


class Boxes:
    """Decodes (kind, log-proportions): the surface of a box, exactly."""

    dim = 3

    def draw_base(self, z, count, generator):
        drawn = boxes((z[:, -3:] / SCALE).exp(), count, generator)
        return None, Drawn(points=drawn, part=torch.zeros(drawn.shape[:2]), local=drawn)


def boxes(sizes, count, generator):
    """(n, count, 3) points on the surfaces of boxes of half extents ``sizes``."""
    points = 2 * torch.rand(len(sizes), count, 3, generator=generator) - 1
    axis = torch.randint(3, (len(sizes), count, 1), generator=generator)
    points = points.scatter(2, axis, points.gather(2, axis).sign())
    return points * sizes[:, None]


def latents_and_clouds(spread, count, code):
    """Of ``count`` boxes whose proportions have this standard deviation in logarithms.

    With a ``code``, boxes are neighbours that are alike; without, any are.
    """
    draw = torch.Generator().manual_seed(0)
    sizes = (spread * torch.randn(count, 3, generator=draw)).exp()
    sizes = sizes / sizes.amax(1, keepdim=True)
    points = boxes(sizes, 1024, draw)
    shape = proportions(points).log()
    z = torch.cat([code * shape, SCALE * shape], 1)
    atoms = Atoms(z=z, row=torch.arange(count) + 5, label=torch.zeros(count, dtype=torch.int64))
    clouds = TrainingClouds(
        rows=torch.arange(count) + 5, points=points, normals=None, label=atoms.label,
        categories=("box",),
    )  # fmt: skip
    return atoms, clouds


def found(spread, count=40, neighbours=12, code=0.0):
    atoms, clouds = latents_and_clouds(spread, count, code)
    settings = BaseSettings(neighbours=neighbours)
    return least_change(atoms, atoms.z, Boxes(), clouds, settings, seed=1)


def error(facts, count=40):
    """The standard error of nature's replays, which are known of ``count`` shapes."""
    rate = facts["natural_replay"]
    return max((rate * (1 - rate) / count) ** 0.5, 1 / count)


def test_where_variants_are_not_clearly_copies_they_are_left_alone():
    facts = found(spread=1.5)
    assert facts["least_change"] == 0
    assert facts["replay"] <= SUSPECT * facts["natural_replay"] + error(facts)


def test_where_neighbours_are_alike_the_least_change_makes_variants_new():
    facts = found(spread=1.5, neighbours=1, code=1.0)
    assert facts["least_change"] in LEAST[1:]
    assert facts["novelty"] >= ENOUGH
    assert facts["replay"] <= facts["natural_replay"] + error(facts)


def test_a_base_that_draws_copies_asks_for_more_change(monkeypatch):
    copies = 1
    shapes = latents_and_clouds(1.5, 40, 1.0)[0].z
    bases = []

    class Base:
        def sample(self, count, generator):
            spread = 3 * SCALE * torch.rand(count, 6, generator=generator)
            return shapes[:1].expand(count, -1) if len(bases) <= copies else -spread

    def fit(name, z, *, generator):
        assert (name, len(z)) == ("ae-ot", 8 * 40)
        bases.append(Base())
        return bases[-1]

    without = found(spread=1.5, neighbours=1, code=1.0)["least_change"]
    monkeypatch.setattr(novelty.base, "fit", fit)
    facts = found(spread=1.5, neighbours=1, code=1.0)
    assert len(bases) == copies + 1
    assert LEAST.index(facts["least_change"]) == LEAST.index(without) + copies
    assert facts["drawn_replay"] <= max(facts["natural_replay"], 1 / 40)


def test_where_no_change_is_enough_the_largest_is_taken():
    facts = found(spread=1.0, neighbours=1, code=1.0)
    assert facts["novelty"] < ENOUGH
    assert facts["least_change"] == LEAST[-1]


def test_where_real_shapes_are_copies_of_each_other_nothing_is_asked():
    facts = found(spread=0.02)
    assert facts["natural_replay"] == 1
    assert facts["least_change"] == 0


@pytest.mark.parametrize("count", [1, 7])
def test_of_few_shapes_nothing_is_asked(count):
    facts = found(spread=0.3, count=count)
    assert facts == {"least_change": 0.0}
    assert "too few" in describe(facts)


def test_what_was_found_is_said():
    facts = {"least_change": 0.5, "novelty": 0.987, "replay": 0.0312, "natural_replay": 0.04}
    figures = "novelty ratio 0.99, 3% replays (nature 4%)"
    drawn = describe({**facts, "drawn_replay": 0.05})
    assert "3% replays, of draws 5% (nature 4%)" in drawn
    assert describe(facts) == f"variants change their proportions by 0.5 at least: {figures}"
    assert describe({**facts, "least_change": 0.0}) == f"variants are left as they are: {figures}"
