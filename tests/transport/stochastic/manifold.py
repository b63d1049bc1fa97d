"""Atoms on a curved low-dimensional manifold, so that few directions matter."""

import torch


def draw(seed):
    return torch.Generator().manual_seed(seed)


def curved(count, dim, inner):
    """(count, dim), of ``inner`` dimensions."""
    z = torch.randn(count, inner, generator=draw(1))
    return torch.sin(z @ torch.randn(inner, dim, generator=draw(2))) + z @ torch.randn(
        inner, dim, generator=draw(3)
    )
