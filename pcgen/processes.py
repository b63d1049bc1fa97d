"""One job in several processes, on one machine or many: ranks, shares of a batch, and sums.

``torchrun --nproc_per_node 2 -m pcgen train ...`` starts the processes and describes them in the
environment; :func:`joined` makes a :class:`Group` of them. Without torchrun the group has one
process, and every method does nothing. Each process has the whole state and draws the same random
numbers; it computes its rows of a batch, and sums over the batch are reduced. So any number of
processes takes the same steps, up to rounding, and a different number can resume a run. Only the
first process reads and writes the run and reports; it sends the others what it has read, as JSON
and safetensors, never as pickle. Why torch.distributed: docs/notes/processes.md.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pcgen import progress
from pcgen.errors import InputError, PcgenError, ToldElsewhere, TrainingError
from pcgen.files import lock, lock_file

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

# Time-out for a message. A lost process is noticed sooner: over gloo immediately, as its connection
# closes; over NCCL, or if it is stopped, because its heartbeat stops.
PATIENCE = datetime.timedelta(minutes=30)
# For what the first process makes while the others wait: the maps of a large set take hours.
LONGEST_TURN = datetime.timedelta(days=7)
BEAT_S = 5.0
SILENT_BEATS = 9


class ProcessPlace(NamedTuple):
    """The rank of this process among all, and among those on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1


def place() -> ProcessPlace:
    """The ranks from the environment; a process that torchrun did not start is alone.

    Raises:
        InputError: the variables contradict each other.
    """
    if os.environ.get("WORLD_SIZE", "1") in ("", "1"):
        return ProcessPlace()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    words = [os.environ.get(name, "") for name in names]
    hint = "start the processes with torchrun, or unset WORLD_SIZE"
    if not all(word.isdigit() for word in words) or "MASTER_ADDR" not in os.environ:
        found = ", ".join(f"{n}={w!r}" for n, w in zip(names, words, strict=True))
        raise InputError(f"expected numbers in {found}, and MASTER_ADDR to be set; {hint}")
    found_place = ProcessPlace(*map(int, words))
    if found_place.rank >= found_place.size or found_place.local_rank >= found_place.local_size:
        raise InputError(f"there is no process {found_place.rank} of {found_place.size}; {hint}")
    return found_place


@dataclass(frozen=True)
class Group:
    """The processes of a job, seen from one of them.

    Attributes:
        rank: rank of this process, from 0; size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that reads and writes the run."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """This process's share of ``count`` rows: consecutive, with sizes as equal as possible."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Sum over the processes, in place; all of one dtype and device, in one message."""
        if self.size == 1:
            return
        import torch

        whole = torch.cat([tensor.reshape(-1) for tensor in tensors])
        self._call("all_reduce", whole)
        parts = whole.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def by_rows(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """``function(x)``, which acts on each row separately, computed by all processes for all.

        Args:
            x: (count, ...), the same in every process.
        Returns:
            (count, ...), the same in every process, bit for bit.
        """
        if self.size == 1 or len(x) < self.size:
            return function(x)
        rows = self.rows(len(x))
        part = function(x[rows])
        whole = part.new_zeros(len(x), *part.shape[1:])
        whole[rows] = part
        self.sum_([whole])
        return whole

    def every(self, able: bool) -> bool:
        """Whether ``able`` holds in all processes, as all must take the same path."""
        import torch

        count = torch.tensor([able], dtype=torch.int64)
        self.sum_([count])
        return count.item() == self.size

    def value(self, make: Callable[[], T]) -> T:
        """The result of ``make`` in the first process, plain JSON data, in every process."""
        if self.size == 1:
            return make()
        sent = json.dumps(make()).encode() if self.first else b""
        return json.loads(self._bytes(sent))  # type: ignore[no-any-return]

    def tensors(
        self, make: Callable[[], tuple[dict[str, Tensor], dict[str, Any]]]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON values, as of :func:`pcgen.checkpoint.load`, in every process."""
        if self.size == 1:
            return make()
        from safetensors.torch import load, save

        sent, rest = b"", dict[str, Any]()
        if self.first:
            tensors, rest = make()
            sent = save({name: tensor.contiguous() for name, tensor in tensors.items()})
        return load(self._bytes(sent)), self.value(lambda: rest)

    def same(self, make: Callable[[], str], complaint: str) -> None:
        """Compare the text that ``make`` returns here with that in the first process.

        Raises:
            TrainingError: it differs here; the message begins with ``complaint``.
        """
        if self.size == 1:
            return
        ours = make()
        theirs = self.value(lambda: ours)
        if theirs != ours:
            raise TrainingError(f"{complaint}: {ours} here, {theirs} in process 0")

    @contextlib.contextmanager
    def lock(self, folder: Path) -> Iterator[None]:
        """Lock ``folder``, which the first process writes, during the block."""
        with lock(folder) if self.first else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def lock_file(self, path: Path) -> Iterator[None]:
        """The same for a file; see :func:`pcgen.files.lock_file`."""
        with lock_file(path) if self.first else contextlib.nullcontext():
            yield

    def _bytes(self, data: bytes) -> bytes:
        """The first process's ``data``, in every process."""
        import torch

        length = torch.tensor([len(data)])
        self._call("broadcast", length, src=0, group=_patient())
        buffer = torch.empty(int(length), dtype=torch.uint8)
        if self.first and data:
            buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        self._call("broadcast", buffer, src=0, group=_patient())
        return buffer.numpy().tobytes()

    def _call(self, name: str, *arguments: Any, **options: Any) -> None:
        import torch.distributed as dist

        try:
            getattr(dist, name)(*arguments, **options)
        except RuntimeError as error:
            raise TrainingError(
                f"another process is lost ({str(error)[:160]}); was it killed, for its memory "
                "perhaps? Run the same command again: it resumes from the last state"
            ) from None


ALONE = Group()
_waiting: list[Any] = []


def _patient() -> Any:
    """The processes as torch's group for messages that may take LONGEST_TURN; None is its usual."""
    return _waiting[0] if _waiting else None


class _Heartbeat:
    """Tells the others that this process is alive, and ends it if another one is not.

    Silence is counted in beats of this process: a job that was stopped as a whole can continue.
    """

    def __init__(self, here: ProcessPlace) -> None:
        import torch.distributed as dist

        self._here, self._over = here, threading.Event()
        # A separate connection, as the other one may wait for a message.
        self._store = dist.TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=datetime.timedelta(seconds=BEAT_S * SILENT_BEATS),
        )
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Leave, so that the others do not wait for another beat."""
        self._over.set()
        self._thread.join()
        with contextlib.suppress(RuntimeError):
            self._store.add(f"pcgen/left/{self._here.rank}", 1)

    def _watch(self) -> None:
        others = [rank for rank in range(self._here.size) if rank != self._here.rank]
        heard, silent = dict.fromkeys(others, -1), dict.fromkeys(others, 0)
        while not self._over.wait(BEAT_S):
            for rank, beats in self._beats(others).items():
                silent[rank] = silent[rank] + 1 if beats == heard[rank] else 0
                heard[rank] = beats
                if silent[rank] >= SILENT_BEATS and not self._over.is_set():
                    self._give_up(rank)

    def _beats(self, others: list[int]) -> dict[int, int]:
        """The number of beats of each other process; unchanged if the store is gone."""
        try:
            self._store.add(f"pcgen/beats/{self._here.rank}", 1)
            counts = {rank: int(self._store.add(f"pcgen/beats/{rank}", 0)) for rank in others}
            left = [rank for rank in others if self._store.add(f"pcgen/left/{rank}", 0)]
        except RuntimeError:
            return {}
        return {rank: beats for rank, beats in counts.items() if rank not in left}

    def _give_up(self, rank: int) -> None:
        """End this process, which waits for a message that will not come."""
        if _failures(self._store) == 1:
            print(
                f"pcgen: another process is lost (process {rank} of {self._here.size} gave no sign "
                f"of life for {BEAT_S * SILENT_BEATS:.0f} s); was it killed, for its memory "
                "perhaps? Run the same command again: it resumes from the last state",
                file=sys.stderr,
                flush=True,
            )
        os._exit(2)


@contextlib.contextmanager
def joined() -> Iterator[Group]:
    """Join the other processes of this job, if torchrun started some, during the block.

    Raises:
        InputError: the environment contradicts itself, or the others cannot be reached.
    """
    here = place()
    if here.size == 1:
        yield ALONE
        return
    import torch
    import torch.distributed as dist

    # Its functions keep the group at the time of their import as a default. If imported later, as
    # by an optimiser, they keep the group's threads alive past the interpreter's end: abort.
    import torch.distributed.nn

    backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store = None
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
        dist.init_process_group(backends, store=store, rank=rank, world_size=size, timeout=PATIENCE)
        _waiting.append(dist.new_group(backend="gloo", timeout=LONGEST_TURN))
    except (RuntimeError, ValueError) as error:
        if store is not None and _failures(store) > 1:  # one failed while others connected
            raise ToldElsewhere(str(error)) from error
        raise InputError(
            f"process {here.rank} of {here.size} cannot reach the others at "
            f"{os.environ['MASTER_ADDR']} ({str(error)[:160]}); start them with torchrun"
        ) from None
    if here.rank:
        progress.set_quiet(True)
    heartbeat = _Heartbeat(here)
    try:
        yield Group(here.rank, here.size)
    except PcgenError as error:
        if _failures(store) > 1:
            raise ToldElsewhere(str(error)) from error
        if here.rank:
            error.args = (f"process {here.rank} of {here.size}: {error}",)
        raise
    finally:
        heartbeat.end()
        _waiting.clear()  # its threads end with the last reference
        dist.destroy_process_group()


def _failures(store: Any) -> int:
    """The number of failed processes, including this one; 1 if the store is gone."""
    try:
        return int(store.add("pcgen/failures", 1))
    except RuntimeError:
        return 1
