"""Types that packages share: frames of shapes, and sources that can be sampled.

Arrays of unknown origin stay in numpy; what a network uses is torch. Points are float32, in the
frame that the docstring names. ``dim`` is 3 for shapes, but nothing here assumes it.
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
    """The affine map of shapes back to their own units: ``points * scale + centre``.

    Attributes:
        centre: (count, dim) float64, in each shape's own unit.
        scale: (count,), or (count, dim) for each axis, float64, positive, own units per normalised
            unit.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def restore(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Transform normalised points (count, n, dim) to each shape's own unit."""
        restored = points * self._scale + self.centre[:, None, :]
        return restored.astype(points.dtype)

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Normalise points (count, n, dim) in own units; inverse of :meth:`restore`."""
        normalised = (points - self.centre[:, None, :]) / self._scale
        return normalised.astype(points.dtype)

    @property
    def _scale(self) -> NDArray[np.float64]:
        """(count, 1, 1) or (count, 1, dim)."""
        return self.scale[:, None, None] if self.scale.ndim == 1 else self.scale[:, None]


@runtime_checkable
class Source(Protocol):
    """A probability measure that can be sampled: the source of a transport problem, or a base.

    ``sample`` returns (count, dim) float32 and uses only ``generator``: equal generator
    states give equal samples.
    """

    @property
    def dim(self) -> int: ...

    def sample(self, count: int, generator: Generator) -> Tensor: ...
