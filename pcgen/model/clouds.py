"""Latents to clouds: base points of the autoencoder's mixture, carried on by the point flow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pcgen.config import from_plain
from pcgen.errors import InputError
from pcgen.flow.networks import BoundPointSlope, PointCondition, PointSlope
from pcgen.latent.autoencoder import Autoencoder, AutoencoderSettings
from pcgen.model.follow import Networks, check, follow, weights


@dataclass(frozen=True)
class Decoded:
    """Clouds and where their points came from.

    Attributes:
        points: (batch, n, dim); normals: (batch, n, dim), unit vectors of arbitrary sign, or zero
            where the run was trained without.
        base: (batch, n, dim), the points at t = 0; part: (batch, n), their component.
        trace: (steps + 1, batch, n, dim), all times, or None where not asked for.
    """

    points: Tensor
    normals: Tensor
    base: Tensor
    part: Tensor
    trace: Tensor | None = None


class CloudDecoder:
    """The autoencoder and the point flow of a run.

    Attributes:
        dim: of the points; latent_dim: of the latents.
    """

    def __init__(self, run_dir: Path, config: dict[str, Any], device: str) -> None:
        settings = config["settings"]
        sizes = from_plain(AutoencoderSettings, settings["autoencoder"])
        self.device = device
        self.latent_dim = sizes.latent_dim
        tensors = weights(run_dir / "autoencoder")
        self._autoencoder = Autoencoder.trained(sizes, tensors).to(device)
        self.dim = self._autoencoder.dim
        flow = settings["point_flow"]
        self._networks = Networks(
            run_dir / "point-flow",
            lambda: PointSlope(
                self.dim, self.latent_dim, sizes.parts, flow["width"], flow["blocks"]
            ),
            flow["blocks"],
            device,
        )

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
        check(points, steps)
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
        slope = BoundPointSlope(self._networks.under(solver), condition)
        for end in follow(slope, start.points, steps, solver, "point-flow"):
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
