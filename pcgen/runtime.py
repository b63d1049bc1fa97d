"""Threads, memory and devices: set once per process, by the command that starts it."""

from __future__ import annotations

import ctypes
import os

from pcgen.errors import InputError

# glibc's mallopt keys. Training allocates and frees large tensors; handing each back to the
# kernel cost 23 % of one run, keeping them cost 2 %.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_PERTURB = -6


def configure(threads: int | None = None) -> int:
    """Fix the thread count of torch and keep freed memory in the process.

    Args:
        threads: at least 1; by default ``PCGEN_THREADS``, else the cores we may use.
    Returns:
        the count in force. Results of training are reproducible for one count, not across.
    """
    import torch

    count = threads or int(os.environ.get("PCGEN_THREADS", "0")) or len(os.sched_getaffinity(0))
    if count < 1:
        raise InputError(f"threads must be at least 1, got {count}")
    torch.set_num_threads(count)
    # Tails of densities underflow, and arithmetic on denormals is many times slower.
    torch.set_flush_denormal(True)
    keep_freed_memory()
    return count


def hand_out_zeroed_memory() -> None:
    """Tell glibc to clear every block it hands out; elsewhere do nothing.

    Open3D 0.20 draws some frames from vertex buffers before they are filled when Mesa's software
    Vulkan is its driver. Old bytes there are triangles across the whole screen, thousands of
    them, and one such frame takes a minute; zeros are triangles without area, and cost nothing.
    """
    _mallopt(_M_PERTURB, 0xFF)  # glibc fills with the complement


def keep_freed_memory() -> None:
    """Tell glibc to reuse freed blocks instead of returning them; elsewhere do nothing."""
    _mallopt(_M_MMAP_MAX, 0)
    _mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _mallopt(option: int, value: int) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(option, value)


def pick_device(name: str = "auto") -> str:
    """``auto`` is CUDA where torch sees a device, else the CPU; a named one must exist."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name} was asked for, but torch sees no CUDA device; use cpu")
    return name
