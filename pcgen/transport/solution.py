"""The result of a solver: the potential, its map, and the evidence that it is right.

Throughout this package, the cell of atom i is where ⟨atom_i, x⟩ + potential_i is largest. For
the cost ½|x - y|² the dual potential at atom i is potential_i + ½|atom_i|².
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
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
            raise TransportError(
                f"{evidence.method} stopped with chi2 {evidence.chi2:.4g} (tolerance "
                f"{evidence.tolerance:.4g}) and {evidence.dead} of {evidence.cells} cells dead: "
                f"{REMEDIES[evidence.status]}"
            )
        return self

    def save(self, path: Path | str) -> None:
        """Write ``.npz``: atoms, weights, potential float64, evidence as a JSON string."""
        evidence = json.dumps(to_plain(self.evidence))
        with atomic_file(path) as temporary, open(temporary, "wb") as handle:
            np.savez(
                handle,
                atoms=self.problem.atoms.cpu().numpy(),
                weights=self.problem.weights.cpu().numpy(),
                potential=self.potential.cpu().numpy(),
                evidence=np.array(evidence),
            )

    @classmethod
    def load(cls, path: Path | str, source: Source | None = None) -> SemidiscreteSolution:
        """Read a file of :meth:`save`; pass ``source`` if it is not one of this package.

        Raises:
            DataError: the file is missing, damaged, or of another kind.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"no transport file at {path}")
        try:
            file = read_npz(path)
            atoms, weights, potential = file["atoms"], file["weights"], file["potential"]
            plain: dict[str, Any] = parse_json(str(file["evidence"]))
            status = {"status": Status(plain["status"])}
            evidence = from_plain(Evidence, plain | status, "the evidence")
        except (InputError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{path} is not a transport file ({error})") from None
        if atoms.ndim != 2 or potential.shape != (len(atoms),) or potential.dtype.kind != "f":
            raise DataError(f"{path} is damaged: its potential does not match its atoms")
        if not (potential < np.inf).all():  # -inf is the potential of an atom without mass
            raise DataError(f"{path} is damaged: its potential contains NaN or infinity")
        source = source or source_named(evidence.source, atoms.shape[1])
        problem = SemidiscreteProblem(source, atoms, weights)
        return cls(problem, torch.from_numpy(potential).double(), evidence)
