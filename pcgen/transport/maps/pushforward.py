"""What a map makes of source points, and the figures that follow: coverage, mixture, replays."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pcgen.errors import InputError


@dataclass(frozen=True, eq=False)
class Mapped:
    """Points and where they came from.

    Attributes:
        points: (n, dim) in the type of the atoms.
        cell: (n,) int64, the atom whose cell each x is in.
        neighbours: (n, k) int64 atoms that may be mixed, ``cell`` first.
        shares: (n, k) float64, their weights, of sum one; zero across the singular set.
        rejected: (n,) bool, x is close to a wall where the map jumps; all False when not judged.
        gap: (n,) float64, distance from x to the wall of its next best cell, in source units.
        jump: (n,) float64, scale-free jump of the map across that wall.
    """

    points: Tensor
    cell: Tensor
    neighbours: Tensor
    shares: Tensor
    rejected: Tensor
    gap: Tensor
    jump: Tensor

    def figures(self, labels: Tensor | None = None) -> dict[str, float]:
        """Shares of the points: rejected, interpolated, replayed; with labels also by mode.

        Args:
            labels: (N,) int64, the mode of each atom. Adds ``coverage``, the share of modes that
                a point reached, and ``mixture``, the share of points that mix several modes.
        Raises:
            InputError: there are atoms without a label.
        """
        interpolated = (self.shares > 0).sum(1) > 1
        figures = {
            "rejected": self.rejected.double().mean().item(),
            "interpolated": interpolated.double().mean().item(),
            "replayed": (~interpolated).double().mean().item(),
        }
        if labels is not None:
            if labels.ndim != 1 or len(labels) <= self.neighbours.max():
                raise InputError(
                    f"labels must be one number for each of the atoms, which are more than "
                    f"{int(self.neighbours.max())}; got shape {tuple(labels.shape)}"
                )
            own = labels[self.neighbours]
            foreign = (own != own[:, :1]) & (self.shares > 0)
            figures["coverage"] = len(own[:, 0].unique()) / len(labels.unique())
            figures["mixture"] = foreign.any(1).double().mean().item()
        return figures
