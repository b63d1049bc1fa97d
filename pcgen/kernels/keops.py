"""KeOps: lazy reductions compiled once per formula; the only place that imports pykeops."""

from __future__ import annotations

import shutil

import torch
from torch import Tensor

from pcgen.errors import BackendError, MissingPackage

try:
    from pykeops.torch import LazyTensor
except ImportError as error:  # pragma: no cover - pykeops is a core dependency
    raise MissingPackage("pykeops", "", "the keops backend") from error
except OSError as error:  # when it is imported, it makes a folder for what it compiles
    raise BackendError(
        f"KeOps cannot write its cache folder ({error}); set KEOPS_CACHE_FOLDER to a folder that "
        "can be written, or choose another backend"
    ) from error

if shutil.which("g++") is None:  # it would end with a module that was not compiled
    raise BackendError(
        "the keops backend compiles its kernels with g++, which is not there; install it (apt "
        "install g++), or choose another backend"
    )


def nearest(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.nearest`."""
    with torch.no_grad():
        rows = LazyTensor(x.contiguous()[:, :, None, :])
        columns = LazyTensor(y.contiguous()[:, None, :, :])
        index = ((rows - columns) ** 2).sum(-1).argKmin(k, dim=2).long()
        picked = y.gather(1, index.flatten(1)[..., None].expand(-1, -1, y.shape[-1]))
        picked = picked.view(*index.shape, y.shape[-1])
        return (x[:, :, None] - picked).square().sum(-1), index


def best_cells(x: Tensor, atoms: Tensor, offset: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.best_cells`."""
    with torch.no_grad():
        rows = LazyTensor(x.contiguous()[:, None, :])
        columns = LazyTensor(atoms.contiguous()[None, :, :])
        shift = LazyTensor(offset.to(x.dtype).contiguous()[None, :, None])
        index = (-((rows | columns) + shift)).argKmin(k, dim=1).long()
        scores = torch.einsum("bd,bkd->bk", x, atoms[index]) + offset.to(x.dtype)[index]
        return scores, index


def soft_cells(x: Tensor, atoms: Tensor, offset: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.soft_cells`."""
    with torch.no_grad():
        rows = LazyTensor(x.contiguous()[:, None, :] / epsilon)
        columns = LazyTensor(atoms.contiguous()[None, :, :])
        shift = LazyTensor((offset / epsilon).to(x.dtype).contiguous()[None, :, None])
        scores = (rows | columns) + shift
        logarithm = scores.logsumexp(dim=1)
        shares = (scores - LazyTensor(logarithm[:, None, :])).exp()
        return logarithm[:, 0] * epsilon, shares.sum(dim=0)[:, 0].double()
