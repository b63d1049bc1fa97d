"""Latents to clouds: samples of the autoencoder's mixture, transported by the point flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from pcgen.config import from_plain
from pcgen.errors import InputError
from pcgen.flow.networks import BoundPointFlow, PointCondition, PointFlowNetwork
from pcgen.latent.autoencoder import Autoencoder, AutoencoderSettings, refining_factor
from pcgen.latent.mixture import MixtureBatch, MixtureSamples
from pcgen.model.trajectories import FlowNetworks, check_counts, flow_trajectory, load_weights


@dataclass(frozen=True)
class DecodedClouds:
    """Clouds, and the origin of their points.

    Attributes:
        points: (batch, n, dim); normals: (batch, n, dim), unit vectors of arbitrary sign, or zero
            if the run was trained without normals.
        base: (batch, n, dim), the points at t = 0; part: (batch, n), their mixture component.
        trace: (steps + 1, batch, n, dim), the points at all times, or None if not requested.
    """

    points: Tensor
    normals: Tensor
    base: Tensor
    part: Tensor
    trace: Tensor | None = None


ENCODED = 16
"""Clouds that are encoded at once."""
MOST_CLOUD_POINTS = 2**17
"""Upper limit on the points of a flow's cloud; a damaged run may state any number."""


def _whole(settings: dict[str, Any], name: str, most: int) -> int:
    """Read a size from a run's settings.

    Raises:
        ValueError: it is not an integer from 1 to ``most``.
    """
    value = settings[name]
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"point_flow.{name} must be from 1 to {most}, got {str(value)[:40]}")
    return value


def reflections(symmetry: Tensor, count: int) -> Tensor:
    """Signs (batch, count, 3) that make clouds symmetric along the axes in ``symmetry`` (batch, 3).

    Of a shape that is symmetric up to the decoder's noise, half of the points are replaced by their
    mirror images, so that both sides have the same noise. The order of the points is random.
    """
    number = torch.arange(count, device=symmetry.device)
    odd = torch.stack([(number >> axis) % 2 == 1 for axis in range(3)], 1)
    return torch.where(symmetry[:, None] & odd, -1.0, 1.0)


class CloudDecoder:
    """The autoencoder and the point flow of a run.

    Attributes:
        dim: dimension of the points; latent_dim: of the latents; autoencoder: the network.
    """

    def __init__(self, run_dir: Path, config: dict[str, Any], device: str) -> None:
        settings = config["settings"]
        sizes = from_plain(AutoencoderSettings, settings["autoencoder"])
        self.device = device
        tensors = load_weights(run_dir / "autoencoder")
        self.autoencoder = Autoencoder.trained(sizes, tensors).to(device)
        self.dim, self.latent_dim = self.autoencoder.dim, self.autoencoder.latent_dim
        flow = settings["point_flow"]
        self._cloud_points = _whole(flow, "points", MOST_CLOUD_POINTS)
        self._neighbours = _whole(flow, "neighbours", MOST_CLOUD_POINTS)
        self._networks = FlowNetworks(
            run_dir / "point-flow",
            lambda: PointFlowNetwork(
                self.dim, self.autoencoder.local_numbers, flow["width"], flow["blocks"]
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
        seed: int | Sequence[int] = 0,
        steps: int = 1,
        trace: bool = False,
        solver: str = "student",
        symmetry: Tensor | None = None,
    ) -> DecodedClouds:
        """Decode latents (batch, latent_dim) into clouds of any number of points, with normals.

        The point flow is trained on clouds of one density. Fewer points are the first points of
        such a cloud, and more points are several clouds of the same shape, so a larger cloud
        begins with the points of a smaller one. ``seed`` is for all shapes, or one for each.
        ``symmetry`` (batch, 3) are the axes along which clouds are made symmetric, see
        :func:`reflections`.
        """
        check_counts(points, steps)
        self._check(latents)
        draw: Generator | list[Generator]
        if isinstance(seed, int):
            draw = Generator().manual_seed(seed)
        else:
            draw = [Generator().manual_seed(own) for own in seed]
        z = latents.to(self.device)
        clouds = -(-points // self._cloud_points)
        mixture, start = self.autoencoder.draw_base(z, self._cloud_points, draw, clouds)
        batch = len(z)

        def split(values: Tensor) -> Tensor:
            """(batch, clouds · n, ...) to (batch · clouds, n, ...)."""
            return values.reshape(batch * clouds, self._cloud_points, *values.shape[2:])

        def joined(values: Tensor) -> Tensor:
            """The inverse of ``split``, without surplus points."""
            whole = values.reshape(*values.shape[:-3], batch, -1, values.shape[-1])
            return whole[..., :points, :].cpu()

        begin = split(start.points)
        part = split(start.part)
        condition = PointCondition.of(
            mixture.repeated(clouds),
            MixtureSamples(begin, part, begin),
            self.autoencoder.local(z.repeat_interleave(clouds, 0), part),
            self._neighbours,
        )
        path = []
        end = begin
        slope = BoundPointFlow(self._networks.under(solver), condition)
        for end in flow_trajectory(slope, begin, steps, solver, "point-flow"):
            if trace:
                path.append(end)
        normals = nn.functional.normalize(slope.normal, dim=-1)
        if symmetry is not None:
            known = symmetry.to(self.device).repeat_interleave(clouds, 0)
            signs = reflections(known, self._cloud_points)
            end, normals, begin, *path = (values * signs for values in (end, normals, begin, *path))
        return DecodedClouds(
            points=joined(end),
            normals=joined(normals),
            base=joined(begin),
            part=start.part[:, :points].cpu(),
            trace=joined(torch.stack(path)) if trace else None,
        )

    @torch.no_grad()
    def mixture(self, latents: Tensor) -> MixtureBatch:
        """The density that the autoencoder assigns to points, one mixture per latent.

        Raises:
            InputError: the latents are not (batch, latent_dim).
        """
        self._check(latents)
        return self.autoencoder.decode(latents.to(self.device))

    def _check(self, latents: Tensor) -> None:
        if latents.ndim != 2 or latents.shape[1] != self.latent_dim:
            raise InputError(
                f"latents must be (batch, {self.latent_dim}), got {tuple(latents.shape)}"
            )
        if not torch.isfinite(latents).all():
            raise InputError("latents must be finite numbers, got NaN or infinity")

    @torch.no_grad()
    def encode(self, points: Tensor) -> Tensor:
        """Encode clouds (batch, n, dim) in the box frame to refined latents (batch, latent_dim)."""
        if points.ndim != 3 or points.shape[-1] != self.dim:
            raise InputError(f"points must be (batch, n, {self.dim}), got {tuple(points.shape)}")
        factor = refining_factor(points.shape[1])
        # Few at a time: each step of the refinement keeps a megabyte for a shape.
        parts = [
            self.autoencoder.refined(part.to(self.device), factor) for part in points.split(ENCODED)
        ]
        return torch.cat(parts).cpu()
