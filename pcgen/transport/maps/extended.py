"""The extended semi-discrete map: new points between neighbouring atoms, none between modes.

The hard map returns only atoms. The extended map (after AE-OT, An et al., ICLR 2020) mixes the atom
of the cell of x with those of the next best cells, weighted by how close their scores are. It
leaves out cells across which the map jumps: they are separated by the singular set of the
potential, and a mixture across it would belong to no mode.

Both criteria are invariant to the scale of the atoms: the gap from x to a facet, in units of the
source, and the jump across it, relative to the local scales of both atoms
(:mod:`pcgen.transport.maps.local_scale`). Definitions and measurements: docs/notes/extended-map.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Generator, Tensor

from pcgen.errors import InputError, TransportError
from pcgen.kernels.dense import score_rows
from pcgen.transport.chunking import ENTRIES, batches, centred, centred_blocks
from pcgen.transport.maps.best_cells import BestCells
from pcgen.transport.maps.local_scale import local_scales
from pcgen.transport.solution import SemidiscreteSolution
from pcgen.transport.stochastic.search.tree import BlockTree, search_pays

Mode = Literal["extended", "hard", "soft"]

# Source samples that measure typical gaps, with a separate generator.
PILOT = 2048

# The largest scale-free jump of ordinary steps within a mode; beyond it, shares fade.
USUAL_JUMP = 1.25

# Atoms required for each neighbour that is mixed.
FEWEST_A_NEIGHBOUR = 4

# Attempts per sample before sampling gives up on a source that lies on the singular set.
MOST_REDRAWS = 100


class SemidiscreteMap:
    """The map of a solution, in three modes; callable on points, and able to sample.

    Args:
        solution: of a semi-discrete problem.
        mode: ``hard`` returns atoms; ``extended`` mixes neighbouring cells off the singular set;
            ``soft`` is the entropic map, the softmax mean of all atoms, which also mixes modes.
        neighbours: number of cells mixed with that of x in ``extended``, at most a quarter of all.
            The weight of cell j is (1 - δ_j / δ_last)², with δ the shortfall of its score and
            ``last`` the first cell not mixed, so it fades to zero as another takes its place.
        largest_jump: cells whose scale-free jump is larger are across the singular set. The weight
            of a cell fades with its jump, from USUAL_JUMP to zero at this value: where modes touch,
            mixtures use only adjacent atoms. In return the map takes small steps within a mode too,
            at most a sixth of the hard map's largest; see docs/notes/extended-map.md.
        band: x within this many typical facet distances of such a facet counts as rejected.
        singular: what :meth:`sample` does with rejected x: ``route`` keeps them, each on its side
            of the facet, so the masses of the modes stay exact; ``reject`` draws again.
        epsilon: of ``soft``, in units of a score; by default the median shortfall of the second
            best cell.
        batch: points mapped at a time.
    """

    def __init__(
        self,
        solution: SemidiscreteSolution,
        mode: Mode = "extended",
        *,
        neighbours: int = 4,
        largest_jump: float = 2.0,
        band: float = 0.5,
        singular: Literal["route", "reject"] = "route",
        epsilon: float | None = None,
        batch: int = 4096,
    ) -> None:
        if mode not in ("extended", "hard", "soft"):
            raise InputError(f"mode must be extended, hard or soft, got {mode!r}")
        if singular not in ("route", "reject"):
            raise InputError(f"singular must be route or reject, got {singular!r}")
        if neighbours < 1 or batch < 1:
            raise InputError(f"neighbours and batch must be at least 1, got {neighbours}, {batch}")
        if not (largest_jump > 0 and band >= 0 and (epsilon is None or epsilon > 0)):
            raise InputError("largest_jump and epsilon must be positive, band not negative")
        self.solution = solution
        self.mode = mode
        self.neighbours = neighbours
        self.largest_jump = largest_jump
        self.band = band
        self.singular = singular
        self.batch = batch
        self._epsilon = epsilon

    @property
    def dim(self) -> int:
        """Dimension of source and points; with :meth:`sample` this makes the map a source."""
        return self.solution.problem.dim

    @cached_property
    def local_scale(self) -> Tensor:
        """σ (n,) float64: the distance of each distinct atom from others of its mode."""
        atoms = centred(self._atoms, self._atoms.double().mean(0), self._precision)
        return local_scales(atoms, self.batch, self._tree)

    @cached_property
    def typical(self) -> tuple[float, float]:
        """Median facet distance, and median score shortfall of the second best cell."""
        device = self._atoms.device
        x = self.solution.problem.source.sample(PILOT, Generator(device=device).manual_seed(0))
        index, short = self._ranked(x, 2)
        jump = (self._atoms[index[:, 0]] - self._atoms[index[:, 1]]).norm(dim=1)
        return (short[:, 1] / jump).median().item(), short[:, 1].median().item()

    def jump(self, one: Tensor, other: Tensor) -> Tensor:
        """The scale-free jump of the map across the facet between two cells.

        Args:
            one, other: (w,) int64, indices of distinct atoms (``problem.distinct``).
        Returns:
            (w,) float64; above ``largest_jump`` the facet belongs to the singular set.
        """
        distance = (self._atoms[one].double() - self._atoms[other].double()).norm(dim=1)
        result: Tensor = distance / (self.local_scale[one] * self.local_scale[other]).sqrt()
        return result

    def __call__(self, x: Tensor, *, find_rejected: bool = True) -> PushForward:
        """Map points (n, dim) of the source, ``batch`` at a time.

        Args:
            find_rejected: also find which x are rejected, which takes longer than the rest.
        """
        if len(x) <= self.batch:
            return self._map(x, find_rejected)
        parts = [self._map(part, find_rejected) for part in x.split(self.batch)]
        return PushForward(
            *(torch.cat(column) for column in zip(*map(_columns, parts), strict=True))
        )

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Sample ``count`` points, (count, dim) in the dtype of the atoms.

        Raises:
            InputError: ``count`` is negative.
            TransportError: with ``singular="reject"``, nearly every sample is rejected.
        """
        if count < 0:
            raise InputError(f"the number of samples must be 0 or more, got {count}")
        source = self.solution.problem.source
        kept: list[Tensor] = []
        missing, find_rejected = count, self.singular == "reject"
        for _ in range(MOST_REDRAWS):
            for size in batches(missing, self.batch):
                mapped = self._map(source.sample(size, generator), find_rejected)
                kept.append(mapped.points[~mapped.rejected])
            missing = count - sum(map(len, kept))
            if missing == 0:
                return torch.cat(kept) if kept else self._atoms[:0]
        raise TransportError(
            f"after {MOST_REDRAWS} rounds {missing} of {count} samples are still rejected; "
            "raise largest_jump, lower band or use singular='route'"
        )

    @cached_property
    def _atoms(self) -> Tensor:
        return self.solution.envelope.atoms

    @property
    def _mixed(self) -> int:
        """Cells mixed with that of x; fewer for few atoms, or all mixtures would be their mean."""
        return min(self.neighbours, max(1, len(self._atoms) // FEWEST_A_NEIGHBOUR))

    @property
    def _precision(self) -> torch.dtype:
        return self.solution.envelope.dtype

    @property
    def searches(self) -> bool:
        """Whether cells are searched for, as all scores of very many atoms take long."""
        return self._tree is not None

    @cached_property
    def _tree(self) -> BlockTree | None:
        """Of the atoms, if they are so many that searching for cells pays."""
        places = self.solution.envelope.centred
        return BlockTree.of(places) if search_pays(places) else None

    @cached_property
    def _best(self) -> BestCells:
        """Searches for as many cells as :meth:`_map` needs."""
        envelope, source = self.solution.envelope, self.solution.problem.source
        x = source.sample(PILOT, Generator().manual_seed(0)).to(envelope.dtype)
        return BestCells.of(envelope.centred, envelope.offset, self._mixed + 2, self._tree, x)

    def _ranked(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k best cells of each x and the shortfall of their scores, both (n, k)."""
        envelope = self.solution.envelope
        if self.searches:
            envelope.check_points(x)
            index = self._best(x.to(envelope.dtype))[:, :k]
        else:
            index = envelope.cells(x, k)[1]
        # Score differences in float64, from differences of atoms: gaps are small beside scores.
        best = self._atoms[index[:, :1]].double()
        offset = envelope.offset
        short = ((best - self._atoms[index].double()) * x.double()[:, None]).sum(2)
        short += offset[index[:, :1]] - offset[index]
        return index, short.clamp_(min=0)

    def _to_jump(self, x: Tensor, cell: Tensor) -> Tensor:
        """Distance (n,) from x (n, dim), in distinct cells (n,), to the nearest facet with a jump.

        In float64: squared distances of near atoms would be lost beside those of far ones.
        """
        envelope, scale = self.solution.envelope, self.local_scale
        x, own = x.double(), self._atoms[cell].double() - envelope.centre
        level, length = (own * x).sum(1) + envelope.offset[cell], own.square().sum(1)
        nearest = torch.full_like(level, torch.inf)
        for part, block in centred_blocks(self._atoms, envelope.centre):
            square = block.square().sum(1)
            rows = max(1, min(score_rows(x, block), ENTRIES // len(block)))
            for top in range(0, len(x), rows):
                some = slice(top, top + rows)
                short = level[some, None] - torch.addmm(envelope.offset[part], x[some], block.T)
                squared = torch.addmm(square, own[some], block.T, alpha=-2) + length[some, None]
                across = squared > self.largest_jump**2 * scale[cell[some], None] * scale[part]
                gap = short.clamp_(min=0) / squared.clamp_(min=1e-300).sqrt_()
                gap.masked_fill_(~across, torch.inf)
                nearest[some] = torch.minimum(nearest[some], gap.amin(1))
        return nearest

    def _map(self, x: Tensor, find_rejected: bool) -> PushForward:
        first = self.solution.problem.distinct.first
        count = len(self._atoms)
        if count == 1:
            self.solution.envelope.check_points(x)
            cell = first[torch.zeros(len(x), dtype=torch.int64, device=first.device)]
            infinite, share = x.new_full((len(x),), torch.inf).double(), torch.ones(len(x), 1)
            points = self._atoms[:1].expand(len(x), -1).clone()
            never = torch.zeros(len(x), dtype=torch.bool, device=first.device)
            return PushForward(
                points, cell, cell[:, None], share.double(), never, infinite, infinite
            )
        k = min(self._mixed + 2, count)
        index, short = self._ranked(x, k)
        atoms = self._atoms[index].double()
        distance = (atoms - atoms[:, :1]).norm(dim=2)
        scale = self.local_scale[index]
        jump = distance / (scale * scale[:, :1]).sqrt()
        gap = short[:, 1] / distance[:, 1]
        rejected = torch.zeros_like(gap, dtype=torch.bool)
        if find_rejected:
            rejected = self._to_jump(x, index[:, 0]) < self.band * self.typical[0]
        if self.mode == "extended":
            shares = self._shares(short, jump)
            points = (shares[:, :, None] * atoms).sum(1)
        elif self.mode == "hard":
            shares = torch.zeros_like(short)
            shares[:, 0] = 1
            points = atoms[:, 0]
        else:
            epsilon = self._epsilon or max(self.typical[1], 1e-30)
            shares = torch.softmax(-short / epsilon, 1)
            points = self.solution.envelope.smooth(x, epsilon)[1]
        return PushForward(
            points.to(self._atoms.dtype),
            first[index[:, 0]],
            first[index],
            shares,
            rejected,
            gap,
            jump[:, 1],
        )

    def _shares(self, short: Tensor, jump: Tensor) -> Tensor:
        # With two atoms there is no third to bound the mixture: it ends where most samples are.
        whole = short.shape[1] == self._mixed + 2
        last = short[:, -1:].clamp(min=1e-300) if whole else max(2 * self.typical[1], 1e-300)
        shares = (1 - short / last).clamp(min=0).square()
        width = max(self.largest_jump - USUAL_JUMP, 1e-9)
        shares *= ((self.largest_jump - jump) / width).clamp(0, 1)
        shares[:, 0] = 1
        return shares / shares.sum(1, keepdim=True)


def _columns(mapped: PushForward) -> tuple[Tensor, ...]:
    return tuple(vars(mapped).values())


@dataclass(frozen=True, eq=False)
class PushForward:
    """Mapped points and their origin.

    Attributes:
        points: (n, dim) in the dtype of the atoms.
        cell: (n,) int64, the atom whose cell each x is in.
        neighbours: (n, k) int64 atoms that may be mixed, ``cell`` first.
        shares: (n, k) float64, their weights, which sum to one; zero across the singular set.
        rejected: (n,) bool, whether x is near a facet where the map jumps; False if not computed.
        gap: (n,) float64, distance from x to the facet of its next best cell, in source units.
        jump: (n,) float64, scale-free jump of the map across that facet.
    """

    points: Tensor
    cell: Tensor
    neighbours: Tensor
    shares: Tensor
    rejected: Tensor
    gap: Tensor
    jump: Tensor

    def statistics(self, labels: Tensor | None = None) -> dict[str, float]:
        """Shares of rejected, interpolated and replayed points; with labels also by mode.

        Args:
            labels: (N,) int64, the mode of each atom. Adds ``coverage``, the share of modes
                reached, and ``mixture``, the share of points that mix several modes.
        Raises:
            InputError: some atoms have no label.
        """
        interpolated = (self.shares > 0).sum(1) > 1
        statistics = {
            "rejected": self.rejected.double().mean().item(),
            "interpolated": interpolated.double().mean().item(),
            "replayed": (~interpolated).double().mean().item(),
        }
        if labels is not None:
            if labels.ndim != 1 or len(labels) <= self.neighbours.max():
                raise InputError(
                    f"labels must have one number per atom, and there are more than "
                    f"{int(self.neighbours.max())} atoms; got shape {tuple(labels.shape)}"
                )
            own = labels[self.neighbours]
            foreign = (own != own[:, :1]) & (self.shares > 0)
            statistics["coverage"] = len(own[:, 0].unique()) / len(labels.unique())
            statistics["mixture"] = foreign.any(1).double().mean().item()
        return statistics
