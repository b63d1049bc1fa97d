"""A problem in the coordinates of the stochastic solver, and its stream of source samples.

Scores ⟨p_i, x⟩ + h_i depend on x only through the span of the centred atoms, so x is expressed in
the principal coordinates of the atoms: fewer columns if the atoms are few or span a subspace, and
the leading ones first, where a low-discrepancy sequence helps most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from pcgen.errors import InputError
from pcgen.processes import ALONE, Group
from pcgen.transport.chunking import centred_blocks, mean
from pcgen.transport.potential import UpperEnvelope, working_dtype
from pcgen.transport.problem import SemidiscreteProblem
from pcgen.transport.stochastic.cell_masses import CellMasses, SampleBatch, cell_masses
from pcgen.transport.stochastic.group_corrections import Groups, partitions, shells
from pcgen.transport.stochastic.lattice_sampling import LeadingCoordinates

# Principal directions whose singular value is below this fraction of the largest do not change
# scores in floating point.
RANK_TOLERANCE = 1e-7

# Leading columns from the Sobol sequence, whose quality decreases with the column.
SOBOL_COLUMNS = 64

# Samples to measure the spread of the scores, and the mean and extent of a source.
PILOT = 1024

# Fraction of the spread of the scores below which the mean of the source counts as zero; the error
# of the mean of PILOT samples is a thirtieth.
CENTRED = 0.2


class CellSearch(Protocol):
    """Finds the cells of samples without scoring all atoms."""

    @property
    def widest(self) -> int:
        """The beam that visits all atoms."""

    def cells(
        self,
        x: Tensor,
        potential: Tensor,
        epsilon: float,
        weights: Tensor,
        *,
        beam: int,
        reach: float,
    ) -> tuple[CellMasses, Tensor, Tensor]:
        """The masses of the cells in rows x (count, r), and each row's cell and score."""


@dataclass(frozen=True, eq=False)
class Workspace:
    """The distinct atoms in principal coordinates, and the source there.

    Attributes:
        problem: the problem.
        atoms: (n, r) in the working precision, about the mean of the target measure, in units
            of ``scale``.
        scale: the root mean square distance of the atoms from their mean; potentials here are
            in units of it too. Equal problems at different scales then take the same path.
        weights: (n,) float64.
        basis: (dim, r) orthonormal, the principal directions of the atoms.
        seed: of the stream of samples.
        low_discrepancy: use a Sobol sequence if the source allows it.
        group: the processes that share the scores of each batch; each draws the whole batch.
        tree: searches for cells among very many atoms; see
            :mod:`pcgen.transport.stochastic.search.tree`.
    """

    problem: SemidiscreteProblem
    atoms: Tensor
    weights: Tensor
    basis: Tensor
    scale: float
    seed: int
    low_discrepancy: bool
    group: Group = ALONE
    tree: CellSearch | None = None

    @classmethod
    def of(
        cls,
        problem: SemidiscreteProblem,
        seed: int,
        *,
        dtype: str,
        low_discrepancy: bool,
        group: Group = ALONE,
    ) -> Workspace:
        """Centre, rotate and, if the atoms span only a subspace, project.

        Args:
            dtype: float32, float64, or auto, which depends on the spacing of the atoms.
        """
        distinct = problem.distinct
        places, centre = distinct.of(problem.atoms), problem.centre
        gram = torch.zeros(problem.dim, problem.dim, dtype=torch.float64, device=places.device)
        squares = torch.empty(len(places), dtype=torch.float64, device=places.device)
        for part, block in centred_blocks(places, centre):
            squares[part] = block.square().sum(1)
            gram += block.T @ block
        scale = (distinct.weights @ squares).sqrt().item() or 1.0
        if dtype not in ("auto", "float32", "float64"):
            raise InputError(f"dtype must be auto, float32 or float64, got {dtype!r}")
        chosen = working_dtype(places, centre) if dtype == "auto" else getattr(torch, dtype)
        if len(places) < problem.dim:
            whole = places.double() - centre
            _, values, rows = torch.linalg.svd(whole / scale, full_matrices=False)
        else:  # the Gram matrix is small for any number of atoms
            squares, columns = torch.linalg.eigh(gram / scale**2)
            values, rows = squares.clamp(min=0).sqrt().flip(0), columns.T.flip(0)
        rank = max(1, int((values > RANK_TOLERANCE * values[0]).sum()))
        largest = rows[:rank].gather(1, rows[:rank].abs().argmax(1, keepdim=True))
        basis = (rows[:rank] * largest.sign()).T.contiguous()  # fix the sign of each direction
        atoms = torch.empty(len(places), rank, dtype=chosen, device=places.device)
        for part, block in centred_blocks(places, centre):
            atoms[part] = block @ (basis / scale)
        return cls(problem, atoms, distinct.weights, basis, scale, seed, low_discrepancy, group)

    @property
    def count(self) -> int:
        """Number of distinct atoms n."""
        return len(self.atoms)

    @cached_property
    def source_mean(self) -> Tensor | None:
        """The approximate mean of the source, (dim,) float64; None if that is the origin.

        Samples are centred there. Annealing starts at equal potentials, which are a good start only
        for a source centred at the origin, and changes them by a few spreads at most.
        """
        source = self.problem.source
        if getattr(source, "rotated", None) is not None:  # the same distribution in all directions
            return None
        random = Generator(device=self.atoms.device).manual_seed(self.seed)
        x = source.sample(PILOT, random).double()
        mean = x.mean(0)
        along = self.basis.double()
        shift, around = mean @ along, (x - mean) @ along
        far = shift @ self._covariance @ shift
        wide = (around @ self._covariance * around).sum(1).mean()
        return mean if far > CENTRED**2 * wide else None

    def to_working(self, potential: Tensor) -> Tensor:
        """Convert a potential (n,) to working units, about the source mean."""
        return potential / self.scale + self._tilt

    def to_problem(self, potential: Tensor) -> Tensor:
        """The inverse of :meth:`to_working`."""
        return (potential - self._tilt) * self.scale

    @cached_property
    def _tilt(self) -> Tensor | float:
        """The scores (n,) float64 at the source mean, with mean zero."""
        scores = self.tilt(self.atoms)
        return scores - scores.mean() if isinstance(scores, Tensor) else scores

    def tilt(self, atoms: Tensor) -> Tensor | float:
        """The scores (n,) float64 of atoms (n, r) at the source mean."""
        if self.source_mean is None:
            return 0.0
        along = self.basis.T @ self.source_mean
        return torch.cat([block @ along for _, block in centred_blocks(atoms)])

    @cached_property
    def spread(self) -> float:
        """R: the standard deviation of a score over atoms and source, the unit of potentials."""
        x = self.draw(0, PILOT, -1).double()
        # Σ_i ν_i E⟨p_i, x - Ex⟩², through the covariances of both.
        outer = torch.cov(x.T).reshape(len(x.T), -1)
        return max((outer * self._covariance).sum().clamp(min=0).sqrt().item(), 1e-300)

    @cached_property
    def _covariance(self) -> Tensor:
        """The covariance (r, r) float64 of the target."""
        rank = self.atoms.shape[1]
        inner = torch.zeros(rank, rank, dtype=torch.float64, device=self.atoms.device)
        for part, block in centred_blocks(self.atoms, mean(self.atoms, self.weights)):
            inner += (block * self.weights[part, None]).T @ block
        return inner

    @cached_property
    def partitions(self) -> tuple[Groups, ...]:
        """The atoms in groups of nearby ones, coarse and fine, for the coarse correction."""
        return partitions(self.atoms, self.weights)

    @cached_property
    def shells(self) -> Groups | None:
        """The atoms in shells about their mean; None of clusters, which are corrected as such."""
        return shells(self.atoms, self.weights) if len(self.partitions) == 1 else None

    @cached_property
    def leading(self) -> LeadingCoordinates | None:
        """The coordinates redrawn in each row, if source and machine allow it."""
        if not self.low_discrepancy or self.tree is not None:
            return None
        about_origin = self.source_mean is None
        leading = (
            LeadingCoordinates.of(self.atoms, self.basis, self.problem.source)
            if about_origin
            else None
        )
        return leading if self.group.every(leading is not None) else None

    def rows(self, done: int, count: int, step: int) -> SampleBatch:
        """Like :meth:`draw`, with redrawn leading coordinates if possible.

        Args:
            step: as in :meth:`draw`; a negative one uses no points of the sequence, so that the
                rows are independent.
        """
        if self.leading is None:
            return SampleBatch(self.draw(done, count, step))
        source: Any = self.problem.source
        columns = self.atoms.shape[1] if self.leading.axes is None else source.dim
        return SampleBatch(*self.leading.rows(self._uniform(columns, done, count, step), source))

    def draw(self, done: int, count: int, step: int) -> Tensor:
        """Samples ``done`` to ``done + count`` of the stream, (count, r); determined by the seed.

        Args:
            step: number of the batch, which seeds the columns that are not from the sequence.
        """
        source, rank, device = self.problem.source, self.atoms.shape[1], self.atoms.device
        random = Generator(device=device).manual_seed(self.seed + 1 + step)
        from_uniform = getattr(source, "from_uniform", None)
        rotated = getattr(source, "rotated", None)
        if from_uniform is None or not self.low_discrepancy or device.type != "cpu" or step < 0:
            if rotated is not None:
                result: Tensor = rotated(rank).sample(count, random).to(self.atoms.dtype)
                return result
            return self._project(source.sample(count, random))
        columns = source.dim if rotated is None else rank
        x = from_uniform(self._uniform(columns, done, count, step))
        return self._project(x) if rotated is None else x.to(self.atoms.dtype)

    def cell_masses(
        self, rows: SampleBatch, potential: Tensor, epsilon: float, backend: str, beam: int = 0
    ) -> CellMasses:
        """The masses of the cells, softened by ``epsilon``, in rows that the processes share.

        Args:
            beam: beam width of the search; 0 scores all atoms.
        """
        mine = rows[self.group.rows(len(rows))]
        if beam:
            found = self.searched(mine.x, potential, beam, epsilon)[0]
        else:
            found = cell_masses(
                mine, self.atoms, self.leading, potential, self.weights, epsilon, backend
            )
        square = found.mass.new_tensor([found.square])
        self.group.sum_([found.mass, square])
        return CellMasses(found.mass, square.item(), len(rows))

    def searched(
        self, x: Tensor, potential: Tensor, beam: int, epsilon: float = 0.0
    ) -> tuple[CellMasses, Tensor, Tensor]:
        """Search with the tree: masses, and the cell and score of each row (count, r)."""
        if self.tree is None:
            raise InputError(f"a search with beam {beam} needs the tree of the atoms")
        return self.tree.cells(x, potential, epsilon, self.weights, beam=beam, reach=self.spread)

    @property
    def widest(self) -> int:
        """The beam width that visits all atoms; 0 without a tree."""
        return self.tree.widest if self.tree else 0

    @cached_property
    def whole(self) -> Workspace:
        """A copy without a tree."""
        return replace(self, tree=None)

    def envelope(self, potential: Tensor, backend: str) -> UpperEnvelope:
        """The map of a potential (n,) in working units, over the original atoms."""
        atoms = self.problem.distinct.of(self.problem.atoms)
        return UpperEnvelope(atoms, self.to_problem(potential), backend)

    def _project(self, x: Tensor) -> Tensor:
        if self.source_mean is not None:
            x = x.double() - self.source_mean
        return x.to(self.atoms.dtype) @ self.basis.to(self.atoms.dtype)

    def _uniform(self, columns: int, done: int, count: int, step: int) -> Tensor:
        """Uniforms (count, columns) float64 in (0, 1), the leading ones from the sequence."""
        random = Generator().manual_seed(self.seed + 1 + step)
        leading = min(columns, SOBOL_COLUMNS) if step >= 0 else 0
        uniform = torch.empty(count, columns, dtype=torch.float64)
        uniform[:, leading:].uniform_(generator=random).clamp_(min=1e-12)
        if leading:
            uniform[:, :leading] = self._sequence(leading, done, count)
        return uniform

    def _sequence(self, columns: int, done: int, count: int) -> Tensor:
        engine = self._engine(columns)
        if engine.num_generated != done:
            engine.reset()
            engine.fast_forward(done)
        half_step = 2.0 ** -(engine.MAXBIT + 1)
        return engine.draw(count, dtype=torch.float64) + half_step

    def _engine(self, columns: int) -> torch.quasirandom.SobolEngine:
        if "engine" not in self.__dict__:
            engine = torch.quasirandom.SobolEngine(columns, scramble=True, seed=self.seed)
            self.__dict__["engine"] = engine
        result: torch.quasirandom.SobolEngine = self.__dict__["engine"]
        return result
