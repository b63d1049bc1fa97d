"""The local engine of :func:`pcgen.jobs.pool`: arrays are mapped, killed workers replaced."""

import pickle
import sys

import numpy as np
import pytest

from pcgen.errors import InputError, MissingPackage
from pcgen.jobs import pool
from pcgen.jobs.shared_object import SharedObject
from tests.jobs import killing


def answers(working, tasks):
    with working:
        for task in tasks:
            working.submit(task)
        return {outcome.task: outcome.result for outcome in working.outcomes()}


def test_a_worker_killed_from_outside_is_replaced_and_its_task_done(tmp_path):
    tasks = [(k, str(tmp_path / "flag")) for k in range(4)]
    found = answers(pool(killing.double, 4, workers=2), tasks)
    assert found == {task: 2 * task[0] for task in tasks}
    assert (tmp_path / "flag").exists()


def test_a_task_whose_worker_is_always_killed_is_given_up(tmp_path):
    with pool(killing.always, 1, workers=1) as working:
        working.submit(str(tmp_path / "tries"))
        (outcome,) = working.outcomes()
    assert (tmp_path / "tries").read_text() == "xxx"  # the first and two more
    assert outcome.death.item == 5
    assert "killed (SIGKILL)" in outcome.death.reason


def test_arrays_common_to_all_tasks_are_mapped_and_not_copied():
    values = np.arange(1000.0)
    assert answers(pool(killing.where, 1, workers=1, common=values), [0]) == {
        0: (True, float(values.sum()))
    }


def test_what_is_common_comes_back_as_it_was_and_leaves_no_file(tmp_path):
    value = {"a": np.arange(6.0).reshape(2, 3), "b": ["x", None], "c": np.zeros((0, 3))}
    common = SharedObject.save(value)
    found = common.load()
    assert np.array_equal(found["a"], value["a"])
    assert found["b"] == value["b"]
    assert found["c"].shape == (0, 3)
    common.remove()
    with pytest.raises(FileNotFoundError):
        common.load()


def test_no_workers_is_an_error():
    with pytest.raises(InputError, match="at least 1"):
        pool(killing.double, 1, workers=0)


def test_without_ray_a_cluster_is_refused_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackage, match=r"pip install 'pcgen\[ray\]'"):
        pool(killing.double, 1, ray="local")


def test_every_known_error_survives_the_way_to_another_process():
    missing = pickle.loads(pickle.dumps(MissingPackage("ray", "ray", "--ray")))
    assert str(missing) == str(MissingPackage("ray", "ray", "--ray"))
    assert missing.extra == "ray"
