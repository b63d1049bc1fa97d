"""Clouds in one ``.npz`` file, as ``sample`` writes and ``evaluate`` reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcgen.errors import InputError
from pcgen.files import parse_json
from pcgen.shapes.arrays import read_npz, write_npz


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Clouds of equal size with their categories.

    Attributes:
        points: (N, P, 3) float32, finite.
        category: (N,) names; ``""`` if unknown.
        meta: JSON-ready; the origin of the samples (run, seed, steps, version).
        normals: (N, P, 3) float32, or None.
        latents: (N, D) float32 that a run decoded them from, or None.
    Raises:
        InputError: a wrong shape, NaN or infinity, or ``meta`` that is not JSON.
    """

    points: NDArray[np.float32]
    category: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, "U1"))
    meta: dict[str, Any] = field(default_factory=dict)
    normals: NDArray[np.float32] | None = None
    latents: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        points = _clouds("points", self.points)
        category = np.asarray(self.category)
        if category.size == 0 and len(points):
            category = np.full(len(points), "")
        if category.shape != (len(points),) or category.dtype.kind != "U":
            raise InputError(
                f"category must be {len(points)} names, one per cloud, got shape {category.shape} "
                f"of {category.dtype}"
            )
        if not isinstance(self.meta, dict):
            raise InputError(f"meta must be a JSON object, got {type(self.meta).__name__}")
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "category", category)
        if self.normals is not None:
            normals = _clouds("normals", self.normals)
            if normals.shape != points.shape:
                raise InputError(
                    f"normals must have the shape of points {points.shape}, got {normals.shape}"
                )
            object.__setattr__(self, "normals", normals)
        if self.latents is not None:
            latents = np.asarray(self.latents)
            if latents.ndim != 2 or len(latents) != len(points) or latents.dtype.kind != "f":
                raise InputError(
                    f"latents must be numbers of shape ({len(points)}, D), got {latents.shape} "
                    f"of {latents.dtype}"
                )
            if not np.isfinite(latents).all():
                raise InputError("latents hold NaN or infinity")
            object.__setattr__(self, "latents", latents.astype(np.float32))

    def __len__(self) -> int:
        return len(self.points)

    def with_meta(self, **more: Any) -> Samples:
        """A copy with more entries in ``meta``."""
        return replace(self, meta=self.meta | more)

    def save(self, path: Path | str) -> Path:
        """Write the ``.npz`` atomically; returns its path. Equal samples give equal bytes."""
        path = Path(path)
        if path.suffix != ".npz":
            raise InputError(f"samples are written as .npz, got the name {path}")
        try:
            meta = json.dumps(self.meta, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"meta cannot be written as JSON: {error}") from None
        arrays: dict[str, NDArray[Any]] = {
            "points": self.points,
            "category": self.category,
            "meta": np.array(meta),
        }
        if self.normals is not None:
            arrays["normals"] = self.normals
        if self.latents is not None:
            arrays["latents"] = self.latents
        write_npz(path, arrays)
        return path

    @classmethod
    def load(cls, path: Path | str) -> Samples:
        """Read what :meth:`save` wrote, or any ``.npz`` with a ``points`` array (N, P, 3).

        Raises:
            InputError: missing, damaged or pickled, or an array of the wrong shape.
        """
        arrays = read_npz(path)
        if "points" not in arrays:
            raise InputError(
                f"{path} holds no array 'points'; it has {', '.join(sorted(arrays)) or 'none'}"
            )
        try:
            meta = parse_json(str(arrays["meta"][()])) if "meta" in arrays else {}
            return cls(
                points=arrays["points"],
                category=arrays.get("category", np.zeros(0, "U1")),
                meta=meta,
                normals=arrays.get("normals"),
                latents=arrays.get("latents"),
            )
        except (InputError, ValueError, RecursionError) as error:
            raise InputError(f"{path} is not a samples file: {error}") from None


def noted_given(meta: Mapping[str, Any], count: int) -> tuple[int, ...]:
    """How many points of each of ``count`` samples, the first ones, came in where it was completed:
    as their ``meta`` notes it, else none.

    Raises:
        InputError: what is noted are no numbers of points.
    """
    noted = meta.get("given")
    if not isinstance(noted, list) or len(noted) != count:
        return ()
    if not all(type(points) is int and points >= 0 for points in noted):
        raise InputError(f"the points given of completed samples are no numbers: {noted[:4]}")
    return tuple(noted)


def _clouds(name: str, array: NDArray[Any]) -> NDArray[np.float32]:
    array = np.asarray(array)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype.kind not in "fiu":
        hint = "; add a batch axis with points[None]" if array.ndim == 2 else ""
        raise InputError(
            f"{name} must be numbers of shape (N, P, 3), got {array.shape} of {array.dtype}{hint}"
        )
    with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, refused below
        array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        bad = np.flatnonzero(~np.isfinite(array).all((1, 2)))
        raise InputError(f"{name} of {len(bad)} clouds hold NaN or infinity, first cloud {bad[0]}")
    return array
