"""The base ω, the latents of children, and the semi-discrete map that couples them.

A latent has thousands of numbers, most of which describe the surface in one place. The overall
shape is determined by few directions, the leading principal ones: its **coordinates**. The base
and the transport act on these. The map assigns a base point x to a cell, and so to a latent z_i
with coordinates y_i. When the flow ends at y, the details come from the latent of that cell::

    z(y, i) = z_i + A (y − y_i)      with A the principal axes

So the continuous part of a shape is transported, and its details are those of one training shape or
child. Details switch at cell boundaries and are never averaged.
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
from pcgen.processes import ALONE, Group
from pcgen.transport import SemidiscreteSolution
from pcgen.transport.solution import read_potential

FLOW_SHARE = 0.25
"""The fraction of the way from its cell's latent to the end of its flow that a sample moves. The
details are that latent's and do not suit a distant shape: see docs/notes/local-codes.md."""
BLOCK = 2**14
"""Latents processed at once; a copy of all of them would take gigabytes."""
ITERATIONS, SPARE = 8, 32
"""Of the search for principal axes, and how many more than needed it follows."""
SCHEMA = checkpoint.Schema(
    meta={"scale": float, "names": dict},
    tensors={
        "z": ("f", 2), "parent": ("i", 2), "mirrored": ("i", 2), "label": ("i", 1),
        "mean": ("f", 1), "axes": ("f", 2),
    },
)  # fmt: skip
"""Of the file of latents."""
FILES = ("latents.safetensors", "base.safetensors", "map.npz")
COORDINATES = "coordinates"
"""The entry of a base's file that names its tensors of coordinates, stored as rows of latents."""


def _leading_axes(z: Tensor, mean: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """The ``keep`` largest eigenvalues of the latents' scatter matrix, and their eigenvectors
    (latent_dim, keep), by subspace iteration: the matrix of thousands of numbers is never made.

    Source: Halko, Martinsson and Tropp, Finding structure with randomness, 2011, section 4.5.
    """
    size = min(keep + SPARE, z.shape[1])
    start = torch.randn(z.shape[1], size, generator=torch.Generator().manual_seed(0))
    axes = torch.linalg.qr(start.to(z)).Q

    def scattered(x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for block in z.split(BLOCK):
            centred = block - mean
            total += centred.T @ (centred @ x)
        return total

    for _ in range(ITERATIONS):
        axes = torch.linalg.qr(scattered(axes).double()).Q.to(z)
    values, within = torch.linalg.eigh((axes.T @ scattered(axes)).double())
    values, within = values.flip(0)[:keep].clamp_min(0), within.flip(1)[:, :keep]
    return values, (axes.double() @ within).to(z)


@dataclass(frozen=True)
class Latents:
    """Latents of children of the training shapes, with their coordinates.

    Attributes:
        z: (N, latent_dim) float32.
        parent: (N, 2) int64, data-set rows of the parents, equal for a training shape.
        mirrored: (N, 2) bool, whether each parent is mirrored in x.
        symmetry: (N, 3) bool, the axes along which the child equals its mirror image.
        label: (N,) int64, category.
        names: id of each row that is a parent; may be empty.
        mean: (latent_dim,), mean of the latents; axes: (latent_dim, d), orthonormal columns.
        scale: factor of the coordinates that makes their mean variance one.
    """

    z: Tensor
    parent: Tensor
    mirrored: Tensor
    symmetry: Tensor
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
        symmetry: Tensor,
        label: Tensor,
        most: int,
        names: Mapping[int, str] | None = None,
    ) -> Latents:
        """Compute at most ``most`` coordinates; fewer if there are few latents or numbers."""
        mean = z.mean(0)
        keep = min(most, z.shape[1], max(1, len(z) - 1))
        values, axes = _leading_axes(z, mean, keep)
        # The sign of an eigenvector depends on the library; this choice does not.
        largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
        axes = axes * torch.where(largest < 0, -1.0, 1.0)
        variance = float(values.sum()) / (len(z) * keep)
        scale = variance**-0.5 if variance > 1e-12 else 1.0
        return cls(z, parent, mirrored, symmetry, label, mean, axes, scale, dict(names or {}))

    @cached_property
    def y(self) -> Tensor:
        """Coordinates (N, d) of the latents."""
        return self.coordinates(self.z)

    def coordinates(self, z: Tensor) -> Tensor:
        """Coordinates (n, d) of latents (n, latent_dim)."""
        parts = [(block - self.mean) @ self.axes * self.scale for block in z.split(BLOCK)]
        return torch.cat(parts)

    @property
    def explained_variance(self) -> float:
        """The fraction of the latents' variance that their coordinates explain."""
        whole = sum(float((block - self.mean).square().sum()) for block in self.z.split(BLOCK))
        return float((self.y / self.scale).square().sum()) / max(whole, 1e-12)

    def lifted(self, y: Tensor, cell: Tensor) -> Tensor:
        """Latents (n, latent_dim) at coordinates (n, d), with details of latents ``cell`` (n,)."""
        return self.z[cell] + (y - self.y[cell]) @ self.axes.T / self.scale

    def parents(self, pairs: Tensor) -> list[list[str]]:
        """The ids of rows (count, 2), listed once if both are the same shape."""
        return [
            [self.names.get(row, f"row {row}") for row in dict.fromkeys(pair)]
            for pair in pairs.tolist()
        ]

    def save(self, path: Path) -> None:
        """Write one file. Codes have half precision, finer than their training noise."""
        tensors = {
            "z": self.z.half(), "parent": self.parent, "mirrored": self.mirrored.to(torch.uint8),
            "symmetry": self.symmetry.to(torch.uint8), "label": self.label, "mean": self.mean,
            "axes": self.axes, "y": self.y,
        }  # fmt: skip
        names = {str(row): name for row, name in self.names.items()}
        checkpoint.save(path, tensors, {"scale": self.scale, "names": names})

    @classmethod
    def load(cls, path: Path) -> Latents:
        """Read a file of :meth:`save`.

        Raises:
            DataError: it is missing or damaged.
        """
        return cls.of_checkpoint(*checkpoint.load(path, SCHEMA))

    @classmethod
    def of_checkpoint(cls, tensors: dict[str, Tensor], meta: dict[str, Any]) -> Latents:
        """Build from the content of a file of :data:`SCHEMA`.

        Raises:
            ValueError: the scale is not positive, or a name belongs to no row.
        """
        scale = float(meta["scale"])
        if not 0 < scale < float("inf"):
            raise ValueError(f"the scale of coordinates must be positive, got {scale}")
        unknown = torch.zeros(len(tensors["z"]), 3, dtype=torch.uint8)
        latents = cls(
            z=tensors["z"].float(),
            parent=tensors["parent"],
            mirrored=tensors["mirrored"].bool(),
            symmetry=tensors.get("symmetry", unknown).bool(),  # older files do not have it
            label=tensors["label"],
            mean=tensors["mean"],
            axes=tensors["axes"],
            scale=scale,
            names={int(row): str(name) for row, name in meta["names"].items()},
        )
        if "y" in tensors:  # files from before December 2026 have no coordinates
            latents.__dict__["y"] = tensors["y"].float()
        return latents

    def check(self, latent_dim: int, categories: int) -> None:
        """Check that the tensors match each other and the run.

        Raises:
            ValueError: they do not; the message says which.
        """
        count = len(self.z)
        if count == 0 or self.z.shape[1] != latent_dim:
            raise ValueError(f"the latents have {self.z.shape[1]} numbers, not {latent_dim}")
        pairs = (count, 2)
        if self.parent.shape != pairs or self.mirrored.shape != pairs or len(self.label) != count:
            raise ValueError("the latents, their parents and their labels have different sizes")
        if self.symmetry.shape != (count, 3):
            raise ValueError("the latents and their symmetries have different sizes")
        if self.mean.shape != (latent_dim,) or self.axes.shape[0] != latent_dim:
            raise ValueError("the principal axes do not match the latents")
        if self.y.shape != (count, self.axes.shape[1]):
            raise ValueError("the coordinates do not match the latents")
        if int(self.label.min()) < 0 or int(self.label.max()) >= categories:
            raise ValueError("a latent has a category that the run does not have")


@dataclass(frozen=True)
class LatentCoupling:
    """A base in the coordinates of latents, and its transport map to them.

    Attributes:
        potential: (N,) float64; the cell of latent i is where ⟨y_i, x⟩ + potential_i is largest.
    """

    latents: Latents
    omega: BaseMeasure
    potential: Tensor

    def on_device(self, device: str) -> LatentCoupling:
        """A copy with base and map on ``device``; the latents stay where they are."""
        omega = base.on_device(self.omega, device)
        return replace(self, omega=omega, potential=self.potential.to(device))

    @cached_property
    def y(self) -> Tensor:
        """Coordinates (N, d) of the latents, on the map's device."""
        return self.latents.y.to(self.potential.device)

    def assign(self, x: Tensor) -> Tensor:
        """The cell of each base point (n, d): (n,) int64, on the map's device."""
        return best_cells(x.to(self.potential.device), self.y, self.potential)[1][:, 0]

    @staticmethod
    def save(
        folder: Path, latents: Latents, omega: BaseMeasure, solution: SemidiscreteSolution
    ) -> None:
        """Write the three files of the base stage; only the first has the coordinates."""
        latents.save(folder / FILES[0])
        tensors, meta = omega.to_checkpoint()
        # The atoms of an AE-OT base are the different coordinates: the file gets their rows.
        distinct, where = torch.unique(latents.y, dim=0, return_inverse=True)
        rows = torch.empty(len(distinct), dtype=torch.int64)
        rows[where] = torch.arange(len(where))
        same = []
        for name, tensor in tensors.items():
            if tensor.dtype == distinct.dtype and torch.equal(tensor.cpu(), distinct):
                same.append(name)
                tensors = {**tensors, name: rows}
        checkpoint.save(folder / FILES[1], tensors, {**meta, COORDINATES: same})
        solution.save(folder / FILES[2], atoms=False)

    @classmethod
    def load(
        cls, folder: Path, latent_dim: int | None, categories: int, group: Group = ALONE
    ) -> LatentCoupling:
        """Read the files of :meth:`save`.

        Args:
            latent_dim: of the run, or None for that of the latents.
            group: processes, of which the first reads.
        Raises:
            DataError: one is missing or damaged.
            ValueError: they do not match each other or the run.
        """

        def read(name: str, schema: checkpoint.Schema) -> tuple[dict[str, Tensor], dict[str, Any]]:
            return group.tensors(lambda: checkpoint.load(folder / name, schema))

        def potential() -> tuple[dict[str, Tensor], dict[str, Any]]:
            return {"h": read_potential(folder / FILES[2])}, {}

        latents = Latents.of_checkpoint(*read(FILES[0], SCHEMA))
        tensors, meta = read(FILES[1], base.SCHEMA)
        names = meta.pop(COORDINATES, [])
        if not isinstance(names, list):
            raise ValueError(f"the {COORDINATES} of the base are no list of names")
        for name in map(str, names):
            rows = tensors.get(name)
            if rows is None or rows.dtype != torch.int64 or rows.ndim != 1 or not len(rows):
                raise ValueError("the base names no latents")
            if int(rows.min()) < 0 or int(rows.max()) >= len(latents.z):
                raise ValueError("the base names latents that do not exist")
            tensors[name] = latents.y[rows]
        omega = base.from_checkpoint(tensors, meta)
        coupling = cls(latents, omega, group.tensors(potential)[0]["h"])
        latents.check(latent_dim or latents.z.shape[1], categories)
        coupling.check()
        return coupling

    def check(self) -> None:
        """Check that base and map belong to these latents; see :meth:`Latents.check`."""
        if len(self.potential) != len(self.latents.z):
            raise ValueError("the number of cells of the map differs from the number of latents")
        if self.omega.dim != self.latents.axes.shape[1]:
            raise ValueError(f"the base has dimension {self.omega.dim}")
