"""Work divided over processes that may die, on this machine or a Ray cluster.

In: a function and its tasks. Out: an :class:`~pcgen.jobs.workers.Outcome` for each, in the order
they end. :func:`pool` chooses the engine:

* :mod:`workers`: processes of this machine, each with limits on time and memory;
* :mod:`cluster`: the machines of a Ray cluster, on each of which :mod:`workers` runs the tasks. So
  a file that kills its parser is found and named in the same way everywhere.

:mod:`child` starts a single process, for a driver or a parser that may crash. Workers return their
results and write nothing. The process that the user started is the only writer of a
folder, holds its lock, and writes every part once, however often it was tried.
"""

from __future__ import annotations

from typing import Any, Protocol

from pcgen.cores import usable_cores
from pcgen.errors import InputError
from pcgen.jobs.workers import Death, Limits, Outcome, Work, Workers

__all__ = ["Death", "Limits", "Outcome", "Pool", "Work", "pool"]


class Pool(Protocol):
    """What both engines are: a context that takes tasks and gives outcomes."""

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
    """Processes for ``work(task, announce)``, or ``work(task, announce, common)``.

    Args:
        work: a function of a module, for other processes to find; tasks, results and ``common``
            can be pickled. An exception that it lets through is raised here.
        tasks: how many are expected: there is no use in more processes.
        workers: processes; None for one a core, on a cluster for as many as it offers.
        ray: a Ray cluster's address, see :mod:`pcgen.jobs.cluster`; None for this machine.
        common: what all tasks need; goes to each process (cluster: machine) once, and its
            NumPy arrays are mapped, not copied.
        limits: of one item; none by default.
    Raises:
        InputError: fewer than one worker; BackendError: no such cluster, or it cannot run pcgen.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    limits = limits or Limits()
    if ray is not None:
        from pcgen.jobs.cluster import Cluster

        return Cluster(work, ray, workers, common=common, limits=limits)
    count = min(workers or usable_cores(), max(1, tasks))
    return Workers(work, count, common=common, limits=limits)
