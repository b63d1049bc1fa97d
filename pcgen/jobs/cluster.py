"""The same work on a Ray cluster: Ray moves tasks and results, :mod:`workers` runs them.

Each Ray worker keeps one process of :mod:`pcgen.jobs.workers` and gives it one task after another.
So a file that crashes its parser ends only that process, and is reported as on one machine. If a
Ray worker or a whole machine dies, Ray gives its task to another.

Addresses are Ray's: ``HOST:6379`` or ``auto`` for a running cluster (``ray start --head``),
``local`` to start one on this machine for this job. Every machine needs the same pcgen, and the
input files of the tasks under the same path or URL; results go back to the calling process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pcgen import __version__
from pcgen.cores import usable_cores
from pcgen.errors import BackendError, MissingPackage
from pcgen.jobs.workers import Limits, Outcome, Work, Workers

#: How often Ray retries a task on another worker if one died. Workers that the system killed
#: because of their memory do not count; Ray waits until memory is free.
RETRIES = 4
#: Seconds to wait for an answer from a cluster.
CONNECT_S = 10
#: Bytes of shared memory for a cluster that pcgen starts on this machine.
STORE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class _Job:
    """What a Ray worker needs to process the tasks of a pool.

    Attributes:
        token: identifies the pool; a different one means a different process.
        common: a reference to what all tasks need, or None; in a tuple, as Ray would otherwise
            fetch it again for every task.
    """

    token: str
    version: str
    work: Work
    limits: Limits
    common: tuple[Any, ...]


class Cluster:
    """Tasks on a Ray cluster; see :func:`pcgen.jobs.pool`. Use as a context."""

    def __init__(
        self,
        work: Work,
        address: str,
        workers: int | None,
        *,
        common: Any = None,
        limits: Limits | None = None,
    ) -> None:
        self._ray = _import_ray()
        _connect(self._ray, address, workers)
        cores = int(self._ray.cluster_resources().get("CPU", 1))
        # Two tasks per core, so that no core waits while a result is written.
        self._most = workers or 2 * max(1, cores)
        shared = () if common is None else (self._ray.put(common),)
        job = _Job(uuid.uuid4().hex, __version__, work, limits or Limits(), shared)
        self._job = self._ray.put(job)
        self._remote = self._ray.remote(max_retries=RETRIES, num_cpus=1)(_do)
        self._waiting: deque[Any] = deque()
        self._running: dict[Any, Any] = {}

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for reference in self._running:
            with contextlib.suppress(Exception):  # it may have ended, or the cluster may be gone
                self._ray.cancel(reference, force=True)

    def submit(self, task: Any) -> None:
        """Put a task at the end of the queue; may be called between outcomes."""
        self._waiting.append(task)

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcomes of all tasks as they end."""
        while self._waiting or self._running:
            while self._waiting and len(self._running) < self._most:
                task = self._waiting.popleft()
                self._running[self._remote.remote(self._job, task)] = task
            ready, _ = self._ray.wait(list(self._running), num_returns=1)
            for reference in ready:
                task = self._running.pop(reference)
                kind, value = self._get(reference)
                if kind == "error":
                    raise value
                yield Outcome(task, value.result, value.death)

    def _get(self, reference: Any) -> tuple[str, Any]:
        try:
            answer: tuple[str, Any] = self._ray.get(reference)
            return answer
        except self._ray.exceptions.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise BackendError(
                f"Ray gave up a task after {RETRIES + 1} attempts "
                f"({type(error).__name__}: {lines[0] if lines else 'no reason'}); every machine "
                f"of the cluster needs pcgen {__version__}, and memory for one task per core"
            ) from None


def _do(job: _Job, task: Any) -> tuple[str, Any]:
    """Run a task in a Ray worker: ("done", outcome) or ("error", exception)."""
    try:
        outcome = next(_process(job, task))
        return "done", Outcome(None, outcome.result, outcome.death)
    except Exception as error:
        return "error", error


_own: tuple[str, Workers] | None = None


def _process(job: _Job, task: Any) -> Iterator[Outcome]:
    """Run a task in this Ray worker's process, which starts with the first task of a pool."""
    global _own
    if job.version != __version__:
        raise BackendError(
            f"a machine of the cluster has pcgen {__version__}, this one {job.version}; install "
            "the same version on all machines"
        )
    if _own is None or _own[0] != job.token:
        if _own is not None:
            _own[1].__exit__()
        common = _import_ray().get(job.common[0]) if job.common else None
        _own = job.token, Workers(job.work, 1, common=common, limits=job.limits)
    _own[1].submit(task)
    return _own[1].outcomes()


def _import_ray() -> Any:
    # By default Ray reports usage statistics to its authors.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise MissingPackage("ray", "ray", "--ray") from None
    return ray


_address = ""  # of the cluster this process has joined; it leaves at exit


def _connect(ray: Any, address: str, workers: int | None) -> None:
    """Join or start a cluster, unless already joined: an evaluation has many pools."""
    global _address
    if ray.is_initialized():
        if _address in ("", address):  # "": someone else has initialised Ray
            return
        ray.shutdown()
    own: dict[str, Any] = {}
    if address == "local":
        own = {
            "num_cpus": workers or usable_cores(),
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
        }
    _knock(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except Exception as error:  # e.g. no such host, another version, a dead cluster
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise BackendError(
            f"no Ray cluster answers at {address!r} ({first[:200]}); start one with: ray start "
            "--head, or use --ray local; if the cluster needs a token, set the variables "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from None
    _address = address


def _knock(address: str) -> None:
    """Check that something listens, as Ray would try for many minutes.

    Raises:
        BackendError: nothing listens at HOST:PORT.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # auto or local: Ray handles these
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise BackendError(
            f"no Ray cluster answers at {address!r} ({error}); start one with: ray start --head, "
            "or use --ray local"
        ) from None
