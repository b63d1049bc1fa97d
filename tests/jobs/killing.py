"""Work for worker processes that kills its worker once: by a flag that outlives it."""

import os
import signal
from pathlib import Path

from pcgen.distances.tables import _compute_one
from pcgen.generate import _decode
from pcgen.reconstruct.batch import mesh_one
from pcgen.shapes import shards
from pcgen.shapes.listing import check_visible


def kill_once(flag: Path, process: int) -> None:
    """The first caller kills a process."""
    try:
        flag.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(process, signal.SIGKILL)


def parent(process: int) -> int:
    """The number of a process's parent."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def double(task, announce, common=None):
    """Twice a number, or a number times the common data."""
    announce(0)
    number, flag = task
    if flag is not None:
        kill_once(Path(flag), os.getpid())
    return number * (2 if common is None else common)


def where(task, announce, common):
    """Whether the arrays that came with all tasks are mapped from a file, and their sum."""
    return not common.flags.writeable and not common.flags.owndata, float(common.sum())


def convert(shard, announce):
    """Like prepare, but the first Ray worker at the second shard dies."""
    if shard.number == 1:
        flag = Path(os.environ["PCGEN_TEST_FLAGS"]) / "prepare"
        kill_once(flag, parent(os.getppid()))  # ours is the fork server's child, as it is Ray's
    return shards.convert(shard, announce)


def compute_one(job, announce, arrays):
    """Like evaluate, but the first Ray worker dies, not the calling process."""
    if "PCGEN_TEST_FLAGS" in os.environ:
        kill_once(Path(os.environ["PCGEN_TEST_FLAGS"]) / "evaluate", parent(os.getppid()))
    return _compute_one(job, announce, arrays)


def decode(task, announce, common):
    """Like sample, but the first Ray worker at the second shard dies."""
    if task[0] > 0:
        kill_once(Path(os.environ["PCGEN_TEST_FLAGS"]) / "sample", parent(os.getppid()))
    return _decode(task, announce, common)


def mesh(job, announce, common):
    """Like mesh, but the first Ray worker at the fourth shape dies."""
    if "-0003" in job[0].name:
        kill_once(Path(os.environ["PCGEN_TEST_FLAGS"]) / "mesh", parent(os.getppid()))
    return mesh_one(job, announce, common)


def always(path, announce):
    """Never returns: its worker dies at item 5 and leaves a file."""
    with open(path, "a") as marks:
        marks.write("x")
    announce(5)
    os.kill(os.getpid(), signal.SIGKILL)


def blind(source, announce):
    """Work on a machine that does not see the source."""
    check_visible(source)
