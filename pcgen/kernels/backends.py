"""The backend that ``auto`` selects, by the measured sizes at which one overtakes another.

KeOps compiles each formula once (8-20 s with a C++ compiler), so it is selected only where it is
clearly faster. On a CPU a dense product is fastest for scores in high dimension.
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BACKENDS = {
    "dense": "dense",
    "keops": "keops",
    "kdtree": "kdtree",
    "native": "native",
    "pytorch3d": "pytorch3d_knn",
}

# Numbers of point pairs per pair of clouds, measured on one CPU core. Below the first the dense
# product is as fast as anything; above the others a KD-tree, n log n, is faster than the compiled
# loops: brute force for one neighbour, cells for several. Between them, milliseconds for a batch of
# 32 clouds of 512 points, one neighbour: dense 186, KD-tree 10, native 3.2; for a pair of 2048:
# KD-tree 1.5-1.9, native 0.8; 24 neighbours in 1536 points for 256: KD-tree 0.77, native 0.29.
SMALL_PAIRS = 48 * 48
KDTREE_PAIRS = 256 * 256
NATIVE_PAIRS = 5000 * 5000
CELL_PAIRS = 20_000 * 20_000
CELL_NEIGHBOURS = 200  # inserting into a longer list takes longer than the tree


@functools.cache
def keops_usable() -> bool:
    """Whether PyKeOps and a C++ compiler are installed."""
    return importlib.util.find_spec("pykeops") is not None and shutil.which("g++") is not None


@functools.cache
def keops_usable_on_cuda() -> bool:
    """Whether KeOps can compile for CUDA and launch the result; warns if it cannot.

    Without NVRTC on the loader's path KeOps silently disables CUDA, and its CPU code would then
    read device addresses, which crashes the process. The same happens with a cache folder that is
    not writable. So this runs the smallest case once.
    """
    reason = _keops_fault()
    if reason:
        warnings.warn(
            f"KeOps cannot be used on the CUDA device ({reason}), so neighbours are found by dense "
            "distances, which are slower; pcgen doctor says how to install it",
            stacklevel=2,
        )
    return not reason


def _keops_fault() -> str:
    if not keops_usable():
        return "pykeops or a C++ compiler is missing"
    import torch

    try:
        import pykeops

        if not pykeops.config.gpu_available:
            return "it finds no NVRTC or CUDA driver"
        from pcgen.kernels import keops

        # A compilation that fails here, e.g. without CUDA's headers, would also fail in a training.
        tiny = torch.zeros(1, 2, 3, device="cuda")
        keops.nearest(tiny, tiny, 1)
    except Exception as error:  # of many kinds: a folder, a compiler, a driver
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return ""


def native_usable() -> bool:
    """Whether a C compiler is installed and compiles the loops."""
    from pcgen.kernels import compiled

    return compiled.usable()


def choose_backend(operation: str, x: Tensor, y: Tensor, k: int) -> str:
    """The name of the backend for ``operation`` on these sizes; see the measurements above."""
    plain = x.device.type == "cpu" and str(x.dtype) == "torch.float32"
    if operation == "nearest" and x.shape[-1] <= 3:
        if x.is_cuda:
            return "keops" if keops_usable_on_cuda() else "dense"
        pairs = x.shape[1] * y.shape[1]
        most = NATIVE_PAIRS if k == 1 else CELL_PAIRS
        fits = x.shape[-1] == 3 and k <= CELL_NEIGHBOURS and SMALL_PAIRS <= pairs <= most
        if fits and plain and native_usable():
            return "native"
        if pairs >= KDTREE_PAIRS:
            return "kdtree"
    # Scores on a CPU, nanoseconds each on one core, hard and soft cells: dense 1.1-2.8 and 2.0-4.9,
    # KeOps 5-144 and 19-312, from 50,000 atoms in 3 dimensions to 4,096 in 64: always dense.
    loops = {
        # 4096 atoms in 64 dimensions, one core: 40 µs a row native, 330 dense.
        "redrawn_cells": True,
        # 32 mixtures of 256 components, 768 points each, one core: 24 ms dense, 9 ms native.
        "mean_log_sum_exp": True,
        # Eight clouds of 1536 points, 8 levels, one core: 3.5 ms dense, 0.57 native.
        "median_cells": True,
        # 16 mixtures of 1024 components, with the gradient, one core: 6.5 ms dense, 1.4 ms native;
        # one mixture 1.7 and 0.13.
        "mixture_coefficients": x.shape[-1] == 3,
        # 2048 patches of 24 points, 32 hidden and 64 features, with the gradient, one core: 25 ms
        # dense, 5 ms native.
        "pooled_features": not x.requires_grad,
    }
    return "native" if plain and loops.get(operation) and native_usable() else "dense"
