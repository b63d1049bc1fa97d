"""Workers crash, hang and run out of memory; the parent knows at which item, and continues."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pcgen.jobs.workers import Limits, Workers
from tests.jobs.hostile_work import misbehave


def outcomes(tasks, count=1, **limits):
    with Workers(misbehave, count, limits=Limits(**limits)) as workers:
        for task in tasks:
            workers.submit(task)
        return {tuple(outcome.task): outcome for outcome in workers.outcomes()}


@pytest.mark.parametrize(
    ("word", "reason"),
    [("crash", "SIGABRT"), ("exit", "exit code 7"), ("hang", "longer than 1 s")],
)
def test_a_death_names_its_item_and_the_rest_goes_on(word, reason):
    found = outcomes([["fine", word, "never"], ["also fine"]], time_s=1)
    death = found["fine", word, "never"].death
    assert death is not None
    assert death.item == 1
    assert reason in death.reason
    assert found[("also fine",)].result == ["also fine"]


def test_many_tasks_on_few_workers_all_come_back():
    tasks = [[f"{k}", "crash"] if k % 5 == 0 else [f"{k}"] for k in range(20)]
    found = outcomes(tasks, count=3)
    assert len(found) == 20
    assert sum(outcome.death is not None for outcome in found.values()) == 4


def test_memory_is_limited():
    with pytest.raises(MemoryError):
        outcomes([["fill"]], memory=2 * 2**30)


def test_a_defect_is_raised_in_the_parent():
    with pytest.raises(KeyError, match="defect"):
        outcomes([["raise"]])


def test_tasks_may_be_added_between_outcomes():
    with Workers(misbehave, 1) as workers:
        workers.submit(["first"])
        seen = []
        for outcome in workers.outcomes():
            seen.append(outcome.task[0])
            if outcome.task == ["first"]:
                workers.submit(["second"])
    assert seen == ["first", "second"]


def test_a_script_needs_no_guard(tmp_path):
    """Workers of a script that is saved in a file do not run it again."""
    script = tmp_path / "script.py"
    script.write_text(
        "from pcgen.jobs.workers import Workers\n"
        "from tests.jobs.hostile_work import misbehave\n"
        "print('once')\n"
        "with Workers(misbehave, 1) as workers:\n"
        "    workers.submit(['fine'])\n"
        "    print([outcome.result for outcome in workers.outcomes()])\n"
    )
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=here)
    assert (done.stdout, done.stderr) == ("once\n[['fine']]\n", "")
