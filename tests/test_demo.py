"""The choices of the demo; the slow tests run all of it."""

import pytest

from pcgen import cores, pipeline
from pcgen.errors import InputError
from pcgen.files import write_json
from pcgen.runfile import FORMAT, NAME


class Reached(Exception):
    pass


@pytest.fixture
def budget(monkeypatch):
    """The minutes that a demo trains for, without training."""

    def train(dataset, out, *, budget_minutes, **options):
        raise Reached(budget_minutes)

    monkeypatch.setattr(pipeline, "prepare", lambda *_: None)
    monkeypatch.setattr(pipeline, "train", train)

    def minutes(out, count, **options):
        monkeypatch.setattr(cores, "usable_cores", lambda: count)
        with pytest.raises(Reached) as reached:
            pipeline.demo(out, **options)
        return reached.value.args[0]

    return minutes


def test_two_cores_train_for_less_time(tmp_path, budget):
    assert budget(tmp_path / "a", 1) == 9
    assert budget(tmp_path / "b", 2) == 6
    assert budget(tmp_path / "c", 8) == 6
    assert budget(tmp_path / "d", 8, budget_minutes=0.5) == 0.5


def test_an_interrupted_demo_keeps_its_budget(tmp_path, budget):
    (tmp_path / "run").mkdir()
    write_json(tmp_path / "run" / NAME, {"format": FORMAT, "budget_minutes": 9.0})
    assert budget(tmp_path, 8) == 9
    assert budget(tmp_path, 8, budget_minutes=3.0) == 3


@pytest.mark.parametrize("minutes", [0, 1 / 60, float("nan")])
def test_a_budget_that_nothing_fits_in_is_refused_before_anything_is_written(tmp_path, minutes):
    with pytest.raises(InputError, match=r"between 0\.05 and a million"):
        pipeline.demo(tmp_path / "out", budget_minutes=minutes)
    assert not (tmp_path / "out").exists()
