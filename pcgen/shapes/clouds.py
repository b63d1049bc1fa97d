"""Types for the content of files, and the checks that every cloud passes.

Shared by :mod:`pcgen.shapes.cloud_arrays` and :mod:`pcgen.shapes.reading`, so that faulty points
are treated alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import MeshError
from pcgen.shapes.mesh_files import Mesh

Faulty = Literal["refuse", "drop", "keep"]


class Cloud(NamedTuple):
    """A point cloud as read: points (P, 3) float64, and unit normals (P, 3) or None.

    Unknown normals of single points are zero.
    """

    points: NDArray[np.float64]
    normals: NDArray[np.float64] | None = None


class OpenedShape(NamedTuple):
    """One shape, with notes on what was not understood or was left out."""

    shape: Mesh | Cloud
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileContent:
    """The content of a file.

    Attributes:
        shapes: in the order of the file.
        names: one per shape: the name of the file, numbered if it holds many.
        categories: one per shape; ``""`` if unknown.
        meta: that of a samples file; else empty.
        notes: on what was not understood or was left out.
    """

    shapes: Sequence[Mesh | Cloud]
    names: Sequence[str]
    categories: Sequence[str]
    meta: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def clean_cloud(cloud: Cloud, faulty: Faulty) -> tuple[Cloud, tuple[str, ...]]:
    """Treat faulty points as ``faulty`` says; returns the cloud and notes on what was done.

    Raises:
        MeshError: no point is left, or see :func:`check_cloud`.
    """
    cloud = check_cloud_shape(cloud)
    if faulty == "keep":
        return cloud, ()
    if faulty == "refuse" or np.isfinite(cloud.points).all():
        return check_cloud(cloud), ()
    kept = np.asarray(np.isfinite(cloud.points).all(axis=1))
    left = len(kept) - int(kept.sum())
    if left == len(kept):
        return check_cloud(cloud), ()
    notes = (f"left out {left} of {len(kept)} points that are NaN or infinite",)
    normals = None if cloud.normals is None else cloud.normals[kept]
    return check_cloud(Cloud(cloud.points[kept], normals)), notes


def check_cloud(cloud: Cloud) -> Cloud:
    """Refuse points that are missing, not (P, 3), not finite, or all equal.

    Normals are scaled to unit length; those of no length are zero, and None if all are.
    """
    points = check_cloud_shape(cloud).points
    if not np.isfinite(points).all():
        raise MeshError(f"{int((~np.isfinite(points)).any(1).sum())} points are NaN or infinite")
    extent = float(np.ptp(points, 0).max())
    if not (extent > 0 and np.isfinite(extent)):
        raise MeshError("all points are equal" if extent == 0 else "points are too far out")
    normals = cloud.normals
    if normals is not None:
        with np.errstate(all="ignore"):
            lengths = np.linalg.norm(normals, axis=1, keepdims=True)
            known = np.isfinite(lengths) & (lengths > 0)
            normals = np.where(known, normals / lengths, 0.0) if known.any() else None
    return Cloud(points, normals)


def check_cloud_shape(cloud: Cloud) -> Cloud:
    """Refuse points that are missing or not numbers of shape (P, 3); NaN is allowed."""
    points = cloud.points
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise MeshError(
            f"a cloud must be real numbers of shape (P, 3), got {points.dtype} {points.shape}"
        )
    if len(points) == 0:
        raise MeshError("no points")
    return Cloud(points.astype(np.float64), cloud.normals)
