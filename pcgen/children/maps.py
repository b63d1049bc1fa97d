"""Maps between training shapes, and the children that they give."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Generator, Tensor

from pcgen import runtime
from pcgen.batch_random import mine, whole
from pcgen.children.clouds import BLOCK, Clouds, placed
from pcgen.children.drawing import BlendSettings, Children, MatchedClouds, draw_blend
from pcgen.children.frames import Stretch
from pcgen.children.rule import Choice
from pcgen.errors import InputError
from pcgen.runtime import staged

COST_POINTS = 512  # of a map, for its cost


@dataclass(frozen=True)
class Pairing:
    """The matched points of pairs of shapes, which determine the maps.

    Attributes:
        pair: (M, 2) int64 rows. flipped: (M,) whether the second is mirrored.
        rank: (M,) of the second among the partners of the first, from 0.
        start: (M, 2) the first of the points of each.
    """

    pair: Tensor
    flipped: Tensor
    rank: Tensor
    start: Tensor

    def __len__(self) -> int:
        return len(self.pair)

    def __getitem__(self, part: slice) -> Pairing:
        return Pairing(self.pair[part], self.flipped[part], self.rank[part], self.start[part])


@dataclass(frozen=True)
class Maps:
    """Maps between training shapes, and the children they give.

    Attributes:
        clouds: the shapes.
        pairing: what is matched; map k takes point ``start[k, 0] + i`` of shape ``pair[k, 0]`` to
            point ``start[k, 1] + to[k, i]`` of ``pair[k, 1]``.
        to: (M, n) int16.
        choice: the default settings of :meth:`draw`, and the reason.
    """

    clouds: Clouds
    pairing: Pairing
    to: Tensor
    choice: Choice
    _side: _Sides = field(repr=False)

    @classmethod
    def of(cls, clouds: Clouds, pairing: Pairing, to: Tensor, choice: Choice) -> Maps:
        """The maps of a pairing."""
        return cls(clouds, pairing, to, choice, _Sides.of(pairing, clouds))

    @property
    def settings(self) -> BlendSettings:
        """The default settings of :meth:`draw`."""
        return self.choice.settings

    @property
    def farthest(self) -> int:
        """The largest number of partners that the maps cover."""
        return int(self.pairing.rank.max()) + 1 if len(self) else 1

    def __len__(self) -> int:
        return len(self.pairing)

    def on_device(self, device: str, *, normals: bool = True) -> Maps:
        """The same maps with all tensors on a device, if they fill at most a third of it.

        Args:
            normals: whether children shall have them.
        """
        clouds = self.clouds if normals else dataclasses.replace(self.clouds, normals=None)
        if device == "cpu" or 3 * (clouds.nbytes + self.to.nbytes) > runtime.free_bytes(device):
            return dataclasses.replace(self, clouds=clouds)
        stretch = Stretch(clouds.stretch.centre.to(device), clouds.stretch.half.to(device))
        there = Clouds(
            placed(clouds.points, device),
            None if clouds.normals is None else placed(clouds.normals, device),
            clouds.label.to(device),
            stretch,
            clouds.symmetry.to(device),
        )
        pairing = Pairing(*(value.to(device) for value in vars(self.pairing).values()))
        side = _Sides(*(value.to(device) for value in vars(self._side).values()))
        return Maps(there, pairing, self.to.to(device), self.choice, side)

    @cached_property
    def cost(self) -> Tensor:
        """(M,) the mean distance that each map moves points, in the cube."""
        costs = [torch.zeros(0, device=self.to.device)]
        window = torch.arange(min(COST_POINTS, self.to.shape[1]), device=self.to.device)
        for maps in torch.arange(len(self), device=self.to.device).split(BLOCK):
            no = torch.zeros_like(maps)
            pairs, _ = self._pairs(self.pairing.pair[maps, 0], maps, no, no.bool(), window)
            x, y = pairs.in_cube()
            costs.append((y - x).norm(dim=2).mean(1))
        return torch.cat(costs)

    def with_children(self) -> Tensor:
        """(N,) bool, which shapes have children other than copies."""
        return self._side.first.diff() > 0

    def draw(
        self,
        count: int,
        points: int,
        generator: Generator,
        settings: BlendSettings | None = None,
    ) -> Children:
        """Children of shapes drawn at random.

        Args:
            count: of children; points: of each, at most as many as the clouds have. Children of
                more points than a map has no normals, and are made of other points of the parents.
            settings: by default those of the maps.
        Raises:
            InputError: more points than the clouds have, or a set without shapes.
        """
        if not len(self.clouds):
            raise InputError("children need at least one shape, got none")
        total = whole(count, generator)
        drawn = torch.randint(len(self.clouds), (total,), generator=generator)
        return self.of_shapes(mine(drawn, generator), points, generator, settings)

    def of_shapes(
        self,
        rows: Tensor,
        points: int,
        generator: Generator,
        settings: BlendSettings | None = None,
    ) -> Children:
        """A child of each of ``rows`` (batch,), rows of the training set; see :meth:`draw`.

        A shape without a map gives a copy of itself.
        """
        matched, most = self.to.shape[1], self.clouds.points.shape[1]
        if not 1 <= points <= most:
            raise InputError(
                f"children of these shapes have 1 to {most} points, got {points}; prepare the data "
                "set again with more --points"
            )
        settings = settings or self.settings
        total = whole(len(rows), generator)
        device = self.to.device
        rows = staged(rows, device)
        chance = staged(mine(torch.rand(total, 3, generator=generator), generator), device)
        between = None
        if settings.between:
            drawn = torch.rand(total, 2, generator=generator)
            drawn = torch.where(drawn[:, 0] < settings.between, drawn[:, 1], 0.0)
            between = staged(mine(drawn, generator), device)
        first = int(torch.randint(matched, (1,), generator=generator))
        chosen, side = self._side.pick(rows, chance[:, 0], self._used(settings))
        copy = (chosen < 0) | (chance[:, 1] < settings.copies)
        flip = chance[:, 2] < 0.5
        window = (first + torch.arange(min(points, matched), device=device)) % matched
        pairs, other = self._pairs(rows, chosen, side, copy, window)
        if points > matched:
            places = torch.arange(points, device=device).expand(len(rows), -1)
            x, y = (self.clouds.gather(shapes, places)[0] for shapes in (rows, other))
            pairs = dataclasses.replace(pairs, normals=None, unmatched=(x, y))
        child, normals = draw_blend(pairs, settings, copy, flip, generator, between)
        return Children(
            child,
            normals,
            torch.stack([rows, other], 1),
            torch.stack([flip, flip ^ pairs.flipped], 1),
            self.clouds.symmetry[rows] & self.clouds.symmetry[other],
            torch.where(copy, -1, chosen),
        )

    def _used(self, settings: BlendSettings) -> Tensor:
        """(M,) bool, the maps that children with these settings may be drawn from."""
        near = self.pairing.rank < settings.partners
        if settings.left_out and near.any():
            near &= self.cost <= self.cost[near].quantile(1 - settings.left_out)
        return near

    def _pairs(
        self, rows: Tensor, chosen: Tensor, side: Tensor, copy: Tensor, window: Tensor
    ) -> tuple[MatchedClouds, Tensor]:
        """The matched points from the side of ``rows``; a copy is matched with itself."""
        batch, at = len(rows), chosen.clamp_min(0)
        if len(self):
            there = self.pairing.start[at, 1][:, None] + self.to[at][:, window].long()
            here = self.pairing.start[at, 0][:, None] + window
            theirs = self.pairing.pair[at].gather(1, 1 - side[:, None])[:, 0]
            flipped = self.pairing.flipped[at] & ~copy
        else:
            here = there = window.expand(batch, -1)
            theirs, flipped = rows, torch.zeros_like(copy)
        back = side[:, None] == 1
        own, its = torch.where(back, there, here), torch.where(back, here, there)
        other = torch.where(copy, rows, theirs)
        x, nx = self.clouds.gather(rows, own)
        y, ny = self.clouds.gather(other, torch.where(copy[:, None], own, its))
        normals = None if nx is None or ny is None else (nx, ny)
        stretch, symmetry = self.clouds.stretch, self.clouds.symmetry
        folded = symmetry[rows] & symmetry[other] & ~copy[:, None]
        pairs = MatchedClouds((x, y), normals, (stretch[rows], stretch[other]), flipped, folded)
        return pairs, other


@dataclass(frozen=True)
class _Sides:
    """Every map from both of its shapes, in the order of shape and rank.

    Attributes:
        first: (N + 1,) the start of each shape's maps. map, side, rank: (S,) of each.
    """

    first: Tensor
    map: Tensor
    side: Tensor
    rank: Tensor

    @classmethod
    def of(cls, pairing: Pairing, clouds: Clouds) -> _Sides:
        """A partner has no children by a map if it is of another category, or has a symmetry that
        the first shape lacks."""
        count, label = len(pairing), clouds.label
        first, second = pairing.pair.T
        lacks = (clouds.symmetry[second] & ~clouds.symmetry[first]).any(1)
        both = (label[first] == label[second]) & ~lacks
        number = torch.arange(count)
        rows = torch.cat([pairing.pair[:, 0], pairing.pair[both, 1]])
        maps = torch.cat([number, number[both]])
        side = (torch.arange(len(rows)) >= count).long()
        rank = pairing.rank[maps]
        order = np.lexsort((maps.numpy(), rank.numpy(), rows.numpy()))
        many = torch.bincount(rows, minlength=len(label))
        first = torch.cat([torch.zeros(1, dtype=torch.long), many.cumsum(0)])
        return cls(first, maps[order], side[order], rank[order])

    def pick(self, rows: Tensor, chance: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """A map of each row, one of ``used`` (M,) bool by ``chance`` in [0, 1), or its best one;
        -1 where it has none. And the side that the row is on."""
        if not len(self.map):
            return torch.full_like(rows, -1), torch.zeros_like(rows)
        within = torch.cat([self.rank.new_zeros(1), used[self.map].cumsum(0)])
        begin, end = self.first[rows], self.first[rows + 1]
        many = within[end] - within[begin]
        order = within[begin] + torch.minimum((chance * many).long(), many - 1)
        place = torch.searchsorted(within, order, right=True) - 1
        none = begin == end
        place = torch.where(many > 0, place, begin).clamp_max(len(self.map) - 1)
        chosen = torch.where(none, -1, self.map[place])
        return chosen, torch.where(none, 0, self.side[place])
