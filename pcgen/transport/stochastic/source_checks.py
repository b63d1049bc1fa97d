"""Whether a source reaches the walls between all atoms: without that no potential is right."""

from __future__ import annotations

import torch

from pcgen.errors import TransportError
from pcgen.transport.stochastic.workspace import PILOT, Workspace


def check_reach(work: Workspace) -> None:
    """Refuse a source too thin to tell two atoms apart.

    Raises:
        TransportError: all samples lie in a subspace across which two atoms coincide.
    """
    count = max(PILOT, 4 * work.atoms.shape[1])
    x = work.draw(0, count, -1).double()
    spread = x - x.mean(0)
    _, values, rows = torch.linalg.svd(spread, full_matrices=False)
    if values[0] <= 1e-12 * x.abs().max():
        raise TransportError(
            f"all {count} samples of the source are one point, which no map can spread over "
            f"{work.count} atoms; choose a source with a density"
        )
    seen = rows[values > 1e-6 * values[0].clamp(min=1e-300)]
    if len(seen) == work.atoms.shape[1]:
        return
    shadow = (work.atoms.double() @ seen.T) / (1e-6 * work.atoms.double().std())
    for shift in (0.0, 0.5):  # equal values may round apart, but not twice
        _, inverse, copies = (
            (shadow + shift).round().unique(dim=0, return_inverse=True, return_counts=True)
        )
        if not (copies > 1).any():
            continue
        place = int((copies > 1).nonzero()[0])
        one, other = (inverse == place).nonzero()[:2, 0].tolist()
        first = work.problem.distinct.first
        raise TransportError(
            f"the source has no extent along the difference of atoms {int(first[one])} and "
            f"{int(first[other])}, so no potential can give each its mass; merge such atoms "
            "or choose a source of full dimension"
        )
