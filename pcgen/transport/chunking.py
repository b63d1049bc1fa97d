"""Large tables of atoms and large samples in chunks, to bound the memory.

Atoms are centred in float64 chunk by chunk: a million of them must not be copied in double
precision.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

# Entries per block: 32 MiB of float64.
ENTRIES = 2**22

# Samples drawn and scored together: enough for a fast product, small beside the atoms.
DRAW = 4096


def centred_blocks(atoms: Tensor, centre: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
    """Yield blocks of atoms (n, dim) minus ``centre`` (dim,), in float64, with their slices."""
    rows = max(1, ENTRIES // atoms.shape[1])
    for top in range(0, len(atoms), rows):
        part = slice(top, top + rows)
        block = atoms[part].double()
        yield part, block if centre is None else block - centre


def mean(atoms: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean (dim,) in float64, with ``weights`` (n,) that sum to one, or uniform ones."""
    total = torch.zeros(atoms.shape[1], dtype=torch.float64, device=atoms.device)
    for part, block in centred_blocks(atoms):
        total += block.sum(0) / len(atoms) if weights is None else weights[part] @ block
    return total


def centred(atoms: Tensor, centre: Tensor, dtype: torch.dtype) -> Tensor:
    """Atoms minus their centre, (n, dim) in ``dtype``."""
    out = torch.empty(atoms.shape, dtype=dtype, device=atoms.device)
    for part, block in centred_blocks(atoms, centre):
        out[part] = block
    return out


def batches(total: int, size: int = DRAW) -> list[int]:
    """Split ``total`` into parts of at most ``size``."""
    return [min(size, total - done) for done in range(0, total, size)]
