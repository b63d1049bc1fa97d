"""Run work in the background, where a newer request replaces an older one.

One thread does what a user waits for, another what takes long, so that a new shape does not wait
for the mesh of the last one.
"""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pcgen.errors import PcgenError


@dataclass
class _Job:
    channel: str
    label: str
    work: Callable[[], Any]
    done: Callable[[Any], None]
    number: int


class Jobs:
    """Queues of work with one request per channel, which a newer one replaces.

    Attributes:
        deliver: runs a function on the window's thread; results are returned through it.
        failed: called with the error message, on the window's thread.
    """

    def __init__(
        self,
        deliver: Callable[[Callable[[], None]], None],
        failed: Callable[[str], None] = print,
    ) -> None:
        self.deliver, self.failed = deliver, failed
        self._newest: dict[str, int] = {}
        self._number = 0
        self._workers = {long: _Worker(self) for long in (False, True)}

    @property
    def busy(self) -> str:
        """The label of the current work, "" when idle; any thread may read it."""
        return self._workers[False].busy or self._workers[True].busy

    def submit(
        self,
        channel: str,
        label: str,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        *,
        long: bool = False,
    ) -> None:
        """Do ``work`` in the background, then ``done(result)`` on the window's thread.

        A newer request on the channel discards the result, or the work if it has not started.

        Args:
            long: it takes seconds; done in turn with other long work, beside the rest.
        """
        self._number += 1
        self._newest[channel] = self._number
        self._workers[long].take(_Job(channel, label, work, done, self._number))

    def cancel(self, channel: str) -> None:
        """Drop the request of the channel."""
        self._newest.pop(channel, None)

    def close(self) -> None:
        """End the workers after their current work."""
        self._newest.clear()
        for worker in self._workers.values():
            worker.take(None)

    def _finish(self, job: _Job, result: Any) -> None:
        if self._current(job):
            job.done(result)

    def _current(self, job: _Job) -> bool:
        return self._newest.get(job.channel) == job.number

    def _report(self, message: str) -> None:
        self.deliver(lambda: self.failed(message))


class _Worker:
    """One thread, begun with its first work.

    Attributes:
        busy: the label of its current work, "" when idle.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs, self.busy = jobs, ""
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def take(self, job: _Job | None) -> None:
        self._queue.put(job)
        if self._thread is None and job is not None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="pcgen-viewer")
            self._thread.start()

    def _run(self) -> None:
        jobs = self._jobs
        while (job := self._queue.get()) is not None:
            if not jobs._current(job):
                continue
            self.busy = job.label
            try:
                result = job.work()
            except PcgenError as error:
                jobs._report(str(error))
            except Exception as error:
                traceback.print_exc()  # a bug: report it, but keep the window open
                jobs._report(f"unexpected {type(error).__name__}: {error}")
            else:
                jobs.deliver(lambda job=job, result=result: jobs._finish(job, result))  # type: ignore[misc]
            finally:
                self.busy = ""


class ImmediateJobs(Jobs):
    """Runs all work immediately on the caller's thread, for scripts and tests."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        super().__init__(deliver=lambda call: call(), failed=failed)

    def submit(
        self,
        channel: str,
        label: str,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        *,
        long: bool = False,
    ) -> None:
        try:
            result = work()
        except PcgenError as error:
            self.failed(str(error))
        else:
            done(result)
