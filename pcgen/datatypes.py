"""The types that rooms exchange: frames of shapes, and sources one can draw from.

Arrays of unknown origin stay numpy; what a network touches is torch. Points are float32, in the
frame named by the docstring. ``dim`` is 3 for shapes, but nothing here assumes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Frame:
    """What takes shapes back to their own units: ``points * scale + centre``, a similarity where
    all axes have one scale.

    Attributes:
        centre: (count, dim) float64, in each shape's own unit.
        scale: (count,), or (count, dim) for each axis, float64, positive, own units per normalised
            unit.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def restore(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Normalised (count, n, dim) points back in each shape's own unit."""
        restored = points * self._scale + self.centre[:, None, :]
        return restored.astype(points.dtype)

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Points (count, n, dim) in own units to normalised ones; inverse of :meth:`restore`."""
        normalised = (points - self.centre[:, None, :]) / self._scale
        return normalised.astype(points.dtype)

    @property
    def _scale(self) -> NDArray[np.float64]:
        """(count, 1, 1) or (count, 1, dim)."""
        return self.scale[:, None, None] if self.scale.ndim == 1 else self.scale[:, None]


@runtime_checkable
class Source(Protocol):
    """A probability measure one can draw from: the source of a transport problem, or a base.

    ``sample`` gives (count, dim) float32 and draws only from ``generator``: equal generator
    states give equal samples.
    """

    @property
    def dim(self) -> int: ...

    def sample(self, count: int, generator: Generator) -> Tensor: ...
