"""Processes that each compute the gradient of some rows of a batch, on the CPU.

They are copies of the training process, forked after the network and its data exist, so they share
this memory and nothing is sent to them but rows and random states. Weights are in memory that all
of them see, so each step of the optimiser is theirs too, and gradients return in such memory.
Threads would wait for each other: Python's lock is held for 2 ms of a thread's step, however few
rows it has (docs/notes/budget.md).
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import NoReturn

import torch
from torch import Tensor, nn

from pcgen.errors import TrainingError


@dataclass(frozen=True)
class PartialGradient:
    """What a part of a batch contributes to a step.

    Attributes:
        loss: () of the part. gradients: one per parameter, None where it has no influence.
        state: of the random generator after the part.
    """

    loss: Tensor
    gradients: Sequence[Tensor | None]
    state: Tensor


# The gradient of some rows, given the state of the random generator before the batch.
Differentiate = Callable[[slice, Tensor], PartialGradient]


def can_fork() -> bool:
    """Whether a copy of this process can compute: not where Apple's libraries are, nor where torch
    sees a GPU, for which it differentiates in threads that are not copied."""
    able = hasattr(os, "fork") and sys.platform != "darwin"
    return able and not torch.accelerator.is_available()


class StepWorkers:
    """The calling process and ``count - 1`` copies of it.

    The copies end with :meth:`close`, or when the calling process does, even if it is killed.
    """

    def __init__(
        self,
        count: int,
        differentiate: Differentiate,
        parameters: Sequence[nn.Parameter],
        others: Iterable[nn.Parameter] = (),
    ) -> None:
        """Fork the copies.

        Args:
            differentiate: called in each process; must not change anything that outlasts the call.
            parameters: float32, on the CPU, that the gradients are of.
            others: more parameters that change while the workers exist.
        Raises:
            TrainingError: the machine allows no more processes.
        """
        self._differentiate = differentiate
        for parameter in (*parameters, *others):
            parameter.data = _shared(parameter.shape).copy_(parameter.data)
        self._connections: list[Connection] = []
        self._processes: list[int] = []
        self._returned = [[_shared(p.shape) for p in parameters] for _ in range(count - 1)]
        try:
            for gradients in self._returned:
                ours, theirs = multiprocessing.Pipe()
                self._connections.append(ours)
                process = _forked()
                if not process:
                    self._serve(theirs, gradients)
                theirs.close()
                self._processes.append(process)
        except TrainingError:
            self.close()
            raise

    def of_parts(self, parts: Sequence[slice], state: Tensor) -> list[PartialGradient]:
        """The gradients of up to ``count`` parts of a batch, each computed in another process.

        Those after the first are overwritten by the next call.

        Raises:
            TrainingError: a process was killed.
            Exception: what ``differentiate`` raised in one of them.
        """
        working = list(zip(self._connections, self._returned, parts[1:], strict=False))
        assert len(working) == len(parts) - 1
        try:
            for connection, _, rows in working:
                connection.send((rows, state.numpy()))
            try:
                results = [self._differentiate(parts[0], state)]
            finally:  # no reply may be taken for that of a later call
                replies = [connection.recv() for connection, _, _ in working]
        except (EOFError, ConnectionError):
            raise TrainingError(
                "a process that computes a part of each step is lost; was it killed, for its "
                "memory perhaps? Run the same command again: it resumes from the last state"
            ) from None
        for (_, shared, _), (loss, used, after) in zip(working, replies, strict=True):
            if isinstance(loss, Exception):
                raise loss
            gradients = [g if used[i] else None for i, g in enumerate(shared)]
            results.append(PartialGradient(torch.tensor(loss), gradients, torch.from_numpy(after)))
        return results

    def close(self) -> None:
        """End the copies."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            # It may be gone already, if the program ignores how its children end.
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(process, signal.SIGKILL)  # it has nothing to save
                os.waitpid(process, 0)
        self._connections, self._processes = [], []

    def _serve(self, connection: Connection, shared: Sequence[Tensor]) -> NoReturn:
        """Compute what the calling process asks for until it closes the connection."""
        try:
            for other in self._connections:
                other.close()  # so that the end of the calling process shows at the other end
            warnings.simplefilter("ignore")  # to print one may need a lock of another thread
            torch.set_flush_denormal(True)
            gc.freeze()  # garbage of the calling process is not this one's to finalise
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            torch.set_num_threads(1)  # OpenMP's threads are not copied
            while True:
                rows, state = connection.recv()
                try:
                    part = self._differentiate(rows, torch.from_numpy(state))
                    for gradient, place in zip(part.gradients, shared, strict=True):
                        if gradient is not None:
                            place.copy_(gradient)
                    used = [gradient is not None for gradient in part.gradients]
                    connection.send((part.loss.item(), used, part.state.numpy()))
                except Exception as error:
                    connection.send((_portable(error), [], None))
        finally:  # by an error too: nothing of the calling process may be done twice
            os._exit(0)


def _forked() -> int:
    """Copy this process; 0 in the copy, in this one the copy's number.

    An interrupt from the terminal is for this process alone: it stays blocked in the copy.
    """
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    process = -1
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns of other threads: a copy waits forever for a lock that one of them
            # holds. It only computes, in torch and pcgen.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
    except OSError as error:
        raise TrainingError(
            f"no process could be started to share a step ({error}); use --threads 1"
        ) from None
    finally:
        if process:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return process


def _shared(shape: Sequence[int]) -> Tensor:
    """Zeros, in memory that copies of this process share. Unlike ``Tensor.share_memory_`` it needs
    no room in /dev/shm, which containers limit to 64 MB."""
    count = max(1, torch.Size(shape).numel())
    memory = mmap.mmap(-1, 4 * count)
    return torch.frombuffer(memory, dtype=torch.float32)[: torch.Size(shape).numel()].view(shape)


def _portable(error: Exception) -> Exception:
    """The error, with its traceback as a note, if it can be sent to another process."""
    error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(traceback.format_exc())
    return error
