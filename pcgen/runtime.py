"""Threads, memory and devices: set once per process, by the command that starts it."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pcgen import cores
from pcgen.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

# glibc's mallopt keys. Training allocates and frees large tensors; returning each to the kernel
# cost 23 % of one run, keeping them cost 2 %.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_PERTURB = -6


def configure(threads: int | None = None, processes: int = 1) -> int:
    """Fix the thread count of torch and keep freed memory in the process.

    Args:
        threads: at least 1; by default ``PCGEN_THREADS``, else ``OMP_NUM_THREADS``, else the number
            of free cores.
        processes: number of processes that share these cores; torchrun sets ``OMP_NUM_THREADS`` for
            them, which is ignored.
    Returns:
        the number of threads. Results of training are reproducible for one number, not across.
    """
    import torch

    count = threads or _named_threads("PCGEN_THREADS")
    if not count and processes == 1:
        count = _named_threads("OMP_NUM_THREADS") or max(1, round(cores.free_cores()))
    count = count or max(1, cores.usable_cores() // processes)
    if count < 1:
        raise InputError(f"threads must be at least 1, got {count}")
    torch.set_num_threads(count)
    keep_freed_memory()
    return count


def _named_threads(name: str) -> int:
    """The number in an environment variable, 0 if there is none; the first of a list."""
    text = os.environ.get(name, "").split(",")[0].strip()
    if not text:
        return 0
    if not text.isdigit() or int(text) < 1:
        raise InputError(f"{name} must be a number of threads, at least 1, got {text!r}; unset it")
    return int(text)


@contextlib.contextmanager
def flushed_denormals() -> Iterator[None]:
    """Flush denormal numbers to zero within the block: tails of densities underflow, and arithmetic
    on denormals is many times slower. Not for a whole process, since libraries rely on them:
    SciPy's KD-trees otherwise recurse for ever."""
    import torch

    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def hand_out_zeroed_memory() -> None:
    """Make glibc clear every block it allocates; does nothing elsewhere.

    Open3D 0.20 draws some frames from unfilled vertex buffers if Mesa's software Vulkan is its
    driver. Old bytes there are thousands of triangles across the whole screen, and one such frame
    takes a minute; zeros are triangles without area, and cost nothing.
    """
    _mallopt(_M_PERTURB, 0xFF)  # glibc fills with the complement


def keep_freed_memory() -> None:
    """Make glibc reuse freed blocks instead of returning them; does nothing elsewhere."""
    _mallopt(_M_MMAP_MAX, 0)
    _mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _mallopt(option: int, value: int) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(option, value)


def pick_device(name: str = "auto", process: int = 0, processes: int = 1) -> str:
    """``auto`` is CUDA if torch sees a device, else the CPU; a named device must exist.

    Args:
        process: index of this process among the ``processes`` of a job on this machine; each uses a
            separate CUDA device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    if not name.startswith("cuda"):
        raise InputError(f"the device must be auto, cpu, cuda or cuda:N, got {name!r}")
    if not torch.cuda.is_available():
        raise InputError(f"device {name} was requested, but torch sees no CUDA device; use cpu")
    devices = torch.cuda.device_count()
    index = name.removeprefix("cuda").removeprefix(":")
    if name != "cuda" and not (index.isdigit() and int(index) < devices):
        raise InputError(
            f"device {name} was requested, but torch sees {devices}: cuda:0"
            + (f" to cuda:{devices - 1}" if devices > 1 else "")
        )
    if processes == 1:
        return _usable(name)
    # Schedulers such as Slurm give each process its own device, which it sees as cuda:0.
    alone = devices == 1 and name in ("cuda", "cuda:0") and _narrowed()
    if not alone and (name != "cuda" or processes > devices):
        raise InputError(
            f"{processes} processes on this machine need a CUDA device each, and torch sees "
            f"{devices}; start at most {devices} with --nproc_per_node, and name the device cuda"
        )
    return _usable("cuda:0" if alone else f"cuda:{process}")


def _narrowed() -> bool:
    """Whether the visible devices of this process were restricted, as by a scheduler."""
    names = ("CUDA_VISIBLE_DEVICES", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE")
    return any(os.environ.get(name) for name in names)


def _usable(name: str) -> str:
    """Check that this build of torch supports the device."""
    import torch

    try:
        torch.zeros(1, device=name).add_(1).item()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise InputError(
            f"device {name} cannot be used ({reason}); it may be too old for this torch, or its "
            "memory in use. Use --device cpu, another device, or another build of torch"
        ) from None
    # Tensors on "cuda" without a number, and NCCL's own buffers, use this one.
    torch.cuda.set_device(name)
    return name


def staged(values: Tensor, device: object) -> Tensor:
    """Copy a tensor to ``device`` without waiting.

    A copy from pageable memory would wait until the device reaches it in its queue.
    """
    import torch

    home = torch.device(device)  # type: ignore[call-overload]
    if home.type != "cuda" or values.is_cuda:
        return values.to(home)
    return values.pin_memory().to(home, non_blocking=True)


def free_bytes(device: str) -> int:
    """Free memory of a CUDA device; 0 for the CPU."""
    import torch

    return int(torch.cuda.mem_get_info(device)[0]) if device.startswith("cuda") else 0
