"""The reference backend: plain torch, in blocks that bound the memory."""

from __future__ import annotations

import torch
from torch import Tensor

# Entries of the largest intermediate matrix: 64 MiB of float32.
BLOCK_ENTRIES = 2**24


def nearest(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.nearest`; forming differences keeps them exact."""
    rows = max(1, BLOCK_ENTRIES // (x.shape[0] * y.shape[1] * x.shape[2]))
    distances, indices = [], []
    with torch.no_grad():
        for block in x.split(rows, dim=1):
            squared = (block[:, :, None] - y[:, None]).square().sum(-1)
            best = squared.topk(k, dim=-1, largest=False)
            distances.append(best.values)
            indices.append(best.indices)
    return torch.cat(distances, 1), torch.cat(indices, 1)


def best_cells(x: Tensor, atoms: Tensor, offset: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.best_cells`; a running top-k over blocks of atoms."""
    block = max(k, BLOCK_ENTRIES // max(1, len(x)))
    with torch.no_grad():
        values = x.new_full((len(x), 0), 0.0)
        indices = torch.zeros((len(x), 0), dtype=torch.int64, device=x.device)
        for start in range(0, len(atoms), block):
            stop = start + block
            scores = torch.addmm(offset[start:stop].to(x.dtype), x, atoms[start:stop].T)
            best = scores.topk(min(k, scores.shape[1]), dim=1)
            values = torch.cat([values, best.values], 1)
            indices = torch.cat([indices, best.indices + start], 1)
            if values.shape[1] > k:
                values, order = values.topk(k, dim=1)
                indices = indices.gather(1, order)
    return values, indices
