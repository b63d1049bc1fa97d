"""Which backend ``auto`` means, by the sizes at which one overtook the other when measured.

KeOps compiles each formula once (8-20 s with a C++ compiler), so it is chosen only where it
wins by more than a little. On a CPU a dense product wins for scores in high dimension.
"""

from __future__ import annotations

import functools
import importlib.util
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

BACKENDS = {"dense": "dense", "keops": "keops", "kdtree": "kdtree", "pytorch3d": "torch3d"}

# Pairs of points above which a KD-tree beats the dense product, measured on one CPU core.
KDTREE_PAIRS = 256 * 256


@functools.cache
def keops_usable() -> bool:
    """PyKeOps is installed and a C++ compiler is there for it to call."""
    return importlib.util.find_spec("pykeops") is not None and shutil.which("g++") is not None


def choose(operation: str, x: Tensor, y: Tensor, k: int) -> str:
    """Name the backend for ``operation`` on these sizes; see the measurements above."""
    if operation == "nearest" and x.shape[-1] <= 3:
        if x.is_cuda:
            return "keops" if keops_usable() else "dense"
        if x.shape[1] * y.shape[1] >= KDTREE_PAIRS:
            return "kdtree"
    return "dense"
