"""A run that needs no training: seeds decode into boxes of different heights."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pcgen.shapes.samples import Samples
from pcgen.viewer.sources import RunSource


class FakeModel:
    """The part of :class:`pcgen.model.ShapeModel` that the viewer calls."""

    categories = ("chair", "table")
    dataset_path = ""
    run_dir = "no-run"

    def __init__(self, normals=True, apart=0.5):
        self.normals, self.apart = normals, apart
        self.asked = []

    def draw(self, count, *, seed, category=None, steps=1):
        self.asked.append((seed, category, steps))
        row = self.categories.index(category) if category else seed % 2
        return SimpleNamespace(
            z=torch.full((count, 3), float(seed)),
            category=torch.tensor([row]),
            symmetry=torch.zeros(count, 3, dtype=torch.bool),
        )

    def encode(self, clouds):
        """Latents that :meth:`decode` turns into clouds of these heights."""
        boxed = clouds / clouds[..., [0, 2]].abs().amax((1, 2), keepdim=True)
        return (boxed[..., 1].abs().amax(1, keepdim=True) - 1).expand(-1, 3)

    def decode(self, latents, *, points, seed, steps, trace, symmetry):
        draw = torch.Generator().manual_seed(seed)
        flat = torch.rand(1, points, 3, generator=draw) * 2 - 1
        flat[..., 1] *= 1 + latents[0, 0]
        base = flat + self.apart
        times = torch.linspace(0, 1, steps + 1)
        path = torch.stack([base + (flat - base) * t for t in times])
        side = torch.nn.functional.normalize(flat, dim=-1)
        return SimpleNamespace(
            points=flat,
            normals=side if self.normals else torch.zeros_like(side),
            base=base,
            part=torch.arange(points)[None] % 4,
            trace=path if trace else None,
        )


@pytest.fixture
def run_source():
    return RunSource(FakeModel(), points=64)


@pytest.fixture
def samples_file(tmp_path):
    points = np.random.default_rng(0).uniform(-1, 1, (3, 60, 3)).astype(np.float32)
    path = tmp_path / "three.npz"
    Samples(points=points, category=np.array(["a", "b", "a"])).save(path)
    return path
