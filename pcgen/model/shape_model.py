""":class:`ShapeModel`: sampling, encoding, decoding and meshing with one run."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcgen import __version__, runtime
from pcgen.errors import DataError
from pcgen.model.clouds import CloudDecoder
from pcgen.model.latents import LatentSampler
from pcgen.model.surfaces import LatentMesher, has_field
from pcgen.progress import track
from pcgen.runfile import NEEDED, is_finished, read_run
from pcgen.shapes.samples import Samples

# Offset between the seeds of consecutive batches, so that they do not share noise.
SEED_STRIDE = 1_000_003
# Decoded together on a GPU, about 3 GiB with the gpu preset. A CPU is as fast one by one.
BATCH_POINTS = 2**17
OUTLINE = 128  # parts that outline a shape


class ShapeModel:
    """A trained run that generates shapes; see :meth:`load`.

    Attributes:
        draw: sample latents of new shapes, :meth:`.latents.LatentSampler.draw`.
        decode: latents to clouds, :meth:`.clouds.CloudDecoder.decode`.
        encode: clouds to latents, :meth:`.clouds.CloudDecoder.encode`.
        mixture: latents to likelihoods of points, :meth:`.clouds.CloudDecoder.mixture`.
        known: latents of the children in the training, with their coordinates.
        surfaces: meshes latents; None if the run has no field.
        latent_dim: of the latents; dim: of the points; device: of the networks.
    """

    def __init__(self, run_dir: Path, config: dict[str, Any], device: str = "cpu") -> None:
        self.run_dir = run_dir
        self.categories: tuple[str, ...] = tuple(config["categories"])
        self.dataset_path = Path(config["dataset"])
        self.device = device
        clouds = CloudDecoder(run_dir, config, device)
        self.latent_dim, self.dim = clouds.latent_dim, clouds.dim
        self.surfaces: LatentMesher | None = None
        if has_field(run_dir):
            sizes = config["settings"]["field"]
            self.surfaces = LatentMesher(run_dir / "field", sizes, clouds.autoencoder, device)
        sampler = LatentSampler(run_dir, config, clouds.latent_dim, device)
        self.draw, self.known = sampler.draw, sampler.known
        self.decode, self.encode, self.mixture = clouds.decode, clouds.encode, clouds.mixture

    @cached_property
    def outlines(self) -> Tensor:
        """(N, 128, 3), :meth:`outlined` of each known shape, computed once: 0.4 ms per shape."""
        return self.outlined(self.known.z)

    def outlined(self, z: Tensor) -> Tensor:
        """(n, 128, 3) centres of parts, in random order, of shapes with latents (n, latent_dim)."""
        found = []
        for some in z.split(64):
            centre = self.mixture(some).centre.cpu()
            chance = torch.Generator().manual_seed(0)  # the same order for all
            found.append(centre[:, torch.randperm(centre.shape[1], generator=chance)[:OUTLINE]])
        return torch.cat(found)

    @classmethod
    def load(cls, run_dir: Path | str, device: str = "cpu") -> ShapeModel:
        """Load a finished run.

        Raises:
            DataError: there is no run, or a stage of it is not trained yet.
        """
        run_dir = Path(run_dir)
        config = read_run(run_dir)
        missing = [stage for stage in NEEDED if not is_finished(run_dir, stage)]
        if missing:
            raise DataError(
                f"{run_dir} is not fully trained: {', '.join(missing)} missing; "
                "resume with: pcgen train DATASET --out RUN --resume"
            )
        device = runtime.pick_device(device)
        try:
            return cls(run_dir, config, device)
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
        symmetric: bool = True,
    ) -> Samples:
        """Sample new shapes; equal seeds give equal shapes.

        Args:
            even: see :meth:`.latents.LatentSampler.draw`.
            symmetric: whether children of symmetric shapes are made symmetric, see
                :func:`pcgen.model.clouds.reflections`.
        """
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
            symmetry=drawn.symmetry if symmetric else None,
        ).with_meta(parents=drawn.parent_ids)

    def sample_latents(
        self, count: int, *, seed: int, category: str | None = None, steps: int = 1
    ) -> Tensor:
        """Sample latents (count, latent_dim) of new shapes."""
        return self.draw(count, seed=seed, category=category, steps=steps).z

    def decode_samples(
        self,
        latents: Tensor,
        *,
        points: int,
        seed: int,
        category: list[str],
        steps: int = 1,
        solver: str = "student",
        symmetry: Tensor | None = None,
        same_noise: bool = False,
        first: int = 0,
        bar: str = "",
    ) -> Samples:
        """Decode into a :class:`Samples`, each with its own noise; on a GPU in batches.

        ``symmetry`` (n, 3) are the axes along which each is made symmetric. Normals are None if
        the run's data had none. Shape k does not depend on how many follow it, on a GPU up to
        rounding; ``first`` is the k of the first latent; ``bar`` the name of a progress bar, if
        there is to be one.
        """
        seeds = [
            seed if same_noise else seed * SEED_STRIDE + number
            for number in range(first, first + len(latents))
        ]
        size = max(1, BATCH_POINTS // points) if self.device.startswith("cuda") else 1
        starts = range(0, len(latents), size)
        shapes = [
            self.decode(
                latents[k : k + size],
                points=points,
                seed=seeds[k : k + size],
                steps=steps,
                solver=solver,
                symmetry=None if symmetry is None else symmetry[k : k + size],
            )
            for k in (track(starts, bar, len(starts)) if bar else starts)
        ]
        normals = np.concatenate([shape.normals.numpy() for shape in shapes])
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
            normals=normals if normals.any() else None,  # None if trained without
            latents=latents.cpu().numpy(),
        )
