"""Loops over pairs of points in C, called with arrays and tensors.

``native.c``, ``search.c`` and ``cells.c`` next to this file document what they compute;
:mod:`pcgen.kernels.compiled` compiles them.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import BackendError
from pcgen.kernels.compiled import call, over_threads

if TYPE_CHECKING:
    from torch import Tensor

# Terms of less than exp(-20) of the largest are left out of a sum: float32 rounds at exp(-17).
LOWEST_EXPONENT = -20.0
# Shares of less than exp(-10) of the largest are left out of a softmax over many scores: together
# they were below a thousandth of it when measured.
WINDOW = 10.0
# Rows searched together: this many visits to a block of the first level at a time, if there are
# that many rows; the scores of more would not fit the cache.
VISITS = 16
SEARCHED_ROWS = 512, 4096
# A softmax with a smaller ε, in units of a score, is the argmax.
LARGEST_INVERSE = 1e20

# Members of a block of the search, see search.c.
LANES = 16

Clouds = NDArray[np.float32]


def prepare(clouds: Clouds) -> Clouds:
    """Convert clouds (count, n, 3) to the (count, 3, n) float32 that the C loops read."""
    return np.ascontiguousarray(np.asarray(clouds, np.float32).transpose(0, 2, 1))


def chamfer_table(x: Clouds, y: Clouds) -> NDArray[np.float64]:
    """All Chamfer distances between prepared clouds: (a, 3, n) and (b, 3, m) to (a, b)."""
    out = np.empty((len(x), len(y)))
    call("chamfer_table", x, len(x), x.shape[2], y, len(y), y.shape[2], out)
    return out


def chamfer_search(
    x: Clouds, y: Clouds, order: NDArray[np.int64], limit: float = math.inf
) -> NDArray[np.float64]:
    """Distances from the prepared cloud x (3, n) to the clouds y, exact only for the nearest.

    Args:
        order: all clouds of y; fastest if likely ones come first.
        limit: larger distances need not be exact.
    Returns:
        (clouds,) the distance if it is the smallest of all and not above the limit; otherwise a
        lower bound of it that is still larger than the smallest. So min and argmin are exact.
    """
    out = np.empty(len(y))
    x, order = np.ascontiguousarray(x), np.ascontiguousarray(order, np.int64)
    most = ctypes.c_double(limit)
    call("chamfer_search", x, x.shape[1], y, y.shape[2], order, len(order), most, out)
    return out


def annealed_table(
    x: Clouds, y: Clouds, levels: NDArray[np.float32], *, squared_cost: bool
) -> NDArray[np.float64]:
    """Annealed soft assignment costs of prepared clouds; see pcgen.distances.annealed_emd."""
    out = np.empty((len(x), len(y)))
    levels = np.ascontiguousarray(levels, np.float32)
    sizes = (x, len(x), y, len(y), x.shape[2])
    call("annealed_table", *sizes, levels, len(levels), int(squared_cost), out)
    return out


def nearest(x: Tensor, y: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.nearest`; in three dimensions, on the CPU."""
    import torch

    if x.shape[2] != 3 or x.is_cuda:
        raise BackendError(
            "the native backend finds neighbours in 3D on the CPU, got "
            f"{x.shape[2]}D on {x.device}; use kdtree, dense or keops"
        )
    from_, to = (np.ascontiguousarray(cloud.detach().numpy(), np.float32) for cloud in (x, y))
    (batch, n, _), m = from_.shape, to.shape[1]
    distance = np.empty((batch, n, k), np.float32)
    index = np.empty((batch, n, k), np.int64)
    if k == 1:
        from_, to = prepare(from_), prepare(to)

    def run(rows: slice) -> None:
        sizes, out = (from_[rows], n, to[rows], m), (distance[rows], index[rows])
        if k == 1:
            call("nearest_table", *sizes, len(out[0]), *out)
        else:
            call("nearest_cells", *sizes, len(out[0]), k, *out)

    over_threads(run, batch, n * m)
    return torch.from_numpy(distance).to(x.dtype), torch.from_numpy(index)


def median_cells(along: Tensor, ranks: Tensor, levels: int) -> Tensor:
    """See :func:`pcgen.kernels.median_cells`; float32 on the CPU."""
    import torch

    _check_float32("divides", along)
    values = np.ascontiguousarray(along.detach().numpy())
    chosen = np.ascontiguousarray(ranks.numpy(), np.int32)
    (batch, n, dim), m = values.shape, len(chosen)
    index = np.empty((batch, m), np.int64)

    def run(rows: slice) -> None:
        sizes = len(index[rows]), n, dim, chosen, m, levels
        call("median_cells", values[rows], *sizes, index[rows])

    over_threads(run, batch, n * levels)
    return torch.from_numpy(index).view(batch, 2**levels, -1)


def mean_log_sum_exp(features: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.mean_log_sum_exp`; float32 on the CPU."""
    import torch

    _check_float32("sums", features)
    from_, table = (t.detach().contiguous().numpy() for t in (features, coefficients))
    (batch, m, few), many = from_.shape, table.shape[2]
    value, gradient = np.empty(batch, np.float32), np.empty_like(table)
    lowest = ctypes.c_float(LOWEST_EXPONENT)

    def run(rows: slice) -> None:
        sizes = (len(value[rows]), m, few, many)
        out = value[rows], gradient[rows]
        call("log_sum_exp_table", from_[rows], table[rows], *sizes, lowest, *out)

    over_threads(run, batch, m * many)
    return torch.from_numpy(value), torch.from_numpy(gradient)


def mixture_coefficients(
    centre: Tensor, factor: Tensor, log_weight: Tensor, thickness: float
) -> Tensor:
    """See :func:`pcgen.kernels.mixture_coefficients`; float32 on the CPU, in three dimensions."""

    from pcgen.kernels.mixtures import MixtureCoefficients

    _check_float32("inverts", centre, factor, log_weight)
    if centre.shape[-1] != 3:
        raise BackendError(
            "the native backend has coefficients in three dimensions, got "
            f"{centre.shape[-1]}; use dense"
        )
    found: Tensor = MixtureCoefficients.apply(centre, factor, log_weight, thickness)
    return found


def pooled_features(points: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """See :func:`pcgen.kernels.pooled_features`; float32 on the CPU, no gradient in the points."""

    from pcgen.kernels.pooled import PooledFeatures

    _check_float32("pools", points, w1, b1, w2, b2)
    if points.requires_grad:
        raise BackendError("the native backend has no gradient in the points; use dense")
    *batch, k, dim = points.shape
    patches = points.reshape(math.prod(batch), k, dim).contiguous()
    pooled: Tensor = PooledFeatures.apply(patches, w1, b1, w2, b2)
    return pooled.view(*batch, len(b2))


def redrawn_cells(
    x: Tensor,
    atoms: Tensor,
    offset: Tensor,
    epsilon: float,
    slopes: Tensor,
    moves: Tensor,
    importance: Tensor,
) -> tuple[Tensor, float]:
    """See :func:`pcgen.kernels.redrawn_cells`; torch's matrix product, then C loops over it."""
    import torch

    from pcgen.kernels.dense import score_rows

    _check_float32("scores", x)
    r, rows = slopes.shape[1], score_rows(x, atoms)
    lines, draws, worth = (
        np.ascontiguousarray(t.numpy(), np.float32) for t in (slopes, moves, importance)
    )
    inverse = _sharpness(epsilon)
    shared = offset.float()

    def run(part: slice) -> tuple[NDArray[np.float64], float]:
        mass, square = np.zeros(len(atoms)), np.zeros(1)
        for top in range(part.start, part.stop, rows):
            bottom = min(top + rows, part.stop)
            scores = torch.addmm(shared, x[top:bottom], atoms.T).numpy()
            sizes = (bottom - top, len(atoms), r, inverse, ctypes.c_float(WINDOW))
            tables = scores, lines, draws[top:bottom], worth
            call("redrawn_table", *tables, *sizes, mass, square)
        return mass, float(square[0])

    parts = over_threads(run, len(x), len(atoms) * moves.shape[2] ** 2)
    return torch.from_numpy(sum(mass for mass, _ in parts)), sum(square for _, square in parts)


def searched_cells(
    x: Tensor,
    blocks: Tensor,
    offset: Tensor,
    starts: Sequence[int],
    beams: Sequence[int],
    epsilon: float,
    importance: Tensor,
) -> tuple[Tensor, float, Tensor, Tensor]:
    """See :func:`pcgen.kernels.searched_cells`."""
    import torch

    worth = np.ascontiguousarray(importance.numpy(), np.float32)
    tree = blocks, offset, starts, beams
    parts, score, best = _searched(x, tree, _sharpness(epsilon), worth, 0)
    mass = torch.from_numpy(sum(mass for mass, _ in parts))
    return mass, sum(square for _, square in parts), best[:, 0], score[:, 0]


def searched_best(
    x: Tensor,
    blocks: Tensor,
    offset: Tensor,
    starts: Sequence[int],
    beams: Sequence[int],
    k: int,
) -> tuple[Tensor, Tensor]:
    """See :func:`pcgen.kernels.searched_best`."""
    nothing = np.zeros(0, np.float32)
    return _searched(x, (blocks, offset, starts, beams), _sharpness(0.0), nothing, k)[1:]


def _searched(
    x: Tensor,
    tree: tuple[Tensor, Tensor, Sequence[int], Sequence[int]],
    inverse: ctypes.c_float,
    worth: NDArray[np.float32],
    k: int,
) -> tuple[list[tuple[NDArray[np.float64], float]], Tensor, Tensor]:
    """For k = 0 the masses and squares of each thread's rows, and the best score and atom of each
    row, (batch, 1) both; else the k best of each row, (batch, k)."""
    import torch

    if x.is_cuda or x.dtype != torch.float32:
        raise BackendError(f"the search scores float32 on the CPU, got {x.dtype} on {x.device}")
    _, _, starts, beams = tree
    points, blocks, heights = (np.ascontiguousarray(t.numpy(), np.float32) for t in (x, *tree[:2]))
    bounds, widths = np.array(starts, np.int32), np.array([*beams, 0], np.int32)
    fewest, most = SEARCHED_ROWS
    chunk = min(most, max(fewest, VISITS * starts[1] // max([1, *beams])))
    best = np.empty((len(x), max(1, k)), np.int32)
    score = np.empty(best.shape, np.float32)

    def run(part: slice) -> tuple[NDArray[np.float64], float]:
        mass, square = np.zeros(len(worth)), np.zeros(1)
        sizes = (chunk, inverse, ctypes.c_float(WINDOW))
        out = (mass, square, k, best[part], score[part])
        mine, levels = points[part], len(starts) - 1
        of_tree = (blocks, heights, bounds, levels, widths)
        call("search_table", mine, len(mine), x.shape[1], *of_tree, *sizes, worth, *out)
        return mass, float(square[0])

    parts = over_threads(run, len(x), LANES * sum(beams))
    return parts, torch.from_numpy(score), torch.from_numpy(best).long()


def _sharpness(epsilon: float) -> ctypes.c_float:
    return ctypes.c_float(min(1 / epsilon, LARGEST_INVERSE) if epsilon else LARGEST_INVERSE)


def _check_float32(does: str, *given: Tensor) -> None:
    import torch

    for tensor in given:
        if tensor.device.type != "cpu" or tensor.dtype != torch.float32:
            raise BackendError(
                f"the native backend {does} float32 on the CPU, got "
                f"{tensor.dtype} on {tensor.device}; use dense"
            )
