"""The same work on a Ray cluster: Ray moves tasks and results, :mod:`workers` runs them.

Each Ray worker keeps one process of :mod:`pcgen.jobs.workers` and gives it task after task. So a
file that crashes its parser ends that process alone and is named as on one machine. When a Ray
worker or a whole machine dies, Ray gives its task to another.

Addresses are Ray's: ``HOST:6379`` or ``auto`` for a running cluster (``ray start --head``),
``local`` to start one on this machine for this job. Every machine needs the same pcgen, and the
files that tasks read under the same path or URL; results go back to the process that asked.
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

#: How often Ray gives a task to another worker when one died. Those that the system killed for
#: their memory do not count, Ray waits with them until there is some.
RETRIES = 4
#: Seconds to wait for an answer of a cluster.
CONNECT_S = 10
#: Bytes of shared memory that a cluster of our own may take on this machine.
STORE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class _Job:
    """What a Ray worker must know to do tasks of a pool.

    Attributes:
        token: of the pool: another one means another process.
        common: a reference to what all tasks need, or None; in a tuple, or Ray would fetch it
            anew for every task.
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
        # Two tasks a core, so that none waits for us while a result is written.
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
            with contextlib.suppress(Exception):  # it may have ended, or the cluster be gone
                self._ray.cancel(reference, force=True)

    def submit(self, task: Any) -> None:
        """Put a task at the end of the queue; may be called between outcomes."""
        self._waiting.append(task)

    def outcomes(self) -> Iterator[Outcome]:
        """The outcomes of all tasks as they come, until none is left."""
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
                f"of the cluster needs pcgen {__version__}, and memory for one task a core"
            ) from None


def _do(job: _Job, task: Any) -> tuple[str, Any]:
    """One task, in a Ray worker: ("done", its outcome) or ("error", what it raised)."""
    try:
        outcome = next(_process(job, task))
        return "done", Outcome(None, outcome.result, outcome.death)
    except Exception as error:
        return "error", error


_own: tuple[str, Workers] | None = None


def _process(job: _Job, task: Any) -> Iterator[Outcome]:
    """The process of this Ray worker, started with its first task of a pool."""
    global _own
    if job.version != __version__:
        raise BackendError(
            f"a machine of the cluster has pcgen {__version__}, this one {job.version}; install "
            "the same on all"
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


_address = ""  # of the cluster this process has joined; it leaves when it ends


def _connect(ray: Any, address: str, workers: int | None) -> None:
    """Join a cluster, or start one, if that has not been done: an evaluation has many pools."""
    global _address
    if ray.is_initialized():
        if _address in ("", address):  # the first: somebody else's affair
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
    except Exception as error:  # of many kinds: no such host, another version, a dead cluster
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise BackendError(
            f"no Ray cluster answers at {address!r} ({first[:200]}); start one with: ray start "
            "--head, or use --ray local; a cluster that wants a token gets it from the variables "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        ) from None
    _address = address


def _knock(address: str) -> None:
    """Ray tries for many minutes to reach what is not there.

    Raises:
        BackendError: nobody listens at a HOST:PORT.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # auto, local: Ray knows
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise BackendError(
            f"no Ray cluster answers at {address!r} ({error}); start one with: ray start --head, "
            "or use --ray local"
        ) from None
