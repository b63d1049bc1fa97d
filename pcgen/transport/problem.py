"""The semi-discrete problem: a source measure, atoms, and the mass each atom must receive."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcgen.datatypes import Source
from pcgen.errors import InputError
from pcgen.transport.chunking import ENTRIES, mean

# The sum of the weights may differ from one only by rounding in float32.
WEIGHT_SUM_TOLERANCE = 1e-4
FARTHEST = 1e100  # a coordinate; float64 squares end at 1e154, and the extent at its inverse
LARGEST_IN_FLOAT32 = 2**24  # integers up to here


@dataclass(frozen=True, eq=False)
class SemidiscreteProblem:
    """Transport ``source`` to Σ weights_i δ(atoms_i) with the least mean squared distance.

    Equal atoms are one atom to any transport map; they are solved as one of summed weight
    (:attr:`distinct`). An atom of weight zero must get no mass; its potential is -inf, which
    empties its cell for any source.

    Attributes:
        source: anything with ``dim`` and ``sample``.
        atoms: (N, dim) float32 or float64 (float16 and integers are widened, long integers to
            float64); array or tensor, any device.
        weights: (N,) float64, non-negative, with sum one; uniform by default.
    Raises:
        InputError: wrong shapes, NaN or infinite values, weights that are negative or do not sum
            to one, or more atoms than the memory can hold.
    """

    source: Source
    atoms: Any
    weights: Any = None

    def __post_init__(self) -> None:
        atoms = _as_float(self.atoms, "atoms")
        if atoms.ndim != 2 or atoms.shape[0] < 1 or atoms.shape[1] < 1:
            raise InputError(
                f"atoms must be (N, dim) with N and dim at least 1, got {tuple(atoms.shape)}"
            )
        if atoms.shape[1] != self.source.dim:
            raise InputError(
                f"atoms have dimension {atoms.shape[1]}, the source has {self.source.dim}; "
                "they must be equal"
            )
        _check_memory(atoms)
        bad = (~torch.isfinite(atoms)).any(1)
        if bad.any():
            first = int(bad.nonzero()[0])
            raise InputError(
                f"{int(bad.sum())} of {len(atoms)} atoms have NaN or infinite coordinates, "
                f"the first is atom {first}; remove them"
            )
        reach = float(atoms.abs().max())
        if reach > FARTHEST:
            raise InputError(
                f"an atom has a coordinate of size {reach:.3g}; beyond {FARTHEST:.0e} squared "
                "distances overflow; divide the atoms by a constant"
            )
        extent = float((atoms.amax(0) - atoms.amin(0)).max())
        if 0 < extent < 1 / FARTHEST:
            raise InputError(
                f"all atoms lie within {extent:.3g}; below {1 / FARTHEST:.0e} squared distances "
                "underflow; multiply the atoms by a constant"
            )
        object.__setattr__(self, "atoms", atoms)
        object.__setattr__(self, "weights", _checked_weights(self.weights, atoms))

    @property
    def count(self) -> int:
        """N, including copies and atoms without weight."""
        return len(self.atoms)

    @property
    def dim(self) -> int:
        """The dimension of source and atoms."""
        return int(self.atoms.shape[1])

    @cached_property
    def distinct(self) -> DistinctAtoms:
        """The distinct atoms with weight, which the solvers use."""
        return _distinct(self.atoms, self.weights)

    @cached_property
    def centre(self) -> Tensor:
        """(dim,) float64, the mean of the target measure."""
        return mean(self.atoms, self.weights)


@dataclass(frozen=True, eq=False)
class DistinctAtoms:
    """The distinct atoms of a problem.

    Attributes:
        first: (n,) int64, for each distinct atom the lowest index of its copies, ascending.
        place: (N,) int64, the distinct atom of each atom, -1 for an atom without weight.
        weights: (n,) float64, positive, with sum one.
    """

    first: Tensor
    place: Tensor
    weights: Tensor

    @property
    def count(self) -> int:
        """Number n of distinct atoms."""
        return len(self.first)

    def spread(self, potential: Tensor) -> Tensor:
        """Expand a potential (n,) of the distinct atoms to all (N,); -inf for weight zero."""
        whole = torch.cat([potential.double(), potential.new_full((1,), -np.inf).double()])
        return whole[self.place]

    def of(self, atoms: Tensor) -> Tensor:
        """The distinct atoms (n, dim) of the problem."""
        return atoms if self.count == len(atoms) else atoms[self.first]

    def gather(self, potential: Tensor) -> Tensor:
        """The potential (n,) of the distinct atoms, given that of all (N,)."""
        return potential.double()[self.first]


def _distinct(atoms: Tensor, weights: Tensor) -> DistinctAtoms:
    carrying = (weights > 0).nonzero()[:, 0]
    rows = atoms.cpu().numpy()
    if len(carrying) < len(atoms):
        rows = rows[carrying.cpu().numpy()]
    # Only rows with the same hash are compared in full.
    _, inverse, shared = np.unique(_hashes(rows), return_inverse=True, return_counts=True)
    alike = (shared[inverse.reshape(-1)] > 1).nonzero()[0]
    label = np.arange(len(rows))
    if len(alike):
        # +0.0 turns -0.0 into 0.0, as a comparison of bytes would distinguish them.
        some = np.ascontiguousarray(rows[alike] + 0.0)
        keys = some.view(np.dtype((np.void, some.dtype.itemsize * some.shape[1])))[:, 0]
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        label[alike] = alike[first[inverse.reshape(-1)]]
    first, inverse = np.unique(label, return_inverse=True)
    device = atoms.device
    place = torch.full((len(atoms),), -1, dtype=torch.int64, device=device)
    place[carrying] = torch.from_numpy(inverse.reshape(-1)).to(device)
    total = torch.zeros(len(first), dtype=torch.float64, device=device)
    total.index_add_(0, place[carrying], weights[carrying])
    return DistinctAtoms(carrying[torch.from_numpy(first).to(device)], place, total)


def _hashes(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(n,) uint64, equal for equal rows (n, dim)."""
    kind = np.uint32 if rows.dtype.itemsize == 4 else np.uint64
    factors = np.random.default_rng(0).integers(2**64, size=rows.shape[1], dtype=np.uint64)
    factors = factors << np.uint64(1) | np.uint64(1)
    hashes = np.empty(len(rows), np.uint64)
    step = max(1, ENTRIES // rows.shape[1])
    for top in range(0, len(rows), step):
        bits = np.ascontiguousarray(rows[top : top + step] + 0.0).view(kind).astype(np.uint64)
        bits ^= bits >> np.uint64(29)  # sums of odd multiples depend on few of the bits
        hashes[top : top + step] = (bits * factors).sum(1, dtype=np.uint64)
    return hashes


def _as_float(values: Any, name: str) -> Tensor:
    if not isinstance(values, Tensor):
        array = np.asarray(values)
        if array.dtype.kind not in "fiu":
            raise InputError(f"{name} must be numbers, got an array of type {array.dtype}")
        digits = array.dtype.itemsize > 4 if array.dtype.kind == "f" else _long(array)
        kind = np.float64 if digits else np.float32
        values = torch.from_numpy(np.ascontiguousarray(array, dtype=kind))
    found: Tensor = values.detach()
    if found.dtype in (torch.float32, torch.float64):
        return found
    if found.is_complex() or found.dtype == torch.bool:
        raise InputError(f"{name} must be numbers, got a tensor of type {found.dtype}")
    return found.double() if not found.is_floating_point() and _long(found) else found.float()


def _long(integers: Any) -> bool:
    """Whether float32 would round some integers, and so merge neighbours."""
    if integers.dtype.itemsize <= 2 or 0 in integers.shape:
        return False
    return max(-int(integers.min()), int(integers.max())) > LARGEST_IN_FLOAT32


def _checked_weights(weights: Any, atoms: Tensor) -> Tensor:
    count = len(atoms)
    if weights is None:
        return torch.full((count,), 1 / count, dtype=torch.float64, device=atoms.device)
    weights = _as_float(weights, "weights").double().to(atoms.device)
    if weights.shape != (count,):
        raise InputError(f"weights must be ({count},), one per atom, got {tuple(weights.shape)}")
    if not torch.isfinite(weights).all():
        raise InputError("weights contain NaN or infinite values")
    if (weights < 0).any():
        raise InputError(f"weights must not be negative, got {weights.min().item():.3g}")
    total = weights.sum().item()
    if abs(total - 1) > WEIGHT_SUM_TOLERANCE:
        raise InputError(
            f"weights must sum to 1, got {total:.6g}; divide them by their sum if they are masses"
        )
    result: Tensor = weights / total
    return result


def _check_memory(atoms: Tensor) -> None:
    """Refuse too many atoms: solvers need three centred copies and a dozen vectors."""
    available = torch.cuda.mem_get_info(atoms.device)[0] if atoms.is_cuda else _free_memory()
    needed = 3 * atoms.numel() * atoms.element_size() + len(atoms) * 8 * 12
    if needed > available:
        raise InputError(
            f"{len(atoms)} atoms of dimension {atoms.shape[1]} need {needed / 2**30:.1f} GiB, "
            f"and {available / 2**30:.1f} GiB are free; use fewer atoms or a larger machine"
        )


def _free_memory() -> int:
    """Bytes available without swapping, including file caches."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        entries = dict(line.split(":", 1) for line in lines)
        return int(entries["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
