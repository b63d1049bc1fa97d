"""The base ω, the latents of children, and the semi-discrete map that couples them.

A latent has thousands of numbers, most of which say what the surface looks like in one place. What
the shape is shows in few directions: the leading principal ones, its **coordinates**. The base and
the transport live there. The map takes a point x of the base to a cell, and with it to a latent z_i
whose coordinates are y_i; wherever the flow ends, at y, the details come with the cell::

    z(y, i) = z_i + A (y − y_i)      with A the principal axes

So the continuous part of a shape is transported, and the details stay those of one real or child
surface: they are exchanged at the borders of cells, and never averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pcgen import base, checkpoint
from pcgen.base import BaseMeasure
from pcgen.kernels import best_cells
from pcgen.transport import SemidiscreteSolution

FLOW_SHARE = 0.25
"""How far a sample goes from the latent of its cell towards the end of its flow. The details are
those of that latent, and a shape far from it is none: docs/notes/local-codes.md has the figures."""
BLOCK = 2**14
"""Latents at a time, of the thousands of numbers of each, where a copy of all would be large."""
FILES = ("latents.safetensors", "base.safetensors", "map.npz")


@dataclass(frozen=True)
class Latents:
    """Latents of children of the training shapes, with their coordinates.

    Attributes:
        z: (N, latent_dim) float32.
        parent: (N, 2) int64, data-set rows of the parents; twice the same for a training shape.
        mirrored: (N, 2) bool, whether each parent is mirrored in x.
        label: (N,) int64, its category.
        names: the id of each row that is a parent; may be empty.
        mean: (latent_dim,); axes: (latent_dim, d), orthonormal columns.
        scale: coordinates are multiplied by it, so that their mean variance is one.
    """

    z: Tensor
    parent: Tensor
    mirrored: Tensor
    label: Tensor
    mean: Tensor
    axes: Tensor
    scale: float
    names: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        z: Tensor,
        parent: Tensor,
        mirrored: Tensor,
        label: Tensor,
        most: int,
        names: Mapping[int, str] | None = None,
    ) -> Latents:
        """With at most ``most`` coordinates, fewer where latents or their numbers are few."""
        mean = z.mean(0)
        keep = min(most, z.shape[1], max(1, len(z) - 1))
        if len(z) >= z.shape[1]:
            gram = z.new_zeros(z.shape[1], z.shape[1], dtype=torch.float64)
            for block in z.split(BLOCK):
                centred = (block - mean).double()
                gram += centred.T @ centred
            values, vectors = torch.linalg.eigh(gram)
            values, axes = values.flip(0)[:keep], vectors.flip(1)[:, :keep]
        else:
            centred = (z - mean).double()
            values, vectors = torch.linalg.eigh(centred @ centred.T)
            values = values.flip(0)[:keep].clamp_min(0)
            axes = centred.T @ vectors.flip(1)[:, :keep]
            axes = torch.linalg.qr(axes)[0]
        # An eigenvector's sign is the library's choice; this one does not depend on it.
        largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
        axes = axes * torch.where(largest < 0, -1.0, 1.0)
        variance = float(values.sum()) / (len(z) * keep)
        scale = variance**-0.5 if variance > 1e-12 else 1.0
        return cls(z, parent, mirrored, label, mean, axes.float(), scale, dict(names or {}))

    @cached_property
    def y(self) -> Tensor:
        """(N, d) coordinates of the latents."""
        return self.coordinates(self.z)

    def coordinates(self, z: Tensor) -> Tensor:
        """(n, latent_dim) to (n, d)."""
        parts = [(block - self.mean) @ self.axes * self.scale for block in z.split(BLOCK)]
        return torch.cat(parts)

    @property
    def explained(self) -> float:
        """The share of the variance of the latents that their coordinates hold."""
        whole = sum(float((block - self.mean).square().sum()) for block in self.z.split(BLOCK))
        return float((self.y / self.scale).square().sum()) / max(whole, 1e-12)

    def lifted(self, y: Tensor, cell: Tensor) -> Tensor:
        """Coordinates (n, d) with the details of latents ``cell`` (n,): (n, latent_dim)."""
        return self.z[cell] + (y - self.y[cell]) @ self.axes.T / self.scale

    def parents(self, pairs: Tensor) -> list[list[str]]:
        """The ids of rows (count, 2), once where both are one shape."""
        return [
            [self.names.get(row, f"row {row}") for row in dict.fromkeys(pair)]
            for pair in pairs.tolist()
        ]

    def save(self, path: Path) -> None:
        """Write one file; codes in half precision, which is finer than their noise in training."""
        tensors = {
            "z": self.z.half(), "parent": self.parent, "mirrored": self.mirrored.to(torch.uint8),
            "label": self.label, "mean": self.mean, "axes": self.axes,
        }  # fmt: skip
        names = {str(row): name for row, name in self.names.items()}
        checkpoint.save(path, tensors, {"scale": self.scale, "names": names})

    @classmethod
    def load(cls, path: Path) -> Latents:
        """Read what :meth:`save` wrote.

        Raises:
            DataError: it is missing or damaged.
        """
        return cls.of_checkpoint(*checkpoint.load(path, checkpoint.LATENTS))

    @classmethod
    def of_checkpoint(cls, tensors: dict[str, Tensor], meta: dict[str, Any]) -> Latents:
        """From the content of a file of :data:`pcgen.checkpoint.LATENTS`.

        Raises:
            ValueError: its scale is no length, or a name is not that of a row.
        """
        scale = float(meta["scale"])
        if not 0 < scale < float("inf"):
            raise ValueError(f"the scale of coordinates must be positive, got {scale}")
        return cls(
            z=tensors["z"].float(),
            parent=tensors["parent"],
            mirrored=tensors["mirrored"].bool(),
            label=tensors["label"],
            mean=tensors["mean"],
            axes=tensors["axes"],
            scale=scale,
            names={int(row): str(name) for row, name in meta["names"].items()},
        )

    def check(self, latent_dim: int, categories: int) -> None:
        """Refuse latents that do not fit each other or the run.

        Raises:
            ValueError: with what does not fit.
        """
        count = len(self.z)
        if count == 0 or self.z.shape[1] != latent_dim:
            raise ValueError(f"the latents have {self.z.shape[1]} numbers, not {latent_dim}")
        pairs = (count, 2)
        if self.parent.shape != pairs or self.mirrored.shape != pairs or len(self.label) != count:
            raise ValueError("the latents, their parents and their labels have different sizes")
        if self.mean.shape != (latent_dim,) or self.axes.shape[0] != latent_dim:
            raise ValueError("the principal axes do not fit the latents")
        if int(self.label.min()) < 0 or int(self.label.max()) >= categories:
            raise ValueError("a latent has a category that the run does not know")


@dataclass(frozen=True)
class LatentCoupling:
    """A base in the coordinates of latents, and the map from it onto them.

    Attributes:
        potential: (N,) float64; the cell of latent i is where ⟨y_i, x⟩ + potential_i is largest.
    """

    latents: Latents
    omega: BaseMeasure
    potential: Tensor

    def on_device(self, device: str) -> LatentCoupling:
        """The same with its base and its map on ``device``; the latents stay where they are."""
        omega = base.on_device(self.omega, device)
        return replace(self, omega=omega, potential=self.potential.to(device))

    @cached_property
    def y(self) -> Tensor:
        """(N, d) coordinates of the latents, where the map is."""
        return self.latents.y.to(self.potential.device)

    def assign(self, x: Tensor) -> Tensor:
        """The cell that each point (n, d) of the base lies in: (n,) int64, where the map is."""
        return best_cells(x.to(self.potential.device), self.y, self.potential)[1][:, 0]

    @classmethod
    def load(cls, folder: Path, latent_dim: int, categories: int) -> LatentCoupling:
        """Read the three files of the base stage.

        Raises:
            DataError: one is missing or damaged.
            ValueError: they do not fit each other or the run.
        """
        latents = Latents.load(folder / FILES[0])
        omega = base.from_checkpoint(*checkpoint.load(folder / FILES[1], checkpoint.BASE))
        potential = SemidiscreteSolution.load(folder / FILES[2]).potential
        latents.check(latent_dim, categories)
        coupling = cls(latents, omega, potential)
        coupling.check()
        return coupling

    def check(self) -> None:
        """Refuse a base or a map of other latents; see :meth:`Latents.check`."""
        if len(self.potential) != len(self.latents.z):
            raise ValueError("the map has another number of cells than there are latents")
        if self.omega.dim != self.latents.axes.shape[1]:
            raise ValueError(f"the base has dimension {self.omega.dim}")
