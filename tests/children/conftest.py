"""Boxes and rods with exact maps, and a quick way to build maps."""

from pathlib import Path

import pytest
import torch

from pcgen.children import Maps, MapSettings, build_maps
from pcgen.distances.novelty import in_box
from pcgen.shapes.normalise import proportion_free

SETTINGS = MapSettings(points=256, partners=4, per_shape=2, sweeps=4)


def boxes(count: int, n: int = 512, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Surfaces of boxes of random proportions, in the box frame, and their normals."""
    draw = torch.Generator().manual_seed(seed)
    points = 2 * torch.rand(count, n, 3, generator=draw) - 1
    axis = torch.randint(3, (count, n, 1), generator=draw)
    sign = torch.where(torch.rand(count, n, 1, generator=draw) < 0.5, -1.0, 1.0)
    points = points.scatter(2, axis, sign)
    sizes = 0.2 + 0.8 * torch.rand(count, 3, generator=draw)
    sizes = sizes / sizes.amax(1, keepdim=True)
    return points * sizes[:, None], torch.zeros(count, n, 3).scatter(2, axis, sign)


def box(points: torch.Tensor) -> torch.Tensor:
    """Normalise clouds (batch, n, 3) to their boxes."""
    return torch.from_numpy(in_box(points.numpy()))


def cube(points: torch.Tensor) -> torch.Tensor:
    """Likewise, and stretch each axis to the cube."""
    return torch.from_numpy(proportion_free(points.numpy()))


def build(points, folder: Path, normals=None, label=None, settings=SETTINGS, **options) -> Maps:
    label = torch.zeros(len(points), dtype=torch.long) if label is None else torch.tensor(label)
    options = {"workers": 1, **options}
    return build_maps(points, normals, label, settings, folder, **options)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
