"""The types that rooms exchange: frames, batches of clouds, and the protocols of the methods.

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
    """The similarity that takes shapes back to their own units: ``points * scale + centre``.

    Attributes:
        centre: (count, dim) float64, in each shape's own unit.
        scale: (count,) float64, positive, own units per normalised unit.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def restore(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Normalised (count, n, dim) points back in each shape's own unit."""
        restored = points * self.scale[:, None, None] + self.centre[:, None, :]
        return restored.astype(points.dtype)

    def apply(self, points: NDArray[np.floating]) -> NDArray[np.floating]:
        """Points (count, n, dim) in own units to normalised ones; inverse of :meth:`restore`."""
        normalised = (points - self.centre[:, None, :]) / self.scale[:, None, None]
        return normalised.astype(points.dtype)


@dataclass(frozen=True)
class PointCloudBatch:
    """A batch of clouds of one size.

    Attributes:
        points: (batch, n, dim) float32, normalised; ``frame`` takes them back.
        normals: (batch, n, dim) unit vectors, or None.
        names: the id of each shape.
        frame: per-shape centre and scale, or None when the points are as they came.
    """

    points: Tensor
    names: tuple[str, ...]
    normals: Tensor | None = None
    frame: Frame | None = None


@runtime_checkable
class Source(Protocol):
    """A probability measure one can draw from: the source of a transport problem, or a base.

    ``sample`` gives (count, dim) float32 and draws only from ``generator``: equal generator
    states give equal samples.
    """

    @property
    def dim(self) -> int: ...

    def sample(self, count: int, generator: Generator) -> Tensor: ...


class VelocityField(Protocol):
    """v(x, t, z): x is (batch, dim) or (batch, n, dim), t (batch,) in [0, 1], z a condition.

    Time runs from the base at t = 0 to the data at t = 1 everywhere in this project.
    """

    def __call__(self, x: Tensor, t: Tensor, z: Tensor | None) -> Tensor: ...
