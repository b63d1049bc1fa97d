"""Background work: results arrive in order, and only the newest request counts."""

import queue
import threading

from pcgen.errors import InputError
from pcgen.viewer.background import Jobs


class Desk:
    """Collects the results of the worker, like the loop of a window."""

    def __init__(self):
        self.calls = queue.Queue()
        self.told = []
        self.jobs = Jobs(deliver=self.calls.put, failed=self.told.append)

    def next(self):
        self.calls.get(timeout=20)()


def test_results_arrive_on_the_thread_that_fetches_them():
    desk, seen = Desk(), []
    desk.jobs.submit("a", "adding", lambda: 1 + 1,
                     lambda value: seen.append((value, threading.current_thread())))  # fmt: skip
    desk.next()
    assert seen == [(2, threading.current_thread())]
    desk.jobs.close()


def test_a_newer_wish_replaces_one_that_waits_and_one_that_runs():
    desk, started, go, done, worked = Desk(), threading.Event(), threading.Event(), [], []

    def slow():
        started.set()
        go.wait(20)
        return "first"

    desk.jobs.submit("item", "slow", slow, done.append)
    started.wait(20)
    assert desk.jobs.busy == "slow"
    desk.jobs.submit("item", "skipped", lambda: worked.append("second"), done.append)
    desk.jobs.submit("item", "newest", lambda: "third", done.append)
    go.set()
    desk.next()
    desk.next()
    assert done == ["third"]
    assert worked == []
    desk.jobs.close()


def test_long_work_keeps_nothing_else_waiting():
    desk, started, go, done = Desk(), threading.Event(), threading.Event(), []

    def mesh():
        started.set()
        go.wait(20)
        return "mesh"

    desk.jobs.submit("mesh", "meshing", mesh, done.append, long=True)
    started.wait(20)
    desk.jobs.submit("item", "sampling", lambda: "item", done.append)
    desk.next()
    assert done == ["item"]
    assert desk.jobs.busy == "meshing"
    go.set()
    desk.next()
    assert done == ["item", "mesh"]
    desk.jobs.close()


def test_errors_are_told_and_the_worker_goes_on(capsys):
    desk, done = Desk(), []

    def refuse():
        raise InputError("no such shape")

    desk.jobs.submit("a", "", refuse, done.append)
    desk.next()
    desk.jobs.submit("a", "", lambda: 1 / 0, done.append)
    desk.next()
    desk.jobs.submit("a", "", lambda: "well", done.append)
    desk.next()
    assert desk.told == ["no such shape", "unexpected ZeroDivisionError: division by zero"]
    assert done == ["well"]
    assert "ZeroDivisionError" in capsys.readouterr().err
    desk.jobs.close()
