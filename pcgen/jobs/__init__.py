"""Work divided over processes that may die, on this machine or a Ray cluster.

:func:`pool` takes a function and tasks, and yields an :class:`~pcgen.jobs.workers.Outcome` for each
in the order in which they end. There are two engines:

* :mod:`workers`: processes of this machine, each with limits on time and memory;
* :mod:`cluster`: the machines of a Ray cluster, each of which runs tasks with :mod:`workers`. So
  a file that crashes its parser is found and reported in the same way everywhere.

:mod:`child` starts a single process, for a driver or a parser that may crash.

Workers return their results and write nothing. Only the process that the user started writes into a
folder; it holds the folder's lock and writes every part once, however often a task was retried.
"""

from __future__ import annotations

from typing import Any, Protocol

from pcgen.cores import usable_cores
from pcgen.errors import InputError
from pcgen.jobs.workers import Death, Limits, Outcome, Work, Workers

__all__ = ["Death", "Limits", "Outcome", "Pool", "Work", "pool"]


class Pool(Protocol):
    """The interface of both engines: a context that takes tasks and yields outcomes."""

    def __enter__(self) -> Pool: ...
    def __exit__(self, *_: object) -> None: ...
    def submit(self, task: Any) -> None: ...
    def outcomes(self) -> Any: ...


def pool(
    work: Work,
    tasks: int,
    *,
    workers: int | None = None,
    ray: str | None = None,
    common: Any = None,
    limits: Limits | None = None,
) -> Pool:
    """Start processes for ``work(task, announce)``, or ``work(task, announce, common)``.

    Args:
        work: a module-level function, which other processes can import; tasks, results and
            ``common`` must be picklable. An exception that it raises is raised here.
        tasks: the expected number, as more processes than tasks are useless.
        workers: processes; None for one per core, or on a cluster for as many as it offers.
        ray: address of a Ray cluster, see :mod:`pcgen.jobs.cluster`; None for this machine.
        common: what all tasks need; sent to each process (or machine of a cluster) once, with
            NumPy arrays mapped rather than copied.
        limits: limits per item; none by default.
    Raises:
        InputError: there is less than one worker. BackendError: no such cluster, or it cannot run
            pcgen.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    limits = limits or Limits()
    if ray is not None:
        from pcgen.jobs.cluster import Cluster

        return Cluster(work, ray, workers, common=common, limits=limits)
    count = min(workers or usable_cores(), max(1, tasks))
    return Workers(work, count, common=common, limits=limits)
