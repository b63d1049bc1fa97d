"""The few expensive operations on which everything else is built, with interchangeable backends.

* :func:`nearest` - k nearest neighbours between batches of clouds, squared distances.
* :func:`chamfer` - the squared, two-sided Chamfer distance, differentiable.
* :func:`median_cells` - clouds divided at medians, level by level.
* :func:`best_cells` - the k largest scores ⟨atom_i, x⟩ + h_i, without storing batch × N scores.
* :func:`soft_cells` - a softmax of the same scores: log-sum-exp and summed shares.
* :func:`redrawn_cells` - softmax shares of rows whose leading coordinates are drawn 16 times.
* :func:`searched_cells` - the same among very many atoms, by beam search in a tree.
* :func:`searched_best` - the k largest scores, by this search.
* :func:`mean_log_sum_exp` - the log-likelihood of points under mixtures, with its gradient.
* :func:`mixture_coefficients` - what it takes of Gaussians, from their centres and factors.
* :func:`pooled_features` - the maximum of a small network over the points of a patch.

``dense.py`` is the reference: short and obviously right. ``keops.py``, ``kdtree.py``,
``native.py`` (C, compiled on first use by ``compiled.py``) and ``pytorch3d_knn.py`` must match it
in value, and in gradient if there is one. The backend is an argument: a name, or ``auto``, which
selects by measured sizes in :mod:`pcgen.kernels.backends` and never falls back after an error.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pcgen.errors import BackendError, InputError
from pcgen.kernels.backends import BACKENDS, choose_backend

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "BACKENDS",
    "backend_module",
    "best_cells",
    "chamfer",
    "choose",
    "mean_log_sum_exp",
    "median_cells",
    "mixture_coefficients",
    "nearest",
    "pooled_features",
    "redrawn_cells",
    "searched_best",
    "searched_cells",
    "soft_cells",
]


def backend_module(name: str) -> ModuleType:
    """Import a backend, and with it its heavy package."""
    if name not in BACKENDS:
        raise InputError(f"backend must be auto or one of {', '.join(BACKENDS)}, got {name!r}")
    return importlib.import_module(f"pcgen.kernels.{BACKENDS[name]}")


def _kernel(backend: str, operation: str) -> Callable[..., Any]:
    """Look up an operation of a backend.

    Raises:
        BackendError: the backend does not have it.
    """
    found: Callable[..., Any] | None = getattr(backend_module(backend), operation, None)
    if found is None:
        raise BackendError(f"the {backend} backend has no {operation}; use dense or auto")
    return found


def nearest(x: Tensor, y: Tensor, *, k: int = 1, backend: str = "auto") -> tuple[Tensor, Tensor]:
    """The k nearest points of y for each point of x, nearest first.

    Args:
        x: (batch, n, dim) float.
        y: (batch, m, dim) of the same dtype, m at least k.
    Returns:
        squared distances (batch, n, k), without gradient, and indices (batch, n, k) int64.
    """
    _check_clouds(x, y, k)
    if backend == "auto":
        backend = choose_backend("nearest", x, y, k)
    return _kernel(backend, "nearest")(x, y, k)


def chamfer(x: Tensor, y: Tensor, *, backend: str = "auto") -> Tensor:
    """mean_i min_j |x_i - y_j|² + mean_j min_i |x_i - y_j|² for each pair of the batch.

    Args:
        x: (batch, n, dim); y: (batch, m, dim). Gradients flow to both through the matched pairs.
    Returns:
        (batch,) squared distances: the mean of each side, added, not halved.
    """
    _, forward = nearest(x.detach(), y.detach(), backend=backend)
    _, backward = nearest(y.detach(), x.detach(), backend=backend)
    there = (x - _pick(y, forward)).square().sum(-1).mean(-1)
    back = (y - _pick(x, backward)).square().sum(-1).mean(-1)
    return there + back


def median_cells(along: Tensor, ranks: Tensor, levels: int, *, backend: str = "auto") -> Tensor:
    """Divide clouds into 2^levels cells of the same size, by splits at medians.

    Level l splits each cell along coordinate l mod dim. Points with equal coordinates are divided
    arbitrarily.

    Args:
        along: (batch, n, dim), the coordinates.
        ranks: (m,) int64, the points that are divided, by their places along the first coordinate;
            m is a multiple of the number of cells.
    Returns:
        (batch, 2^levels, m / 2^levels) int64, the points of each cell, in the order of the splits.
    """
    if along.ndim != 3 or ranks.ndim != 1 or len(ranks) % 2**levels:
        raise InputError(
            f"along must be (batch, n, dim) and ranks (m,), m a multiple of {2**levels}, got "
            f"{tuple(along.shape)} and {tuple(ranks.shape)}"
        )
    if backend == "auto":
        backend = choose_backend("median_cells", along, along, 1)
    found: Tensor = _kernel(backend, "median_cells")(along, ranks, levels)
    return found


def best_cells(
    x: Tensor, atoms: Tensor, offset: Tensor, *, k: int = 1, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """The k largest of ⟨atom_i, x⟩ + offset_i over all atoms, largest first.

    Args:
        x: (batch, dim); atoms: (N, dim); offset: (N,).
    Returns:
        scores (batch, k) and atom indices (batch, k) int64. Memory O(N·dim + batch·block).
    """
    _check_scores(x, atoms)
    if not 1 <= k <= len(atoms):
        raise InputError(f"k must be between 1 and the number of atoms {len(atoms)}, got {k}")
    if backend == "auto":
        backend = choose_backend("best_cells", x, atoms, k)
    return _kernel(backend, "best_cells")(x, atoms, offset, k)


def soft_cells(
    x: Tensor, atoms: Tensor, offset: Tensor, epsilon: float, *, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Entropic cells: the softmax of (⟨atom_i, x⟩ + offset_i) / epsilon over the atoms.

    Args:
        x: (batch, dim); atoms: (N, dim); offset: (N,); epsilon: positive, in units of a score.
    Returns:
        epsilon times the log-sum-exp (batch,), a smooth upper bound of the best score; and the
        shares of each atom summed over the batch, (N,) float64, which sum to the batch size.
    """
    _check_scores(x, atoms)
    if not epsilon > 0:
        raise InputError(f"epsilon must be positive, got {epsilon}; best_cells is the limit 0")
    if backend == "auto":
        backend = choose_backend("soft_cells", x, atoms, 1)
    return _kernel(backend, "soft_cells")(x, atoms, offset, epsilon)


def redrawn_cells(
    x: Tensor,
    atoms: Tensor,
    offset: Tensor,
    epsilon: float,
    *,
    slopes: Tensor,
    moves: Tensor,
    importance: Tensor,
    backend: str = "auto",
) -> tuple[Tensor, float]:
    """Entropic cells of points that share all but some leading coordinates, 16 to a row.

    Redraw (a, b) of a row has the scores ⟨atom_i, x⟩ + offset_i + ⟨moves[0, a], slopes[0, :, i]⟩ +
    ⟨moves[1, b], slopes[1, :, i]⟩: the product with x is computed once.

    Args:
        x: (batch, dim), the other coordinates; atoms: (N, dim); offset: (N,).
        epsilon: positive, in units of a score; 0 for hard cells.
        slopes: (2, r, N), the leading coordinates of the atoms, in two groups.
        moves: (batch, 2, 4, r), four draws of each group.
        importance: (N,).
    Returns:
        c_i summed over the batch, (N,) float64, where c_i is the mean share of atom i over the
        redraws of a row; and the sum over rows of Σ_i importance_i c_i².
    """
    _check_scores(x, atoms)
    if slopes.shape[::2] != (2, len(atoms)) or moves.shape != (len(x), 2, 4, slopes.shape[1]):
        raise InputError(
            "slopes must be (2, r, N) and moves (batch, 2, 4, r), got "
            f"{tuple(slopes.shape)} and {tuple(moves.shape)}"
        )
    if backend == "auto":
        backend = choose_backend("redrawn_cells", x, atoms, 1)
    found: tuple[Tensor, float] = _kernel(backend, "redrawn_cells")(
        x, atoms, offset, epsilon, slopes, moves, importance
    )
    return found


def searched_cells(
    x: Tensor,
    blocks: Tensor,
    offset: Tensor,
    starts: Sequence[int],
    beams: Sequence[int],
    epsilon: float,
    *,
    importance: Tensor,
    backend: str = "native",
) -> tuple[Tensor, float, Tensor, Tensor]:
    """Entropic cells over the atoms that a beam search visits in a tree of blocks.

    A block has 16 members: atoms on level 0, on higher levels blocks of the level below. All blocks
    of the last level are visited, and on each other level those whose own score as a member is
    among the best. So the result misses some cells, fewer with wider beams.

    Args:
        x: (batch, dim) float32.
        blocks: (B, dim, 16), level by level; starts: (levels + 1), the first block of each level,
            and B.
        offset: (B, 16), added to the scores; very negative where there is no member.
        beams: (levels - 1), number of blocks to visit on each level but the last.
        epsilon: in units of a score; 0 for hard cells.
        importance: (16 starts[1],), of the atoms.
    Returns:
        as :func:`redrawn_cells`, over the atoms in the order of the blocks; and for each point the
        atom with the largest score (batch,) int64 and that score (batch,).
    """
    found: tuple[Tensor, float, Tensor, Tensor] = _kernel(backend, "searched_cells")(
        x, blocks, offset, starts, beams, epsilon, importance
    )
    return found


def searched_best(
    x: Tensor,
    blocks: Tensor,
    offset: Tensor,
    starts: Sequence[int],
    beams: Sequence[int],
    k: int,
    *,
    backend: str = "native",
) -> tuple[Tensor, Tensor]:
    """The k largest scores among the atoms that the search of :func:`searched_cells` visits.

    Args:
        k: at most the number of atoms in the visited blocks.
    Returns:
        scores (batch, k), largest first, and their atoms (batch, k) int64 in the order of the
        blocks.
    """
    found: tuple[Tensor, Tensor] = _kernel(backend, "searched_best")(
        x, blocks, offset, starts, beams, k
    )
    return found


def mean_log_sum_exp(
    features: Tensor, coefficients: Tensor, *, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Mean over the rows of log Σ_k exp(features @ coefficients), with its gradient.

    Args:
        features: (batch, m, F); coefficients: (batch, F, K), both float.
    Returns:
        values (batch,) and their gradients in the coefficients (batch, F, K).
    """
    ranks = features.ndim, coefficients.ndim
    if ranks != (3, 3) or features.shape[::2] != coefficients.shape[:2]:
        raise InputError(
            "features must be (batch, m, F) and coefficients (batch, F, K), got "
            f"{tuple(features.shape)} and {tuple(coefficients.shape)}"
        )
    if backend == "auto":
        backend = choose_backend("mean_log_sum_exp", features, coefficients, 1)
    return _kernel(backend, "mean_log_sum_exp")(features, coefficients)


def mixture_coefficients(
    centre: Tensor, factor: Tensor, log_weight: Tensor, thickness: float, *, backend: str = "auto"
) -> Tensor:
    """Log-densities of weighted Gaussians as coefficients of 1, x and the products of x.

    Args:
        centre: (batch, K, dim); factor: (batch, K, dim, dim), A in the covariance
            A Aᵀ + thickness² I; log_weight: (batch, K). Gradients flow to all three.
    Returns:
        (batch, F, K): of x_i x_j for i ≤ j row by row, of x_i, and of 1.
    """
    batch, parts, dim = centre.shape
    if factor.shape != (batch, parts, dim, dim) or log_weight.shape != (batch, parts):
        raise InputError(
            "centre, factor and log_weight must be (batch, K, dim), (batch, K, dim, dim) and "
            f"(batch, K), got {tuple(centre.shape)}, {tuple(factor.shape)} and "
            f"{tuple(log_weight.shape)}"
        )
    if backend == "auto":
        backend = choose_backend("mixture_coefficients", centre, factor, 1)
    found: Tensor = _kernel(backend, "mixture_coefficients")(centre, factor, log_weight, thickness)
    return found


def pooled_features(
    points: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, *, backend: str = "auto"
) -> Tensor:
    """The maximum over the points x of a patch of w2 silu(w1 x + b1) + b2, feature by feature.

    Gradients flow through the point that has the maximum, the first of several.

    Args:
        points: (..., k, dim); ``native`` has no gradient in them.
        w1: (hidden, dim); b1: (hidden,); w2: (features, hidden); b2: (features,).
    Returns:
        (..., features).
    """
    if points.ndim < 2 or not points.shape[-2]:
        raise InputError(f"points must be (..., k, dim), k at least 1, got {tuple(points.shape)}")
    hidden, features = len(b1), len(b2)
    if w1.shape != (hidden, points.shape[-1]) or w2.shape != (features, hidden):
        raise InputError(
            f"w1 must be (hidden, dim) and w2 (features, hidden), got {tuple(w1.shape)} and "
            f"{tuple(w2.shape)} for points in {points.shape[-1]}D and biases of {hidden} and "
            f"{features}"
        )
    if backend == "auto":
        backend = choose_backend("pooled_features", points, w1, 1)
    found: Tensor = _kernel(backend, "pooled_features")(points, w1, b1, w2, b2)
    return found


def _pick(points: Tensor, index: Tensor) -> Tensor:
    return points.gather(1, index.expand(-1, -1, points.shape[-1]))


def _check_scores(x: Tensor, atoms: Tensor) -> None:
    if x.ndim != 2 or atoms.ndim != 2 or x.shape[1] != atoms.shape[1]:
        raise InputError(
            f"x must be (batch, dim) and atoms (N, dim), got {tuple(x.shape)} and "
            f"{tuple(atoms.shape)}"
        )


def _check_clouds(x: Tensor, y: Tensor, k: int) -> None:
    if x.ndim != 3 or y.ndim != 3 or x.shape[0] != y.shape[0] or x.shape[2] != y.shape[2]:
        raise InputError(
            "clouds must be (batch, n, dim) and (batch, m, dim), got "
            f"{tuple(x.shape)} and {tuple(y.shape)}; add a batch axis with points[None]"
        )
    if not 1 <= k <= y.shape[1]:
        raise InputError(f"k must be between 1 and the number of points {y.shape[1]}, got {k}")
