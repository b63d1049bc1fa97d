"""New latents: points of the base ω, carried on by the latent flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from pcgen import base, checkpoint
from pcgen.base import BaseMeasure
from pcgen.errors import DataError, InputError
from pcgen.flow.networks import LatentSlope
from pcgen.kernels import best_cells
from pcgen.model.follow import Networks, check, follow
from pcgen.transport import SemidiscreteSolution, StratifiedSampler

# Base points drawn at a time: fixed, so that shape k does not depend on how many are asked for.
CHUNK = 256
# Chunks in a row without a point of the category asked for, after which there is none to find.
MOST_MISSES = 4000


@dataclass(frozen=True)
class LatentDraw:
    """Latents with their story.

    Attributes:
        z: (count, latent_dim), ready to decode; base: where each started.
        category: index of the category of the cell that each started in.
        row: data-set row of the training shape whose cell that is.
    """

    z: Tensor
    base: Tensor
    category: Tensor
    row: Tensor


def check_fit(
    atoms: Mapping[str, Tensor],
    potential: Tensor,
    omega: BaseMeasure,
    dim: int,
    categories: int,
) -> None:
    """Refuse files of the base stage that do not fit each other or the run.

    Args:
        atoms: ``z``, ``row`` and ``label``; dim: of the latents; categories: how many.
    Raises:
        ValueError: with what does not fit.
    """
    z, labels = atoms["z"], atoms["label"]
    sizes = {len(atoms["row"]), len(labels), len(potential)}
    if sizes != {len(z)} or len(z) == 0 or z.shape[1] != dim:
        raise ValueError("the atoms, their labels and the potential have different sizes")
    if int(labels.min()) < 0 or int(labels.max()) >= categories:
        raise ValueError("an atom has a category that the run does not know")
    if omega.dim != dim:
        raise ValueError(f"the base has dimension {omega.dim}")


class LatentSampler:
    """The base, its cells and the latent flow of a run."""

    def __init__(self, run_dir: Path, config: dict[str, Any], dim: int, device: str) -> None:
        """
        Args:
            config: of the run; dim: of its latents.
        Raises:
            ValueError: files of the run do not fit each other.
        """
        self.device = device
        self.dim = dim
        self.categories: tuple[str, ...] = tuple(config["categories"])
        self.conditional = bool(config["conditional"])
        folder = run_dir / "base"
        atoms, _ = checkpoint.load(folder / "atoms.safetensors", checkpoint.ATOMS)
        self._atoms, self._row, self._label = atoms["z"], atoms["row"], atoms["label"]
        self._base = base.from_checkpoint(
            *checkpoint.load(folder / "base.safetensors", checkpoint.BASE)
        )
        self._potential = SemidiscreteSolution.load(folder / "map.npz").potential
        check_fit(atoms, self._potential, self._base, dim, len(self.categories))
        self._shape = torch.unique(self._row, return_inverse=True)[1]
        sizes = config["settings"]["latent_flow"]
        classes = len(self.categories) if self.conditional else 0
        self._networks = Networks(
            run_dir / "latent-flow",
            lambda: LatentSlope(dim, sizes["width"], sizes["blocks"], classes),
            sizes["blocks"],
            device,
        )

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
    ) -> LatentDraw:
        """Draw from the base, then follow the latent flow.

        With ``even``, the set visits the cells of all training shapes evenly and not independently,
        see :class:`~pcgen.transport.StratifiedSampler`. A category is reached by
        keeping the base points whose cell, under the semi-discrete map, belongs to one of its
        training shapes: exact, and the same for every base.
        """
        check(count, steps)
        draw = torch.Generator().manual_seed(seed)
        start, cell = self._draw_base(count, draw, category, even)
        label = self._label[cell]
        one_hot = None
        if self.conditional:
            one_hot = nn.functional.one_hot(label, len(self.categories)).float().to(self.device)
        chunks = start.split(CHUNK)
        told = [None] * len(chunks) if one_hot is None else one_hot.split(CHUNK)
        z = torch.cat(
            [
                self._carried(x, label_here, steps, solver)
                for x, label_here in zip(chunks, told, strict=True)
            ]
        )
        return LatentDraw(z=z, base=start, category=label, row=self._row[cell])

    def _carried(self, start: Tensor, one_hot: Tensor | None, steps: int, solver: str) -> Tensor:
        """Up to CHUNK base points (n, latent_dim) to latents.

        The network always sees CHUNK rows: products of other sizes differ in their last bits.
        """
        network = self._networks.under(solver)
        missing = CHUNK - len(start)
        x = nn.functional.pad(start, (0, 0, 0, missing)).to(self.device)
        label = None if one_hot is None else nn.functional.pad(one_hot, (0, 0, 0, missing))
        *_, z = follow(lambda x, t, s: network(x, t, s, label), x, steps, solver, "latent-flow")
        return z[: len(start)].cpu()

    def _draw_base(
        self, count: int, draw: Generator, category: str | None, even: bool
    ) -> tuple[Tensor, Tensor]:
        if category is not None and category not in self.categories:
            raise InputError(
                f"no category {category!r} in this run; it has {', '.join(self.categories)}"
            )
        wanted = torch.ones(len(self._atoms), dtype=torch.bool)
        if category is not None:
            wanted = self._label == self.categories.index(category)
        visits = StratifiedSampler(torch.bincount(self._shape, wanted.double()))
        kept: list[Tensor] = []
        cells: list[Tensor] = []
        have = 0
        empty = 0
        while have < count:
            if empty == MOST_MISSES:
                raise DataError(
                    f"none of {CHUNK * empty} points of the base is in a cell of {category}; "
                    "train on more shapes of that category, or sample without --category"
                )
            x = self._base.sample(CHUNK, draw)
            cell = best_cells(x, self._atoms, self._potential)[1][:, 0]
            fits = wanted[cell]
            x, cell = x[fits], cell[fits]
            empty = 0 if len(x) else empty + 1
            if even:
                taken = visits.keep(self._shape[cell])
                x, cell = x[taken], cell[taken]
            kept.append(x)
            cells.append(cell)
            have += len(x)
        return torch.cat(kept)[:count], torch.cat(cells)[:count]
