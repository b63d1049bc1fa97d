"""Corrections by groups: shift whole groups of atoms so that each group has its mass.

Stochastic steps correct the balance between distant groups last, since few samples are near the
facets between them. Given the best score of each group on some samples, the common potential shift
of each group is a small convex problem. Reasons and measurements: docs/notes/semidual.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pcgen.kernels.dense import score_rows
from pcgen.transport.chunking import ENTRIES, centred_blocks, mean

MOST_GROUPS = 32
MOST_CLUSTERS = 128  # with 32 groups, forty clusters took over sixty times the samples
MOST_SHELLS = 16
THIN = 1.01  # outermost over innermost radius, below which the atoms lie on one sphere
ATOMS_PER_GROUP = 8
LLOYD_STEPS = 8
APART = 6.0  # parts of one cluster are two or three radii apart

# Newton's method on the groups: smoothing levels, each a quarter of the last, and steps per level.
# Groups far apart need five; parts of a tight cluster among others need more, as their scores are
# closer.
LEVELS = 16
STEPS = 12
LONGEST_STEP = 10  # the longest step, in units of the smoothing
HALVINGS = 8
CACHED = 2**17  # scores processed at a time, 1 MiB


@dataclass(frozen=True, eq=False)
class Groups:
    """A partition of the atoms into groups of nearby ones.

    Attributes:
        label: (n,) int64; weights: (C,) float64, of each group.
        place: (n,) float64, the position of each atom along the sequence of groups, for shifts
            that vary continuously between groups; None for groups that move as a whole.
    """

    label: Tensor
    weights: Tensor
    place: Tensor | None = None

    @property
    def count(self) -> int:
        """C."""
        return len(self.weights)

    def masses(self, counts: Tensor) -> Tensor:
        """Sums (C,) over each group of values (n,) of the cells."""
        return counts.new_zeros(self.count).index_add_(0, self.label, counts)

    def spread(self, shift: Tensor) -> Tensor:
        """Shifts (n,) of the atoms, given those of the groups (C,)."""
        if self.place is None:
            return shift[self.label]
        middle = self.masses(self.place) / torch.bincount(self.label, minlength=self.count)
        after = torch.searchsorted(middle, self.place).clamp(1, self.count - 1)
        step = (middle[after] - middle[after - 1]).clamp(min=1e-300)
        share = ((self.place - middle[after - 1]) / step).clamp(0, 1)
        return torch.lerp(shift[after - 1], shift[after], share)


def partition(atoms: Tensor, weights: Tensor, most: int = MOST_GROUPS) -> Groups:
    """k-means initialised by farthest-first traversal, which finds every tight cluster."""
    count = max(1, min(most, len(atoms) // ATOMS_PER_GROUP))
    sample = atoms[:: max(1, len(atoms) // 4096)]
    chosen = [0]
    distance = torch.full((len(sample),), torch.inf, dtype=atoms.dtype, device=atoms.device)
    for _ in range(count - 1):
        distance = torch.minimum(distance, (sample - sample[chosen[-1]]).square().sum(1))
        chosen.append(int(distance.argmax()))
    centres = sample[chosen]
    for _ in range(LLOYD_STEPS):
        label = _nearest(sample, centres)
        total = torch.zeros_like(centres).index_add_(0, label, sample)
        size = torch.bincount(label, minlength=count)[:, None]
        centres = torch.where(size > 0, total / size.clamp(min=1), centres)
    label = _nearest(atoms, centres).unique(return_inverse=True)[1]
    groups = int(label.max()) + 1
    return Groups(label, weights.new_zeros(groups).index_add_(0, label, weights))


def shells(atoms: Tensor, weights: Tensor) -> Groups | None:
    """Shells of equal mass about the mean of the atoms; None if few, or on one sphere.

    Smoothed cells are too large at the border of the atoms; shells correct that with a few thousand
    samples. Their shift is continuous, since a step between shells would empty cells next to it.
    """
    count = min(MOST_SHELLS, len(atoms) // ATOMS_PER_GROUP)
    if count < 2:
        return None
    centre = mean(atoms, weights)
    radius = torch.cat([block.norm(dim=1) for _, block in centred_blocks(atoms, centre)])
    order = radius.argsort(stable=True)
    if radius[order[-1]] < THIN * radius[order[0]]:
        return None
    # Minus half its own weight: an atom belongs to the shell that contains its middle.
    within = weights[order].cumsum(0) - 0.5 * weights[order]
    label = torch.empty_like(order)
    label[order] = (within * count).long().clamp(0, count - 1)
    label = label.unique(return_inverse=True)[1]
    found = int(label.max()) + 1
    if found < 2:
        return None
    return Groups(label, weights.new_zeros(found).index_add_(0, label, weights), radius)


def partitions(atoms: Tensor, weights: Tensor) -> tuple[Groups, ...]:
    """Partitions from coarse to fine: well-separated clusters, if any, then their parts.

    Parts of a tight cluster cannot correct its mass: a shift empties cells at its border.
    """
    fine, many = partition(atoms, weights), partition(atoms, weights, MOST_CLUSTERS)
    clusters = merge_near_groups(atoms, many)
    if not 1 < clusters.count < many.count:
        return (fine,)
    return clusters, (many if 2 * clusters.count > MOST_GROUPS else fine)


def merge_near_groups(atoms: Tensor, groups: Groups) -> Groups:
    """Merge groups until the centres of any two are :data:`APART` times a radius apart."""
    size = torch.bincount(groups.label, minlength=groups.count)
    centres = atoms.new_zeros(groups.count, atoms.shape[1]).index_add_(0, groups.label, atoms)
    centres /= size[:, None]
    rows = max(1, ENTRIES // atoms.shape[1])
    squares = torch.cat(
        [
            (part - centres[label]).square().sum(1)
            for part, label in zip(atoms.split(rows), groups.label.split(rows), strict=True)
        ]
    )
    radius = (groups.masses(squares) / size).sqrt()
    # The larger radius, as a part may be a single atom.
    near = torch.cdist(centres, centres) < APART * torch.maximum(radius, radius[:, None])
    for _ in range(groups.count):  # nearness is transitive here
        near = (near.to(atoms.dtype) @ near.to(atoms.dtype)) > 0
    first = torch.where(near, torch.arange(groups.count, device=near.device), groups.count).amin(1)
    names = first.unique(return_inverse=True)[1]
    weights = groups.weights.new_zeros(int(names.max()) + 1).index_add_(0, names, groups.weights)
    return Groups(names[groups.label], weights)


def best_group_scores(x: Tensor, atoms: Tensor, offset: Tensor, groups: Groups) -> Tensor:
    """The best score of each group, (batch, C), computed in blocks to bound the memory."""
    order = groups.label.argsort(stable=True)
    ends = torch.bincount(groups.label, minlength=groups.count).cumsum(0).tolist()
    sorted_atoms, sorted_offset = atoms[order], offset[order].to(atoms.dtype)
    best = x.new_empty(len(x), groups.count)
    rows = score_rows(x, atoms)
    for top in range(0, len(x), rows):
        scores = torch.addmm(sorted_offset, x[top : top + rows], sorted_atoms.T)
        for group, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            best[top : top + rows, group] = scores[:, start:end].amax(1)
    return best


def group_shifts(best: Tensor, weights: Tensor) -> Tensor:
    """Shifts a (C,) such that group c has the best ``best + a`` on a share weights_c of samples.

    Newton's method on the smoothed semi-dual of the groups. The smoothing is annealed until the
    hard shares are as close as samples can show. Returns the best result of all levels and of no
    shift.

    Args:
        best: (M, C) scores; weights: (C,) float64.
    """
    best = best.double()
    shift = torch.zeros_like(weights)
    epsilon = 0.1 * (best.amax(1) - best.mean(1)).mean().clamp(min=1e-300)
    enough = 0.1 * len(weights) / len(best)
    nearest, least = shift, _miss(best, weights)
    miss = least
    for _ in range(LEVELS):
        if least <= enough:
            break
        shift = _smoothed(best, weights, shift, epsilon, enough)
        before, miss = miss, _miss(best + shift, weights)
        if miss < least:
            nearest, least = shift, miss
        elif miss == before:  # no sample changes its group any more
            break
        epsilon = epsilon / 4
    return nearest - weights @ nearest


def _smoothed(
    best: Tensor, weights: Tensor, shift: Tensor, epsilon: Tensor, enough: float
) -> Tensor:
    """Newton's method with line search for one smoothing ε, starting from ``shift``."""
    eye = torch.eye(len(weights), dtype=torch.float64, device=best.device)
    now, mass = _value(best, weights, shift, epsilon)
    for _ in range(STEPS):
        if ((mass - weights).square() / weights).sum() <= enough:
            break
        overlaps = _overlaps(best, shift, epsilon)
        # Shares sum to one, so this diagonal is their mean; and rounding cannot make it less than
        # the rest of its row.
        hessian = (torch.diag(overlaps.sum(1)) - overlaps) / epsilon
        # Singular along the constants, and zero where no share overlaps. lstsq is avoided, as its
        # last bits depend on the memory addresses of its arguments.
        hessian += (1e-9 * hessian.diagonal().mean() + 1e-300) * eye
        step = torch.linalg.solve(hessian, weights - mass)
        step -= step.mean()
        step *= min(1.0, (LONGEST_STEP * epsilon / step.abs().max().clamp(min=1e-300)).item())
        for _ in range(HALVINGS):
            then, masses = _value(best, weights, shift + step, epsilon)
            if then < now:
                break
            step = step / 2
        else:
            break
        shift, now, mass = shift + step, then, masses
    return shift


def _value(best: Tensor, weights: Tensor, shift: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """The smoothed semi-dual, and the mean shares of the groups (C,)."""
    total, mass = torch.zeros_like(epsilon), torch.zeros_like(weights)
    for level, shares in _shares(best, shift, epsilon):
        total += level.sum()
        mass += shares.sum(0)
    return epsilon * total / len(best) - weights @ shift, mass / len(best)


def _overlaps(best: Tensor, shift: Tensor, epsilon: Tensor) -> Tensor:
    """The mean products of the shares of any two groups, (C, C)."""
    product = torch.zeros(len(shift), len(shift), dtype=torch.float64, device=best.device)
    for _, shares in _shares(best, shift, epsilon):
        product += shares.T @ shares
    return product / len(best)


def _shares(best: Tensor, shift: Tensor, epsilon: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the log-sum-exp of scores / ε and their softmax, for some rows at a time.

    Parts fit in the cache, and exponentials are in single precision, as there are hundreds of
    passes over all rows. The differences in the exponents are not rounded.
    """
    for part in best.split(max(1, CACHED // best.shape[1])):
        scores = part + shift
        top = scores.amax(1)
        shares = scores.sub_(top[:, None]).div_(epsilon).float().exp_()
        whole = shares.sum(1)
        yield top / epsilon + whole.log(), shares.div_(whole[:, None])


def _miss(best: Tensor, weights: Tensor) -> float:
    """χ² of the shares of the groups."""
    share = torch.bincount(best.argmax(1), minlength=len(weights)) / len(best)
    return ((share - weights).square() / weights).sum().item()


def _nearest(atoms: Tensor, centres: Tensor) -> Tensor:
    scores = torch.addmm(-0.5 * centres.square().sum(1), atoms, centres.T)
    return scores.argmax(1)
