"""New latents: samples of the base ω, transported by the latent flow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from pcgen.errors import DataError, InputError
from pcgen.flow.networks import LatentFlowNetwork
from pcgen.model.coupling import FLOW_SHARE, LatentCoupling, Latents
from pcgen.model.trajectories import FlowNetworks, check_counts, flow_trajectory
from pcgen.transport import StratifiedSampler

# Base points drawn at a time; fixed, so that shape k does not depend on the requested count.
CHUNK = 256
# After this many consecutive chunks without a point of the requested category, give up.
MOST_MISSES = 4000


@dataclass(frozen=True)
class LatentSamples:
    """Latents and their origin.

    Attributes:
        z: (count, latent_dim), ready to decode; base: (count, d), the start of each.
        category: index of the category of the cell that each started in.
        parent: (count, 2) data-set rows of the parents of the child in that cell, equal for a
            training shape. mirrored: (count, 2), whether a parent is mirrored.
        symmetry: (count, 3), the axes along which that child equals its mirror image.
        parent_ids: ids of the parents, one or two per shape.
    """

    z: Tensor
    base: Tensor
    category: Tensor
    parent: Tensor
    mirrored: Tensor
    symmetry: Tensor
    parent_ids: list[list[str]]


class LatentSampler:
    """The base, its cells and the latent flow of a run."""

    def __init__(self, run_dir: Path, config: dict[str, Any], dim: int, device: str) -> None:
        """
        Args:
            config: of the run; dim: dimension of its latents.
        Raises:
            ValueError: files of the run do not match each other.
        """
        self.device = device
        self.categories: tuple[str, ...] = tuple(config["categories"])
        self.conditional = bool(config["conditional"])
        coupling = LatentCoupling.load(run_dir / "base", dim, len(self.categories))
        self._coupling, latents = coupling.on_device(device), coupling.latents
        self.dim = latents.axes.shape[1]
        self._label = latents.label
        parents = torch.unique(latents.parent, return_inverse=True)[1]
        category = parents.max() + 1 + self._label[:, None]
        self._strata = torch.cat([parents, category], 1)
        sizes = config["settings"]["latent_flow"]
        classes = len(self.categories) if self.conditional else 0
        self._networks = FlowNetworks(
            run_dir / "latent-flow",
            lambda: LatentFlowNetwork(self.dim, sizes["width"], sizes["blocks"], classes),
            sizes["blocks"],
            device,
        )

    @property
    def known(self) -> Latents:
        """The latents of children that the base was fitted to."""
        return self._coupling.latents

    @torch.no_grad()
    def draw(
        self,
        count: int,
        *,
        seed: int,
        category: str | None = None,
        steps: int = 1,
        solver: str = "student",
        even: bool = True,
    ) -> LatentSamples:
        """Sample the base, then integrate the latent flow.

        With ``even``, the samples are stratified over the parents and categories of the cells
        rather than independent: few of a set have a parent in common, and categories are in
        proportion; see :class:`~pcgen.transport.StratifiedSampler`. A category is sampled by
        rejection: only base points are kept whose cell, under the semi-discrete map, has that
        category. This is exact, and works the same way for every base.
        """
        check_counts(count, steps)
        draw = torch.Generator().manual_seed(seed)
        start, cell = self._draw_base(count, draw, category, even)
        label = self._label[cell]
        one_hot = None
        if self.conditional:
            one_hot = nn.functional.one_hot(label, len(self.categories)).float().to(self.device)
        chunks = start.split(CHUNK)
        labels = [None] * len(chunks) if one_hot is None else one_hot.split(CHUNK)
        y = torch.cat(
            [
                self._carried(x, label_here, steps, solver)
                for x, label_here in zip(chunks, labels, strict=True)
            ]
        )
        latents = self._coupling.latents
        return LatentSamples(
            z=latents.lifted(torch.lerp(latents.y[cell], y, FLOW_SHARE), cell),
            base=start,
            category=label,
            parent=latents.parent[cell],
            mirrored=latents.mirrored[cell],
            symmetry=latents.symmetry[cell],
            parent_ids=latents.parents(latents.parent[cell]),
        )

    def _carried(self, start: Tensor, one_hot: Tensor | None, steps: int, solver: str) -> Tensor:
        """Transport up to CHUNK base points (n, d) to coordinates of latents.

        The network always gets CHUNK rows: products of other sizes differ in their last bits.
        """
        network = self._networks.under(solver)
        missing = CHUNK - len(start)
        x = nn.functional.pad(start, (0, 0, 0, missing)).to(self.device)
        label = None if one_hot is None else nn.functional.pad(one_hot, (0, 0, 0, missing))
        *_, z = flow_trajectory(
            lambda x, t, s: network(x, t, s, label), x, steps, solver, "latent-flow"
        )
        return z[: len(start)].cpu()

    def _draw_base(
        self, count: int, draw: Generator, category: str | None, even: bool
    ) -> tuple[Tensor, Tensor]:
        if category is not None and category not in self.categories:
            raise InputError(
                f"no category {category!r} in this run; it has {', '.join(self.categories)}"
            )
        wanted = torch.ones(len(self._label), dtype=torch.bool)
        if category is not None:
            wanted = self._label == self.categories.index(category)
        visits = StratifiedSampler(wanted.double(), self._strata)
        kept: list[Tensor] = []
        cells: list[Tensor] = []
        have = 0
        empty = 0
        while have < count:
            if empty == MOST_MISSES:
                raise DataError(
                    f"none of {CHUNK * empty} samples of the base is in a cell of {category}; "
                    "train on more shapes of that category, or sample without --category"
                )
            x = self._coupling.omega.sample(CHUNK, draw)
            cell = self._coupling.assign(x).cpu()
            fits = wanted[cell]
            x, cell = x[fits], cell[fits]
            empty = 0 if len(x) else empty + 1
            if even:
                taken = visits.keep(cell)
                x, cell = x[taken], cell[taken]
            kept.append(x)
            cells.append(cell)
            have += len(x)
        return torch.cat(kept)[:count], torch.cat(cells)[:count]
