"""A trained run, assembled: draw latents, decode them into clouds, interpolate, encode.

What enters is a run directory, what leaves are clouds in the per-shape box frame ([-1, 1] along
the longest side, +Y up). This is the one place that knows how the stages fit together when
generating; training has its own way in :mod:`pcgen.train`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from pcgen import __version__, base, checkpoint, runtime
from pcgen.config import from_plain
from pcgen.errors import DataError, InputError
from pcgen.flow.characteristic import Slope, jump, velocity_of
from pcgen.flow.integrate import jumps, trajectory
from pcgen.flow.networks import BoundPointSlope, LatentSlope, PointCondition, PointSlope
from pcgen.kernels import best_cells
from pcgen.latent.autoencoder import Autoencoder, AutoencoderSettings
from pcgen.runfile import STAGES, is_finished, read_run
from pcgen.shapes.samples import Samples
from pcgen.transport import EvenVisits, SemidiscreteSolution

# Base points drawn at a time: fixed, so that shape k does not depend on how many are asked for.
CHUNK = 256
# Between the seeds of two runs of shapes, so that their noises are not shared.
SEED_STRIDE = 1_000_003
MOST_STEPS = 1000
# Chunks in a row without a point of the category asked for, after which there is none to find.
MOST_MISSES = 4000


@dataclass(frozen=True)
class Decoded:
    """Clouds and where their points came from.

    Attributes:
        points: (batch, n, dim); normals: (batch, n, dim), unit vectors of arbitrary sign.
        base: (batch, n, dim), the points at t = 0; part: (batch, n), their component.
        trace: (steps + 1, batch, n, dim), all times, or None where not asked for.
    """

    points: Tensor
    normals: Tensor
    base: Tensor
    part: Tensor
    trace: Tensor | None = None


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


class ShapeModel:
    """A run that generates; see :meth:`load`."""

    def __init__(self, run_dir: Path, config: dict[str, Any], device: str = "cpu") -> None:
        self.device = device
        self.run_dir = run_dir
        self.meta = config
        self.categories: tuple[str, ...] = tuple(config["categories"])
        self.conditional = bool(config["conditional"])
        self.dataset_path = Path(config["dataset"])
        settings = config["settings"]
        sizes = from_plain(AutoencoderSettings, settings["autoencoder"])
        self.latent_dim = sizes.latent_dim
        atoms, _ = checkpoint.load(run_dir / "base" / "atoms.safetensors", checkpoint.ATOMS)
        self._atoms, self._atom_row, self._atom_label = atoms["z"], atoms["row"], atoms["label"]
        self._base = base.from_checkpoint(
            *checkpoint.load(run_dir / "base" / "base.safetensors", checkpoint.BASE)
        )
        self._potential = SemidiscreteSolution.load(run_dir / "base" / "map.npz").potential
        self._check_atoms()
        self._atom_group = torch.unique(self._atom_row, return_inverse=True)[1]
        self._autoencoder = Autoencoder.trained(sizes, _weights(run_dir, "autoencoder")).to(device)
        self.dim = self._autoencoder.dim
        flow = settings["latent_flow"]
        classes = len(self.categories) if self.conditional else 0
        points = settings["point_flow"]

        def latent() -> LatentSlope:
            return LatentSlope(self.latent_dim, flow["width"], flow["blocks"], classes)

        def point() -> PointSlope:
            return PointSlope(
                self.dim, self.latent_dim, sizes.parts, points["width"], points["blocks"]
            )

        self._latent = {
            name: _frozen(latent(), _weights(run_dir, f"latent-flow/{name}"), device)
            for name in ("teacher", "student")
        }
        self._point = {
            name: _frozen(point(), _weights(run_dir, f"point-flow/{name}"), device)
            for name in ("teacher", "student")
        }

    @classmethod
    def load(cls, run_dir: Path | str, device: str = "cpu") -> ShapeModel:
        """Load a finished run.

        Raises:
            DataError: there is no run, or a stage of it is not trained yet.
        """
        run_dir = Path(run_dir)
        config = read_run(run_dir)
        missing = [stage for stage in STAGES if not is_finished(run_dir, stage)]
        if missing:
            raise DataError(
                f"{run_dir} is not trained to the end: {', '.join(missing)} missing; "
                "go on with: pcgen train DATASET --out RUN --resume"
            )
        try:
            return cls(run_dir, config, runtime.pick_device(device))
        except (ValueError, KeyError, AttributeError, TypeError, RuntimeError) as error:
            raise DataError(f"{run_dir} is damaged or of another version ({error!r})") from None

    def sample(
        self,
        count: int,
        *,
        seed: int,
        points: int = 2048,
        steps: int = 1,
        category: str | None = None,
        solver: str = "student",
        even: bool = True,
    ) -> Samples:
        """New shapes as the samples file of the project holds them; equal seeds, equal shapes."""
        drawn = self.draw(
            count, seed=seed, category=category, steps=steps, solver=solver, even=even
        )
        return self.decode_samples(
            drawn.z,
            points=points,
            seed=seed,
            steps=steps,
            solver=solver,
            category=[self.categories[int(label)] for label in drawn.category],
        )

    def sample_latents(
        self, count: int, *, seed: int, category: str | None = None, steps: int = 1
    ) -> Tensor:
        """(count, latent_dim) latents of new shapes."""
        return self.draw(count, seed=seed, category=category, steps=steps).z

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

        With ``even``, the set visits the cells of all training shapes evenly, see
        :mod:`pcgen.transport.visits`; else its draws are independent. A category is reached by
        keeping the base points whose cell, under the semi-discrete map, belongs to one of its
        training shapes: exact, and the same for every base.
        """
        _check(count, steps)
        draw = torch.Generator().manual_seed(seed)
        start, cell = self._draw_base(count, draw, category, even)
        label = self._atom_label[cell]
        one_hot = None
        if self.conditional:
            one_hot = nn.functional.one_hot(label, len(self.categories)).float().to(self.device)
        chunks = start.split(CHUNK)
        told = [None] * len(chunks) if one_hot is None else one_hot.split(CHUNK)
        z = torch.cat(
            [
                self._follow_latent(x, label_here, steps, solver)
                for x, label_here in zip(chunks, told, strict=True)
            ]
        )
        return LatentDraw(z=z, base=start, category=label, row=self._atom_row[cell])

    @torch.no_grad()
    def decode(
        self,
        latents: Tensor,
        *,
        points: int = 2048,
        seed: int = 0,
        steps: int = 1,
        trace: bool = False,
        solver: str = "student",
    ) -> Decoded:
        """Latents (batch, latent_dim) to clouds of any number of points, with normals."""
        _check(points, steps)
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise InputError(
                f"latents must be (batch, {self.latent_dim}), got {tuple(latents.shape)}"
            )
        draw = torch.Generator().manual_seed(seed)
        z = latents.to(self.device)
        mixture, start = self._autoencoder.draw_base(z, points, draw)
        condition = PointCondition(z=z, mixture=mixture, part=start.part)
        path = []
        end = start.points
        network = self._point["student" if solver == "student" else "teacher"]
        slope = BoundPointSlope(network, condition)
        for end in _follow(slope, start.points, steps, solver, "point-flow"):
            if trace:
                path.append(end)
        return Decoded(
            points=end.cpu(),
            normals=nn.functional.normalize(slope.normal, dim=-1).cpu(),
            base=start.points.cpu(),
            part=start.part.cpu(),
            trace=torch.stack(path).cpu() if trace else None,
        )

    @torch.no_grad()
    def encode(self, points: Tensor) -> Tensor:
        """(batch, n, dim) clouds in the box frame to (batch, latent_dim)."""
        if points.ndim != 3 or points.shape[-1] != self.dim:
            raise InputError(f"points must be (batch, n, {self.dim}), got {tuple(points.shape)}")
        return self._autoencoder.encode(points.to(self.device)).cpu()

    def interpolate(
        self, start: Tensor, end: Tensor, frames: int, *, points: int = 2048, seed: int = 0
    ) -> Samples:
        """Shapes along the line between two latents (latent_dim,), both ends included.

        Every frame uses the same base noise, so that points keep their identity.
        """
        if frames < 2:
            raise InputError(f"an interpolation needs at least 2 frames, got {frames}")
        weights = torch.linspace(0, 1, frames)[:, None]
        z = torch.lerp(start[None], end[None], weights)
        return self.decode_samples(
            z, points=points, seed=seed, same_noise=True, category=["interpolation"] * frames
        )

    def decode_samples(
        self,
        latents: Tensor,
        *,
        points: int,
        seed: int,
        category: list[str],
        steps: int = 1,
        solver: str = "student",
        same_noise: bool = False,
        first: int = 0,
    ) -> Samples:
        """Decode one by one, each with its own noise, into a :class:`Samples`.

        Shape k is the same however many follow it; ``first`` is the k of the first latent.
        """
        shapes = [
            self.decode(
                latent[None],
                points=points,
                seed=seed if same_noise else seed * SEED_STRIDE + number,
                steps=steps,
                solver=solver,
            )
            for number, latent in enumerate(latents, first)
        ]
        return Samples(
            points=np.concatenate([shape.points.numpy() for shape in shapes]),
            category=np.array(category),
            meta={
                "run": str(self.run_dir),
                "seed": seed,
                "steps": steps,
                "solver": solver,
                "version": __version__,
            },
            normals=np.concatenate([shape.normals.numpy() for shape in shapes]),
        )

    def _follow_latent(
        self, start: Tensor, one_hot: Tensor | None, steps: int, solver: str
    ) -> Tensor:
        """Up to CHUNK base points (n, latent_dim) to latents.

        The network always sees CHUNK rows: products of other sizes differ in their last bits.
        """
        network = self._latent["student" if solver == "student" else "teacher"]
        missing = CHUNK - len(start)
        x = nn.functional.pad(start, (0, 0, 0, missing)).to(self.device)
        label = None if one_hot is None else nn.functional.pad(one_hot, (0, 0, 0, missing))
        *_, z = _follow(lambda x, t, s: network(x, t, s, label), x, steps, solver, "latent-flow")
        return z[: len(start)].cpu()

    def _check_atoms(self) -> None:
        """Refuse files of the base stage that do not fit each other or the run."""
        count = len(self._atoms)
        sizes = {len(self._atom_row), len(self._atom_label), len(self._potential)}
        labels = self._atom_label
        if sizes != {count} or count == 0 or self._atoms.shape[1] != self.latent_dim:
            raise ValueError("the atoms, their labels and the potential have different sizes")
        if int(labels.min()) < 0 or int(labels.max()) >= len(self.categories):
            raise ValueError("an atom has a category that the run does not know")
        if self._base.dim != self.latent_dim:
            raise ValueError(f"the base has dimension {self._base.dim}")

    def _draw_base(
        self, count: int, draw: Generator, category: str | None, even: bool
    ) -> tuple[Tensor, Tensor]:
        if category is not None and category not in self.categories:
            raise InputError(
                f"no category {category!r} in this run; it has {', '.join(self.categories)}"
            )
        wanted = torch.ones(len(self._atoms), dtype=torch.bool)
        if category is not None:
            wanted = self._atom_label == self.categories.index(category)
        visits = EvenVisits(torch.bincount(self._atom_group, wanted.double()))
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
                taken = visits.keep(self._atom_group[cell])
                x, cell = x[taken], cell[taken]
            kept.append(x)
            cells.append(cell)
            have += len(x)
        return torch.cat(kept)[:count], torch.cat(cells)[:count]


def _follow(slope: Slope, start: Tensor, steps: int, solver: str, stage: str) -> Iterator[Tensor]:
    """x at all times: by the student's jumps, or by the teacher's flow under a stepper."""
    if solver == "student":
        path = jumps(functools.partial(jump, slope), start, steps=steps)
    else:
        path = trajectory(velocity_of(slope), start, steps=steps, method=solver)
    for number, x in enumerate(path):
        if not torch.isfinite(x).all():
            raise DataError(
                f"{stage}: x is not a finite number at step {number} of {steps} by {solver}; "
                "train the stage again, or use another solver or more steps"
            )
        yield x


def _weights(run_dir: Path, stage: str) -> dict[str, Tensor]:
    return checkpoint.load(run_dir / stage / "weights.safetensors", checkpoint.WEIGHTS)[0]


def _frozen(module: Any, weights: dict[str, Tensor], device: str) -> Any:
    module.load_state_dict(weights)
    return module.eval().requires_grad_(False).to(device)


def _check(count: int, steps: int) -> None:
    if count < 1:
        raise InputError(f"the number of shapes and of points must be at least 1, got {count}")
    if not 1 <= steps <= MOST_STEPS:
        raise InputError(f"steps must be between 1 and {MOST_STEPS}, got {steps}")
