"""Evaluate the reconstructions of an autoencoder relative to two samplings of real shapes.

A reconstruction is compared with an independent sampling of the same surface, not with the encoded
cloud. Every metric has a floor: its value for the encoded cloud in place of the reconstruction. A
perfect autoencoder reaches the floor, not zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError

if TYPE_CHECKING:
    from pcgen.model import ShapeModel

Clouds = NDArray[np.float32]
F_SHARE = 0.01  # tolerance of the F-score over the longest side (Tatarchenko et al. 2019)
STRAY = 0.99  # quantile of real distances above which a point counts as hole or outlier
BATCH = 16


def reconstruction_quality(encoded: Clouds, again: Clouds, rebuilt: Clouds) -> dict[str, Any]:
    """Metrics of a set of reconstructions.

    Args:
        encoded: (n, P, 3) encoded clouds; again: (n, Q, 3) independent samplings
            of the same shapes; rebuilt: (n, R, 3) reconstructions, all in one frame.
    Returns:
        plain data. ``cd`` and ``f_score`` have a ``floor`` each. ``holes`` is the share of the
        surface, ``outliers`` that of the reconstruction, that is farther from the other than 99 %
        of the points of a real cloud; real clouds have 0.01.
    Raises:
        InputError: different numbers of shapes, or no shape.
    """
    if not len(encoded) == len(again) == len(rebuilt) or not len(encoded):
        raise InputError(
            f"expected as many reconstructions as clouds, got {len(encoded)} encoded, "
            f"{len(again)} again and {len(rebuilt)} rebuilt"
        )
    rows = []
    for seen, other, made in zip(encoded, again, rebuilt, strict=True):
        to_seen, from_seen = _nearest(other, seen), _nearest(seen, other)
        to_made, from_made = _nearest(other, made), _nearest(made, other)
        tolerance = F_SHARE * float(np.ptp(other, axis=0).max())
        rows.append(
            (
                np.square(to_made).mean() + np.square(from_made).mean(),
                np.square(to_seen).mean() + np.square(from_seen).mean(),
                _f_score(to_made, from_made, tolerance),
                _f_score(to_seen, from_seen, tolerance),
                (to_made > np.quantile(to_seen, STRAY)).mean(),
                (from_made > np.quantile(from_seen, STRAY)).mean(),
            )
        )
    table = np.array(rows)
    cd, cd_floor, score, score_floor, holes, outliers = table.mean(0)
    return {
        "shapes": len(rows),
        "cd": {"mean": float(cd), "floor": float(cd_floor)},
        "cd_ratio": float(np.median(table[:, 0] / np.maximum(table[:, 1], 1e-12))),
        "f_score": {"tolerance": F_SHARE, "mean": float(score), "floor": float(score_floor)},
        "holes": float(holes),
        "outliers": float(outliers),
        "stray_floor": 1 - STRAY,
    }


def rebuild(model: ShapeModel, clouds: Clouds, *, seed: int = 0, steps: int = 1) -> Clouds:
    """Encode and decode (n, P, 3) clouds in the box frame, with the same number of points."""
    import torch

    parts = []
    for number, start in enumerate(range(0, len(clouds), BATCH)):
        batch = torch.from_numpy(np.ascontiguousarray(clouds[start : start + BATCH]))
        made = model.decode(
            model.encode(batch), points=clouds.shape[1], seed=seed + number, steps=steps
        )
        parts.append(made.points.numpy())
    return np.concatenate(parts)


def _nearest(points: Clouds, others: Clouds) -> NDArray[np.float64]:
    """(n,) distance of each point to the nearest of the others."""
    from scipy.spatial import cKDTree

    return cKDTree(others).query(points)[0]


def _f_score(there: NDArray[np.float64], back: NDArray[np.float64], tolerance: float) -> float:
    """Harmonic mean of the shares of points within the tolerance, in both directions."""
    recall, precision = float((there <= tolerance).mean()), float((back <= tolerance).mean())
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0
