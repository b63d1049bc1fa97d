"""Run long work in one worker thread, in which a newer request replaces an older one."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pcgen.errors import PcgenError


@dataclass
class _Job:
    channel: str
    label: str
    work: Callable[[], Any]
    done: Callable[[Any], None]
    number: int


@dataclass
class Jobs:
    """A queue of work with one request per channel, which a newer one replaces.

    Attributes:
        deliver: runs a function on the window's thread; results are returned through it.
        failed: called with the error message, on the window's thread.
        busy: the label of the current work, "" when idle; any thread may read it.
    """

    deliver: Callable[[Callable[[], None]], None]
    failed: Callable[[str], None] = print
    busy: str = ""
    _newest: dict[str, int] = field(default_factory=dict)
    _number: int = 0
    _queue: queue.SimpleQueue[_Job | None] = field(default_factory=queue.SimpleQueue)
    _thread: threading.Thread | None = None

    def submit(
        self, channel: str, label: str, work: Callable[[], Any], done: Callable[[Any], None]
    ) -> None:
        """Do ``work`` in the background, then ``done(result)`` on the window's thread.

        A newer request on the channel discards the result, or the work if it has not started.
        """
        self._number += 1
        self._newest[channel] = self._number
        self._queue.put(_Job(channel, label, work, done, self._number))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="pcgen-viewer")
            self._thread.start()

    def cancel(self, channel: str) -> None:
        """Drop the request of the channel."""
        self._newest.pop(channel, None)

    def close(self) -> None:
        """End the worker after its current work."""
        self._newest.clear()
        self._queue.put(None)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            if not self._current(job):
                continue
            self.busy = job.label
            try:
                result = job.work()
            except PcgenError as error:
                self._report(str(error))
            except Exception as error:
                traceback.print_exc()  # a bug: report it, but keep the window open
                self._report(f"unexpected {type(error).__name__}: {error}")
            else:
                self.deliver(lambda job=job, result=result: self._finish(job, result))  # type: ignore[misc]
            finally:
                self.busy = ""

    def _finish(self, job: _Job, result: Any) -> None:
        if self._current(job):
            job.done(result)

    def _current(self, job: _Job) -> bool:
        return self._newest.get(job.channel) == job.number

    def _report(self, message: str) -> None:
        self.deliver(lambda: self.failed(message))


class ImmediateJobs(Jobs):
    """Runs all work immediately on the caller's thread, for scripts and tests."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        super().__init__(deliver=lambda call: call(), failed=failed)

    def submit(
        self, channel: str, label: str, work: Callable[[], Any], done: Callable[[Any], None]
    ) -> None:
        try:
            result = work()
        except PcgenError as error:
            self.failed(str(error))
        else:
            done(result)
