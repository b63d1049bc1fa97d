"""The dual ascent behind the network base."""

import torch

from pcgen.base.dual_ascent import DualAscent


def test_the_dual_fills_every_cell_alike():
    g = torch.Generator().manual_seed(0)
    atoms = torch.randn(64, 3, generator=g) * torch.tensor([1.0, 0.3, 2.0]) + 5
    dual = DualAscent(atoms)
    for _ in range(600):
        dual.step(torch.randn(512, 3, generator=g))
    mapped = dual.map(torch.randn(64_000, 3, generator=g))
    counts = (torch.cdist(mapped, atoms).argmin(1)).bincount(minlength=64)
    chi2 = float((counts / 1000 - 1).square().mean())
    assert chi2 < 0.05
    assert int(counts.min()) > 0
