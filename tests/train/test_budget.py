"""A time budget: shares of the remaining time, saved clocks, and refused values."""

import json
import math
from types import SimpleNamespace

import pytest

from pcgen.errors import DataError, InputError
from pcgen.files import write_json
from pcgen.runfile import STAGES
from pcgen.train import budget as budget_module
from pcgen.train.budget import LEAST, SHARES, Budget, check_budget, plan_loop
from pcgen.train.loop import LoopSettings

LOOP = LoopSettings(steps=7)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that stand still until a test moves them."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(budget_module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def test_the_shares_are_of_the_stages_in_their_order():
    assert list(dict.fromkeys(part.split("/")[0] for part in SHARES)) == list(STAGES)
    assert math.fsum(SHARES.values()) <= 1


def test_parts_that_keep_to_their_shares_use_the_budget_up(clock, tmp_path):
    budget, taken = Budget(tmp_path, 10.0), {}
    for part, share in SHARES.items():
        taken[part] = budget.share(part)
        assert taken[part] == pytest.approx(600 * share / sum(SHARES.values()))
        clock.seconds += taken[part]
        budget.save()
    assert sum(taken.values()) == pytest.approx(600)
    assert budget.left() == pytest.approx(0)


def test_what_a_part_leaves_goes_to_the_later_ones_and_what_it_overruns_is_missing(clock, tmp_path):
    shares = {"children": 0.25, "base": 0.25, "point-flow": 0.5}
    budget = Budget(tmp_path, 10.0, shares)
    assert budget.share("children") == 150
    clock.seconds += 30  # of 150
    budget.save()
    assert budget.share("base") == pytest.approx(570 / 3)
    clock.seconds += 400
    budget.save()
    assert budget.share("point-flow") == pytest.approx(170)


def test_a_part_gets_a_third_of_its_share_however_late_it_is(clock, tmp_path):
    budget = Budget(tmp_path, 10.0)
    budget.begin("point-flow")
    clock.seconds += 10_000
    assert budget.left() == 0
    assert budget.share("point-flow/student") == pytest.approx(
        600 / 3 * 0.06 / sum(SHARES.values())
    )
    flows = sum(share for part, share in SHARES.items() if "flow" in part)
    assert flows * LEAST < 0.1


def test_a_clock_goes_on_in_another_process_from_where_it_stood(clock, tmp_path):
    first = Budget(tmp_path, 10.0)
    first.begin("children")
    clock.seconds += 40
    first.save()
    first.begin("autoencoder")
    clock.seconds += 100
    first.keep()  # the last time was long enough ago
    clock.seconds += 5
    first.keep()  # not yet again
    clock.seconds += 86_400  # nobody works
    second = Budget(tmp_path, 10.0)
    second.begin("autoencoder")
    assert second.used() == pytest.approx(140)


def test_a_stage_that_has_no_clock_but_is_finished_took_its_share(clock, tmp_path):
    write_json(tmp_path / "children" / "done.json", {})
    budget = Budget(tmp_path, 10.0)
    budget.begin("autoencoder")
    assert budget.used() == pytest.approx(600 * SHARES["children"])


def test_the_time_of_a_part_is_decided_once(tmp_path):
    first = plan_loop(tmp_path, LOOP, lambda: 12.5)
    assert (first.seconds, first.steps) == (12.5, 7)
    assert plan_loop(tmp_path, LOOP, lambda: 99.0) == first
    assert json.loads((tmp_path / "plan.json").read_text()) == {"seconds": 12.5}


def test_without_a_budget_steps_are_counted_and_no_clock_is_kept(tmp_path):
    budget = Budget(tmp_path, None)
    budget.begin("children")
    budget.save()
    assert budget.left() is None
    assert list(tmp_path.iterdir()) == []
    assert plan_loop(tmp_path, LOOP, lambda: budget.share("autoencoder")) == LOOP


def test_a_part_whose_time_is_used_up_still_gets_some(tmp_path):
    assert plan_loop(tmp_path, LOOP, lambda: 0.0).seconds > 0


READERS = {
    "plan.json": lambda folder: plan_loop(folder, LOOP, lambda: None),
    "children/clock.json": lambda folder: Budget(folder, 1.0).begin("children"),
}


@pytest.mark.parametrize("held", ["[]", "{}", '{"seconds": -1}', '{"seconds": NaN}', "1", "{"])
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_plan_or_clock_is_named(tmp_path, name, held):
    (tmp_path / "children").mkdir()
    (tmp_path / name).write_text(held)
    with pytest.raises(DataError, match=rf"{name} is damaged"):
        READERS[name](tmp_path)


@pytest.mark.parametrize("minutes", [0, 1 / 60, -5, float("nan"), float("inf")])
def test_a_budget_that_nothing_fits_in_is_refused(minutes):
    with pytest.raises(InputError, match="omit it to train for the preset"):
        check_budget(minutes)


def test_a_budget_of_a_year_is_a_budget(tmp_path):
    check_budget(365 * 24 * 60)
    share = Budget(tmp_path, 365 * 24 * 60).share("children")
    assert share == pytest.approx(365 * 86_400 * SHARES["children"] / sum(SHARES.values()))
