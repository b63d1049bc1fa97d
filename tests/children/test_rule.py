import dataclasses
import json

import numpy as np
import pytest
import torch

from pcgen.children import BlendSettings, MapSettings
from pcgen.children.planning import nature_of
from pcgen.children.rule import (
    DECODED,
    RAW,
    Choice,
    Demand,
    Nature,
    NoveltyStatistics,
    choose,
    ladder,
    novelty_statistics,
    with_copies,
    without_costliest,
)
from pcgen.distances.novelty import Nearest, Novelty
from pcgen.errors import DataError
from tests.children.conftest import boxes, build

RULE = MapSettings(points=128, per_shape=2, sweeps=2)


def novelty(children, nature, replayed=(), natural=()) -> Novelty:
    """Children and training shapes at given distances; those listed are replays."""

    def nearest(distances, hits):
        index = np.zeros(len(distances), int)
        index[list(hits)] = 1
        return Nearest(index=index, distance=np.asarray(distances, float))

    draws = np.array([0, np.inf])  # of a shape that nothing replays, and of one that all do
    return Novelty(
        found=nearest(children, replayed), reference=nearest(nature, natural), two_draws=draws
    )


def test_figures_are_ratios_of_medians_and_shares():
    statistics = novelty_statistics(novelty([1, 2, 3, 4, 5], [1, 2, 3, 4], [0], [0, 1]))
    assert statistics.novelty == pytest.approx(3 / 2.5)
    assert (statistics.replays, statistics.nature) == (0.2, 0.5)
    assert 0 < statistics.error < 0.5


def test_the_error_of_a_ratio_of_medians_is_that_of_many_sets():
    draw = np.random.default_rng(0)
    ratios, errors = [], []
    for _ in range(300):
        statistics = novelty_statistics(novelty(*(draw.lognormal(0, 0.7, 100) for _ in range(2))))
        ratios.append(statistics.novelty)
        errors.append(statistics.novelty_error)
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.25)


def test_copies_are_replays_at_no_distance():
    statistics = novelty_statistics(novelty(np.arange(1, 101), [50, 50], range(10)), copies=0.2)
    mixed = np.concatenate([np.arange(1, 101), np.zeros(25)])
    assert statistics.novelty * 50 == pytest.approx(np.median(mixed), abs=1)
    assert statistics.replays == pytest.approx(0.2 + 0.8 * 0.1)


def test_nature_that_repeats_itself_asks_for_nothing():
    nothing = novelty_statistics(novelty([0.0, 0.1], [0.0, 0.0], natural=[0, 1]))
    assert DECODED.passes({"box": nothing, "cube": nothing})


def test_the_ladder_takes_more_partners_and_then_cuts_in_the_middle():
    steps = ladder(10, BlendSettings(partners=1, copies=0.2))
    assert [step.partners for step in steps] == [1, 2, 3, 4, 6, 9, 10, 10]
    assert [step.copies for step in steps] == [0.2] + 7 * [0]
    assert steps[-1].cuts == (0.5, 0.5)
    assert [step.partners for step in ladder(1, BlendSettings())] == [1, 1]
    assert [step.partners for step in ladder(18, BlendSettings(partners=6))] == [6, 9, 13, 18, 18]


class _Nature:
    """Novelty rises with partners; measured children are just their settings."""

    def __init__(self, wanted: int) -> None:
        self.wanted, self.seen = wanted, []

    def statistics(self, settings):
        self.seen.append(settings.partners)
        novelty = settings.partners / self.wanted
        return {
            "box": NoveltyStatistics(
                novelty=novelty, novelty_error=0.0, replays=0.0, nature=0.1, error=0.01
            )
        }


ASKED = Demand(novelty={"box": 1.0}, replays=True)


@pytest.mark.parametrize(("wanted", "partners"), [(1, 1), (3, 3), (28, 28), (64, 64)])
def test_the_first_step_that_passes_is_chosen(wanted, partners):
    nature = _Nature(wanted)
    choice = choose(ladder(64, BlendSettings(partners=1)), nature, lambda settings: settings, ASKED)
    assert choice.settings.partners == partners
    assert choice.passed
    assert len(nature.seen) <= 6
    assert f"{partners} nearest partners" in choice.describe()


def test_the_farthest_is_chosen_where_none_passes():
    choice = choose(
        ladder(64, BlendSettings(partners=1)), _Nature(100), lambda settings: settings, ASKED
    )
    assert choice.settings == BlendSettings(partners=64, cuts=(0.5, 0.5))
    assert not choice.passed
    assert "the most novel available" in choice.describe()


def test_more_replays_than_nature_do_not_pass():
    many = NoveltyStatistics(novelty=2.0, novelty_error=0.0, replays=0.2, nature=0.1, error=0.05)
    few = dataclasses.replace(many, replays=0.14)
    assert not DECODED.passes({"box": few, "cube": many})
    assert not DECODED.passes({"box": many, "cube": few})
    assert DECODED.passes({"box": few, "cube": few})
    assert RAW.passes({"box": many, "cube": many})


def test_copies_are_mixed_into_children_of_one_partner_until_they_are_as_new_as_nature():
    generator = torch.Generator().manual_seed(0)
    shapes = torch.rand(12, 128, 3, generator=generator)
    nature = Nature(shapes.repeat_interleave(2, 0) * 2 - 1, generator)
    passed = Choice(settings=BlendSettings(partners=1), passed=True, statistics={})
    far = torch.rand(40, 64, 3, generator=generator) * torch.tensor([1, 0.1, 1])
    assert with_copies(passed, nature, lambda _: far).settings.copies == 0.5
    for other in (
        dataclasses.replace(passed, passed=False),
        Choice(settings=BlendSettings(partners=2), passed=True, statistics={}),
    ):
        assert with_copies(other, nature, lambda _: far) is other


class _Measured(Nature):
    """Nature whose children are at distances that the test gives; negative ones replay a shape in
    the box."""

    def __init__(self, nature) -> None:
        self.nature = nature

    def _measure(self, points):
        hits = (points < 0).nonzero()[:, 0].tolist()
        found = novelty(points.abs().tolist(), self.nature, hits)
        return {"box": found, "cube": novelty(points.abs().tolist(), self.nature)}


ALL = Choice(settings=BlendSettings(partners=9, between=1.0), passed=True, statistics={})


@pytest.mark.parametrize(
    ("least", "left_out"),
    [
        (2.0, 0.3),  # novel enough, whatever is left out
        (0.99, 0.1),
        (0.8, 0.0),  # not novel enough with all of them
    ],
)
def test_the_costliest_maps_are_left_out_while_the_others_are_novel(least, left_out):
    """Distances rise evenly with the cost, from 0.5 to 1.5 times the median, so each twentieth that
    is left out lowers the median by 0.025 of it. The error is 0.025, and 0.95 is asked in the box.
    """
    order = torch.randperm(400)
    children, cost = least * torch.linspace(0.5, 1.5, 400)[order], order.float()
    choice = without_costliest(ALL, _Measured([1.0] * 400), children, cost)
    if not left_out:
        assert choice is ALL
        return
    assert choice.settings.left_out == pytest.approx(left_out)
    kept = children[order < 400 * (1 - left_out)]
    assert choice.statistics["cube"].novelty == pytest.approx(float(kept.median()), rel=0.01)
    assert f"without the {left_out:.0%} of maps that move points farthest" in choice.describe()


def test_costly_maps_that_replay_nothing_are_kept():
    """Without them, more of the children would replay a shape than nature does."""
    children = torch.cat([-torch.linspace(1.1, 1.2, 8), torch.linspace(1.0, 2.0, 392)])
    nature = _Measured([1.0] * 400)
    assert without_costliest(ALL, nature, children, torch.arange(400.0)).settings.left_out == 0.0
    assert without_costliest(ALL, nature, children.abs(), torch.arange(400.0)).settings.left_out


@pytest.mark.parametrize("change", [{"copies": 0.2}, {"between": 0.5}])
def test_dense_sets_and_those_that_repeat_proportions_leave_out_none(change):
    """Children of the first are so novel that copies are mixed in; of the second they are scarcely
    novel enough in the box."""
    choice = dataclasses.replace(ALL, settings=dataclasses.replace(ALL.settings, **change))
    children = torch.linspace(5, 6, 100)
    assert without_costliest(choice, _Measured([1.0] * 100), children, children) is choice


@pytest.mark.parametrize("count", [2, 3, 10])
def test_small_sets_get_a_choice(tmp_path, generator, count):
    maps = build(boxes(count)[0], tmp_path, settings=RULE)
    assert 1 <= maps.settings.partners < count
    assert set(maps.choice.statistics) == {"box", "cube"}
    assert maps.draw(5, 64, generator).points.isfinite().all()


def test_identical_shapes_get_a_choice(tmp_path, generator):
    points = boxes(1)[0].expand(5, -1, -1)
    assert build(points, tmp_path, settings=RULE).draw(5, 64, generator).points.isfinite().all()


def test_boxes_have_boxes_for_children_proportion_free(tmp_path):
    """All boxes are one cube in this frame: replays are as frequent as in nature, which passes."""
    cube = build(boxes(24)[0], tmp_path, settings=RULE).choice.statistics["cube"]
    assert cube.nature == 1.0
    assert cube.replays <= cube.nature
    assert DECODED.passes(dict.fromkeys(("box", "cube"), dataclasses.replace(cube, novelty=1.0)))


def test_a_lone_shape_is_told_that_there_is_nothing_to_compare(tmp_path):
    assert "too few shapes" in build(boxes(1)[0], tmp_path, settings=RULE).choice.describe()


def test_a_choice_is_made_once(tmp_path, monkeypatch):
    points, _ = boxes(6)
    first = build(points, tmp_path, settings=RULE).choice
    monkeypatch.setattr("pcgen.children.rule.choose", lambda *_, **__: pytest.fail("again"))
    assert build(points, tmp_path, settings=RULE).choice == first
    (tmp_path / "maps.safetensors").unlink()
    assert build(points, tmp_path, settings=RULE).choice == first
    stored = tmp_path / "choice.json"
    text = stored.read_text().replace('"statistics"', '"figures"')  # the former names
    text = text.replace('"between": 1.0', '"between": true')  # all or none
    assert '"between": true' in text
    stored.write_text(text.replace('"settings"', '"reach"'))
    assert build(points, tmp_path, settings=RULE).choice == first


def test_a_damaged_choice_is_told(tmp_path):
    points, _ = boxes(3)
    build(points, tmp_path, settings=RULE)
    (tmp_path / "choice.json").write_text(json.dumps({"key": "x"}))
    with pytest.raises(DataError, match="damaged"):
        build(points, tmp_path, settings=RULE)


def test_the_choice_does_not_depend_on_the_number_of_processes(tmp_path):
    points, _ = boxes(8)
    one, two = (build(points, tmp_path / str(n), settings=RULE, workers=n, seed=4) for n in (1, 2))
    assert one.choice == two.choice
    assert torch.equal(one.to, two.to)


def test_nature_is_measured_once(tmp_path, monkeypatch):
    points, _ = boxes(9)
    maps = build(points, tmp_path, settings=RULE)
    children = boxes(5, seed=1)[0]
    fresh = Nature(points[:, -512:], torch.Generator().manual_seed(0)).statistics(children)
    search = "pcgen.distances.novelty.two_draw_distances"
    monkeypatch.setattr(search, lambda *_: pytest.fail("measured again"))
    kept = nature_of(maps.clouds, RULE, tmp_path, seed=0)
    assert kept.statistics(children) == fresh
    (tmp_path / "nature.safetensors").write_bytes(b"damaged")
    monkeypatch.undo()
    assert nature_of(maps.clouds, RULE, tmp_path, seed=0).statistics(children) == fresh
