"""The reference backend: plain torch, in blocks that bound the memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

# Entries of the largest intermediate matrix: 64 MiB of float32.
BLOCK_ENTRIES = 2**24

# Entries of a block of scores that stays in a core's cache: on one core with 2 MiB of L2, blocks
# of 2^19 to 2^20 entries took half the time of one large matrix (4096 x 4096, dim 64).
CACHE_ENTRIES = 2**19
# With fewer rows a matrix product reads its columns too often: for 100,000 atoms, 16 rows cost
# twice as much per row as 64, in the cache or not. Below the lower number, matrix-vector products.
ENOUGH_ROWS = 64
LEAST_ROWS = 16
# Columns of a block if rows need not be complete: a third less time than with 4096.
COLUMNS = 1024

# exp of less is below 1e-17 of the largest share; much smaller arguments give denormal numbers,
# which made the sum ten times slower.
LOWEST_EXPONENT = -40.0
LOWEST_LIKELIHOOD = -60.0  # the same, for a gradient that sums few terms


def nearest(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.nearest`; computes differences, which keeps them exact."""
    rows = max(1, BLOCK_ENTRIES // (x.shape[0] * y.shape[1] * x.shape[2]))
    distances, indices = [], []
    with torch.no_grad():
        for block in x.split(rows, dim=1):
            squared = (block[:, :, None] - y[:, None]).square().sum(-1)
            best = squared.topk(k, dim=-1, largest=False)
            distances.append(best.values)
            indices.append(best.indices)
    return torch.cat(distances, 1), torch.cat(indices, 1)


def median_cells(along: Tensor, ranks: Tensor, levels: int) -> Tensor:
    """See :func:`pcgen.kernels.median_cells`."""
    batch, _, dim = along.shape
    index = along[..., 0].argsort(dim=1, stable=True)[:, ranks]
    for level in range(levels):
        index = index.view(batch, 2**level, -1)
        values = along[..., level % dim].gather(1, index.flatten(1)).view(index.shape)
        index = index.gather(2, values.argsort(dim=2, stable=True))
    return index.view(batch, 2**levels, -1)


def best_cells(x: Tensor, atoms: Tensor, offset: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.best_cells`; a running top-k over blocks of rows and of atoms."""
    offset = offset.to(x.dtype)
    values = x.new_empty(len(x), k)
    indices = torch.empty((len(x), k), dtype=torch.int64, device=x.device)
    rows, columns = score_rows(x, atoms), len(atoms)
    if not x.is_cuda and len(atoms) * ENOUGH_ROWS > CACHE_ENTRIES:
        rows, columns = max(1, CACHE_ENTRIES // COLUMNS), max(k, COLUMNS)
    elif rows * columns > 4 * BLOCK_ENTRIES:
        columns = max(k, 4 * BLOCK_ENTRIES // rows)
    with torch.no_grad():
        for top in range(0, len(x), rows):
            block = x[top : top + rows]
            best, index = _block_best(block, atoms[:columns], offset[:columns], k)
            for left in range(columns, len(atoms), columns):
                part = slice(left, left + columns)
                other, other_index = _block_best(block, atoms[part], offset[part], k)
                best, index = _better(best, index, other, other_index + left)
            values[top : top + rows], indices[top : top + rows] = best, index
    return values, indices


def soft_cells(x: Tensor, atoms: Tensor, offset: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.soft_cells`; complete rows of scores, a few rows at a time."""
    values = x.new_empty(len(x))
    mass = torch.zeros(len(atoms), dtype=torch.float64, device=x.device)
    scaled, rows = (offset / epsilon).to(x.dtype), score_rows(x, atoms)
    with torch.no_grad():
        for top in range(0, len(x), rows):
            scores = torch.addmm(scaled, x[top : top + rows], atoms.T, alpha=1 / epsilon)
            highest = scores.amax(1, keepdim=True)
            shares = scores.sub_(highest).clamp_(min=LOWEST_EXPONENT).exp_()
            total = shares.sum(1)
            mass += torch.mv(shares.T, total.reciprocal())
            values[top : top + rows] = (highest[:, 0] + total.log()) * epsilon
    return values, mass


def redrawn_cells(
    x: Tensor,
    atoms: Tensor,
    offset: Tensor,
    epsilon: float,
    slopes: Tensor,
    moves: Tensor,
    importance: Tensor,
) -> tuple[Tensor, float]:
    """See :func:`pcgen.kernels.redrawn_cells`; one softmax per redraw of a block of rows."""
    mass = torch.zeros(len(atoms), dtype=torch.float64, device=x.device)
    square = 0.0
    rows = max(1, score_rows(x, atoms) // 4)
    with torch.no_grad():
        for top in range(0, len(x), rows):
            part = slice(top, top + rows)
            still = torch.addmm(offset.to(x.dtype), x[part], atoms.T)
            share = torch.zeros_like(still)
            for a in moves[part, 0].unbind(1):
                for b in moves[part, 1].unbind(1):
                    scores = still + a @ slopes[0] + b @ slopes[1]
                    if epsilon:
                        share += (scores / epsilon).softmax(1)
                    else:
                        share.scatter_add_(1, scores.argmax(1, keepdim=True), torch.ones_like(a))
            share /= moves.shape[2] ** 2
            mass += share.sum(0, dtype=torch.float64)
            square += (share.square() @ importance.to(x.dtype)).sum(dtype=torch.float64).item()
    return mass, square


def searched_cells(
    x: Tensor,
    blocks: Tensor,
    offset: Tensor,
    starts: Sequence[int],
    beams: Sequence[int],
    epsilon: float,
    importance: Tensor,
) -> tuple[Tensor, float, Tensor, Tensor]:
    """See :func:`pcgen.kernels.searched_cells`: the result if no block is skipped."""
    atoms = blocks[: starts[1]].transpose(1, 2).reshape(-1, x.shape[1])
    scores = torch.addmm(offset[: starts[1]].reshape(-1), x, atoms.T)
    score, best = scores.max(1)
    if epsilon:
        share = torch.softmax(scores.double() / epsilon, 1)
    else:
        share = torch.nn.functional.one_hot(best, len(atoms)).double()
    return share.sum(0), (share.square() @ importance.double()).sum().item(), best, score


def searched_best(
    x: Tensor,
    blocks: Tensor,
    offset: Tensor,
    starts: Sequence[int],
    beams: Sequence[int],
    k: int,
) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.searched_best`: the result if no block is skipped."""
    atoms = blocks[: starts[1]].transpose(1, 2).reshape(-1, x.shape[1])
    return _block_best(x, atoms, offset[: starts[1]].reshape(-1), k)


def score_rows(x: Tensor, atoms: Tensor) -> int:
    """Rows of x whose scores fit a core's cache on a CPU, or a good share of a GPU's memory.

    If the cache holds too few for a fast product, as many as needed, within the memory.
    """
    count = max(1, len(atoms))
    if x.is_cuda:
        return min(len(x), max(LEAST_ROWS, 4 * BLOCK_ENTRIES // count))
    cached, enough = CACHE_ENTRIES // count, min(ENOUGH_ROWS, BLOCK_ENTRIES // count)
    return max(1, min(len(x), max(LEAST_ROWS, cached, enough)))


def _better(
    best: Tensor, index: Tensor, other: Tensor, other_index: Tensor
) -> tuple[Tensor, Tensor]:
    """The k best, best first, of two lists (rows, k) of scores and their indices."""
    if best.shape[1] == 1:
        wins = other > best
        return torch.where(wins, other, best), torch.where(wins, other_index, index)
    best, order = torch.cat([best, other], 1).topk(best.shape[1], dim=1)
    return best, torch.cat([index, other_index], 1).gather(1, order)


def _block_best(x: Tensor, atoms: Tensor, offset: Tensor, k: int) -> tuple[Tensor, Tensor]:
    scores = torch.addmm(offset, x, atoms.T)
    if k == 1:  # three times as fast as topk, and torch.max is as fast as argmax
        values, indices = scores.max(1, keepdim=True)
    else:
        values, indices = scores.topk(min(k, scores.shape[1]), dim=1)
    return values, indices


def mean_log_sum_exp(features: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.mean_log_sum_exp`; on a CPU, cached element by element."""
    batch, count, _ = features.shape
    gradient = torch.empty_like(coefficients)
    value = features.new_empty(batch)
    if features.is_cuda:
        return _fused_log_sum_exp(features, coefficients)
    for start in range(batch):
        rows = slice(start, start + 1)
        scores = torch.bmm(features[rows], coefficients[rows])
        top = scores.amax(2, keepdim=True)
        scores.sub_(top).clamp_min_(LOWEST_LIKELIHOOD).exp_()
        total = scores.sum(2, keepdim=True)
        value[rows] = (total.log() + top).mean((1, 2))
        torch.bmm((features[rows] / (total * count)).transpose(1, 2), scores, out=gradient[rows])
    return value, gradient


def _fused_log_sum_exp(features: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """The whole batch at once; softmax is a single CUDA kernel, so there are fewer passes."""
    scores = torch.bmm(features, coefficients)
    top, place = scores.max(2, keepdim=True)
    shares = scores.softmax(2)
    # The largest share is at least 1 / K, so its logarithm is accurate.
    value = (top - shares.gather(2, place).log()).mean((1, 2))
    return value, torch.bmm(features.transpose(1, 2) / features.shape[1], shares)


def covariances(factor: Tensor, thickness: float) -> Tensor:
    """A Aᵀ + thickness² I of factors A (..., dim, dim)."""
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    return factor @ factor.transpose(-1, -2) + thickness**2 * eye


def mixture_coefficients(
    centre: Tensor, factor: Tensor, log_weight: Tensor, thickness: float
) -> Tensor:
    """See :func:`pcgen.kernels.mixture_coefficients`."""
    dim = centre.shape[-1]
    precision, log_det = _inverse_and_log_det(covariances(factor, thickness))
    pull = torch.einsum("bkij,bkj->bki", precision, centre)
    constant = (
        log_weight
        - 0.5 * log_det
        - 0.5 * dim * math.log(2 * math.pi)
        - 0.5 * (pull * centre).sum(-1)
    )
    rows, columns = torch.triu_indices(dim, dim, device=precision.device)
    double = torch.where(rows == columns, -0.5, -1.0).to(precision)
    quadratic = precision[..., rows, columns] * double
    return torch.cat([quadratic, pull, constant[..., None]], -1).transpose(1, 2)


def pooled_features(points: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """See :func:`pcgen.kernels.pooled_features`; all features of all points, then the maximum."""
    hidden = functional.silu(functional.linear(points, w1, b1))
    return functional.linear(hidden, w2, b2).max(-2).values


def _inverse_and_log_det(s: Tensor) -> tuple[Tensor, Tensor]:
    """Inverse and log-determinant of small symmetric positive matrices (..., d, d).

    Uses cofactors in 3D: LAPACK's loop over thousands of 3 × 3 matrices, and its gradient, cost
    more than the rest of a training step.
    """
    if s.shape[-1] != 3:
        return torch.linalg.inv(s), torch.logdet(s)
    a, b, c = s[..., 0, 0], s[..., 0, 1], s[..., 0, 2]
    d, e, f = s[..., 1, 1], s[..., 1, 2], s[..., 2, 2]
    minors = (
        d * f - e * e,
        c * e - b * f,
        b * e - c * d,
        a * f - c * c,
        b * c - a * e,
        a * d - b * b,
    )
    det = a * minors[0] + b * minors[1] + c * minors[2]
    rows = [
        torch.stack([minors[i], minors[j], minors[k]], -1)
        for i, j, k in ((0, 1, 2), (1, 3, 4), (2, 4, 5))
    ]
    return torch.stack(rows, -2) / det[..., None, None], det.log()
