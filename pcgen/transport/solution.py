"""The result of a solver: the potential, its map, and the evidence that it is right.

Throughout this package, the cell of atom i is where ⟨atom_i, x⟩ + potential_i is largest. For
the cost ½|x - y|² the dual potential at atom i is potential_i + ½|atom_i|².
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pcgen.config import from_plain, to_plain
from pcgen.datatypes import Source
from pcgen.errors import DataError, InputError, TransportError
from pcgen.files import atomic_file, parse_json
from pcgen.shapes.arrays import read_npz
from pcgen.transport.evidence import REMEDIES, Evidence, Status
from pcgen.transport.potential import UpperEnvelope
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.sources import source_named


@dataclass(frozen=True, eq=False)
class SemidiscreteSolution:
    """A potential for a problem, with its evidence.

    Attributes:
        potential: (N,) float64; mean zero over the atoms with mass, -inf at the others.
    """

    problem: SemidiscreteProblem
    potential: Tensor
    evidence: Evidence

    @cached_property
    def envelope(self) -> UpperEnvelope:
        """u(x) over the distinct atoms with mass, whose gradient is the map."""
        distinct = self.problem.distinct
        backend = self.evidence.backend
        return UpperEnvelope(
            distinct.of(self.problem.atoms),
            distinct.gather(self.potential),
            backend if backend in ("dense", "keops") else "auto",
        )

    def assign(self, x: Tensor) -> Tensor:
        """The cell of each point (n, dim), as int64 atom indices (n,); the first of copies."""
        return self.problem.distinct.first[self.envelope.cells(x)[1][:, 0]]

    def map(self, x: Tensor) -> Tensor:
        """The optimal (hard) map, which sends each point (n, dim) to the atom of its cell."""
        result: Tensor = self.problem.atoms[self.assign(x)]
        return result

    def require_converged(self) -> SemidiscreteSolution:
        """Return this solution, or raise an error with cause and remedy.

        Raises:
            TransportError: the solver stopped short of its tolerance.
        """
        evidence = self.evidence
        if not evidence.converged:
            untested = f" and {evidence.untested} untested" if evidence.untested else ""
            raise TransportError(
                f"{evidence.method} stopped with chi2 {evidence.chi2:.4g} (tolerance "
                f"{evidence.tolerance:.4g}), {evidence.dead} of {evidence.cells} cells dead"
                f"{untested}: "
                f"{REMEDIES[evidence.status]}"
            )
        return self

    def save(self, path: Path | str, *, atoms: bool = True) -> None:
        """Write ``.npz``: atoms, weights, potential float64, evidence as a JSON string.

        Args:
            atoms: write atoms and weights; without them only :func:`read_potential` reads the file.
        """
        arrays = {
            "potential": self.potential.cpu().numpy(),
            "evidence": np.array(json.dumps(to_plain(self.evidence))),
        }
        if atoms:
            arrays["atoms"] = self.problem.atoms.cpu().numpy()
            arrays["weights"] = self.problem.weights.cpu().numpy()
        with atomic_file(path) as temporary, open(temporary, "wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path | str, source: Source | None = None) -> SemidiscreteSolution:
        """Read a file of :meth:`save`; pass ``source`` if it is not one of this package.

        Raises:
            DataError: the file is missing, damaged, or of another kind.
        """
        path = Path(path)
        potential, file = _read(path)
        try:
            atoms, weights = file["atoms"], file["weights"]
            plain: dict[str, Any] = parse_json(str(file["evidence"]))
            status = {"status": Status(plain["status"])}
            evidence = from_plain(Evidence, plain | status, "the evidence")
        except (InputError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{path} is not a transport file ({error})") from None
        if atoms.ndim != 2 or len(potential) != len(atoms):
            raise DataError(f"{path} is damaged: its potential does not match its atoms")
        source = source or source_named(evidence.source, atoms.shape[1])
        problem = SemidiscreteProblem(source, atoms, weights)
        return cls(problem, torch.from_numpy(potential).double(), evidence)


def read_potential(path: Path) -> Tensor:
    """The potential (N,) float64 of a file of :meth:`SemidiscreteSolution.save`.

    Raises:
        DataError: the file is missing, damaged, or of another kind.
    """
    return torch.from_numpy(_read(path)[0]).double()


def _read(path: Path) -> tuple[NDArray[np.floating], Mapping[str, NDArray[Any]]]:
    """The checked potential, and all arrays of a file."""
    if not path.is_file():
        raise DataError(f"no transport file at {path}")
    try:
        file = read_npz(path)
        potential = file["potential"]
    except (InputError, ValueError, KeyError) as error:
        raise DataError(f"{path} is not a transport file ({error})") from None
    if potential.ndim != 1 or potential.dtype.kind != "f":
        raise DataError(f"{path} is damaged: its potential is not one number per atom")
    if not (potential < np.inf).all():  # -inf is the potential of an atom without mass
        raise DataError(f"{path} is damaged: its potential contains NaN or infinity")
    return potential, file
