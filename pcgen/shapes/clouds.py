"""What an opened file is: clouds, meshes, and notes; and what makes a cloud one that can be used.

Below the readers, so that arrays (:mod:`pcgen.shapes.cloud_arrays`) and files of one shape
(:mod:`pcgen.shapes.reading`) treat faulty points alike.
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
    """A point cloud as it came: points (P, 3) float64, and unit normals (P, 3) or None.

    A normal of a single point that is not known is zero.
    """

    points: NDArray[np.float64]
    normals: NDArray[np.float64] | None = None


class OpenedShape(NamedTuple):
    """One shape, and what was not understood or left out, in words."""

    shape: Mesh | Cloud
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FileContent:
    """What a file holds.

    Attributes:
        shapes: in the order of the file.
        names: of each: the file's, with a number where it holds many.
        categories: of each; ``""`` where nothing is known.
        meta: of a samples file; else empty.
        notes: what was not understood or left out, in words.
    """

    shapes: Sequence[Mesh | Cloud]
    names: Sequence[str]
    categories: Sequence[str]
    meta: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def clean_cloud(cloud: Cloud, faulty: Faulty) -> tuple[Cloud, tuple[str, ...]]:
    """A cloud as the caller wants its faulty points treated, and what was done.

    Raises:
        MeshError: nothing is left, or what :func:`check_cloud` refuses.
    """
    cloud = check_cloud_shape(cloud)
    if faulty == "keep":
        return cloud, ()
    kept = np.asarray(np.isfinite(cloud.points).all(axis=1))
    left = len(kept) - int(kept.sum())
    if not left or faulty == "refuse" or left == len(kept):
        return check_cloud(cloud), ()
    notes = (f"left out {left} of {len(kept)} points that are NaN or infinite",)
    normals = None if cloud.normals is None else cloud.normals[kept]
    return check_cloud(Cloud(cloud.points[kept], normals)), notes


def check_cloud(cloud: Cloud) -> Cloud:
    """Refuse points that are none, not (P, 3), not finite or all in one place.

    Normals are brought to unit length; those that have none are zero, and None where all are.
    """
    points = check_cloud_shape(cloud).points
    if not np.isfinite(points).all():
        raise MeshError(f"{int((~np.isfinite(points)).any(1).sum())} points are NaN or infinite")
    extent = float(np.ptp(points, 0).max())
    if not (extent > 0 and np.isfinite(extent)):
        raise MeshError("all points lie in one place" if extent == 0 else "points are too far out")
    normals = cloud.normals
    if normals is not None:
        with np.errstate(all="ignore"):
            lengths = np.linalg.norm(normals, axis=1, keepdims=True)
            known = np.isfinite(lengths) & (lengths > 0)
            normals = np.where(known, normals / lengths, 0.0) if known.any() else None
    return Cloud(points, normals)


def check_cloud_shape(cloud: Cloud) -> Cloud:
    """Refuse points that are none or not numbers (P, 3); the numbers may be any."""
    points = cloud.points
    if points.ndim != 2 or points.shape[1] != 3 or points.dtype.kind not in "fiu":
        raise MeshError(f"a cloud must be numbers of shape (P, 3), got {points.shape}")
    if len(points) == 0:
        raise MeshError("no points")
    return Cloud(points.astype(np.float64), cloud.normals)
