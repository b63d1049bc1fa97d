"""The maps of a set: planned by their value, computed in processes, and stored.

A folder of maps has a ``plan.json``, written before the first map is computed: how many pilot maps
and maps fit in the budget on this machine. Everything else follows from the shapes, the settings
and the seed, so the maps are the same for any number of processes and after any number of
interruptions. Pieces are written as they are finished, and joined in ``maps.safetensors`` at the
end; ``choice.json`` records the chosen reach, see :mod:`pcgen.children.rule`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from pcgen import checkpoint, progress
from pcgen.batch_random import mine, whole
from pcgen.checkpoint import Schema
from pcgen.children import rule
from pcgen.children.drawing import Children, Pairs, Reach, draw_blend
from pcgen.children.frames import Stretch
from pcgen.children.matching import METHODS, match
from pcgen.children.partners import Partners, find_partners
from pcgen.children.rule import GOAL, Choice, Nature
from pcgen.config import digest, from_plain, to_plain
from pcgen.errors import DataError, InputError, StorageError, TrainingError
from pcgen.files import lock, parse_json, read_text, write_json
from pcgen.jobs import pool
from pcgen.jobs.workers import Announce
from pcgen.runtime import staged

VERSION = 3
PIECE = 8  # maps per task: an interruption costs each process half a second
TRIALS = 3  # maps that are timed
#: Maximum number of pilot maps for a step of the rule, and the minimum with a small budget; their
#: maximum share of a budget, and the expected number of steps.
PILOTS, FEWEST_PILOTS = 96, 24
PILOT_SHARE, TRIES = 0.25, 5
FEWEST = 16  # points of a map
MOST = 2**15 - 1
EXTENT_POINTS = 4096  # points that determine the extents of a shape
BLOCK = 128  # shapes read at a time

SCHEMA = Schema(
    meta={"key": str},
    tensors={
        "pair": ("i", 2), "flipped": ("i", 1), "rank": ("i", 1), "start": ("i", 2), "to": ("i", 2),
    },
)  # fmt: skip
PIECE_SCHEMA = Schema(meta={"key": str}, tensors={"to": ("i", 2)})


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """Settings of the maps.

    Attributes:
        points: per map; clouds with fewer points use all of them.
        partners: number of nearest partners from which a shape's partners are drawn; None lets
            :mod:`pcgen.children.rule` decide, up to ``farthest``.
        goal: required novelty of raw children in the cube frame, where 1 is that of training
            shapes left out.
        per_shape: maps that start at each shape, if the budget allows.
        method, sweeps: see :func:`pcgen.children.matching.match`.
        normal_weight: weight of normals in the cost, 0 for positions alone. A normal of length one
            counts as a distance of this length in the cube, whose side is 2.
    """

    points: int = 2048
    partners: int | None = None
    farthest: int = 128
    goal: float = GOAL
    per_shape: int = 8
    method: str = "slabs"
    sweeps: int = 12
    normal_weight: float = 0.0

    def __post_init__(self) -> None:
        if not FEWEST <= self.points <= MOST:
            raise InputError(f"points of a map must be in [{FEWEST}, {MOST}], got {self.points}")
        for name in ("partners", "farthest", "per_shape", "sweeps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        if not 0 < self.goal < 10:
            raise InputError(f"goal must be a positive ratio, got {self.goal}")
        if self.method not in METHODS:
            raise InputError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if self.normal_weight < 0:
            raise InputError(f"normal_weight must not be negative, got {self.normal_weight}")


@dataclass(frozen=True)
class Clouds:
    """The shapes between which maps are computed.

    Attributes:
        points: (N, P, 3) float32 in the box frame, a tensor or indexed like one by
            ``[shapes, points]``; the points of a shape are independent samples.
        normals: (N, P, 3), float16 or float32, or None.
        label: (N,) int64, category of each shape.
        stretch: transform of each shape to the cube.
    """

    points: Any
    normals: Any
    label: Tensor
    stretch: Stretch

    @classmethod
    def of(cls, points: Any, normals: Any, label: Tensor) -> Clouds:
        """Check the clouds and compute their extents.

        Raises:
            InputError: the arrays have wrong shapes. TrainingError: too few points for a map.
        """
        if len(points.shape) != 3 or points.shape[2] != 3:
            raise InputError(f"points must be (shapes, n, 3), got {tuple(points.shape)}")
        if normals is not None and tuple(normals.shape) != tuple(points.shape):
            raise InputError(
                f"normals must have the shape of points {tuple(points.shape)}, "
                f"got {tuple(normals.shape)}"
            )
        if label.shape != (points.shape[0],):
            raise InputError(
                f"label must have one entry for each of {points.shape[0]} shapes, got "
                f"{tuple(label.shape)}"
            )
        if points.shape[0] and points.shape[1] < FEWEST:
            raise TrainingError(
                f"a map needs {FEWEST} points per shape, got {points.shape[1]}; prepare the "
                "data set again with more --points"
            )
        parts = [Stretch.of(p) for p in _blocks(points, EXTENT_POINTS)]
        empty = [torch.zeros(0, 3)]
        stretch = Stretch(
            torch.cat([part.centre for part in parts] or empty),
            torch.cat([part.half for part in parts] or empty),
        )
        return cls(points, normals, label, stretch)

    def __len__(self) -> int:
        return len(self.label)

    def gather(self, rows: Tensor, places: Tensor) -> tuple[Tensor, Tensor | None]:
        """Points ``places`` (batch, n), cyclically, of ``rows`` (batch,), and their normals."""
        places = places % self.points.shape[1]
        normals = None
        if self.normals is not None:
            normals = self.normals[rows[:, None], places].float()
        return self.points[rows[:, None], places].float(), normals

    def cubes(self, count: int) -> Iterator[Tensor]:
        """Yield the first ``count`` points of all shapes in the cube frame, in batches."""
        start = 0
        for part in _blocks(self.points, count):
            rows = torch.arange(start, start + len(part))
            yield self.stretch[rows].cube(part)
            start += len(part)

    def nature(self, seed: int) -> Nature:
        """The novelty of the shapes compared with each other, measured on their last points.

        Maps use the first points of a cloud, and a child that shares points with the reference
        would seem less novel than it is.
        """
        total = self.points.shape[1]
        n = min(rule.POINTS, total // 2)
        last = self.points[slice(0, len(self)), slice(total - 2 * n, total)].float()
        return Nature(last, torch.Generator().manual_seed(seed))

    def map_points(self, settings: MapSettings) -> int:
        """Points per map: the requested number, or all that a cloud has."""
        return min(settings.points, int(self.points.shape[1]))

    def key(self, settings: MapSettings, seed: int) -> str:
        """A short digest of the shapes, settings and seed."""
        found = hashlib.sha256(f"{VERSION} {digest(settings)} {seed} {self.points.shape}".encode())
        for part in (self.label, self.stretch.centre, self.stretch.half):
            found.update(part.numpy().tobytes())
        return found.hexdigest()[:24]


@dataclass(frozen=True)
class Pairing:
    """Which points of which shapes are matched; this determines the maps.

    Attributes:
        pair: (M, 2) int64 rows. flipped: (M,) whether the second is mirrored.
        rank: (M,) rank of the second among the partners of the first, from 0.
        start: (M, 2) index of the first point of each.
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
    """Maps between training shapes, from which children are sampled; see :meth:`build`.

    Attributes:
        clouds: the shapes.
        pairing: what is matched; map k sends point ``start[k, 0] + i`` of shape ``pair[k, 0]`` to
            point ``start[k, 1] + to[k, i]`` of ``pair[k, 1]``.
        to: (M, n) int16.
        choice: the default reach of :meth:`draw`, and the reason.
    """

    clouds: Clouds
    pairing: Pairing
    to: Tensor
    choice: Choice
    _side: _Sides = field(repr=False)

    @classmethod
    def build(
        cls,
        points: Any,
        normals: Any,
        label: Tensor,
        settings: MapSettings,
        folder: Path,
        *,
        budget_seconds: float | None = None,
        seed: int = 0,
        workers: int | None = None,
    ) -> Maps:
        """Compute the maps of a set, resume the computation, or read them.

        Args:
            points, normals, label: see :class:`Clouds`; ``TrainingClouds`` has them.
            folder: for these maps only; existing maps must have the same shapes, settings and seed.
            budget_seconds: processor time over all processes; None computes all maps of the
                settings. An existing plan in ``folder`` is kept.
            workers: processes; None for one per core.
        Raises:
            DataError: the folder has maps of something else, or is damaged.
        """
        clouds = Clouds.of(points, normals, label)
        key = clouds.key(settings, seed)
        done = folder / "maps.safetensors"
        job = _Job(clouds, settings, seed, key, workers)
        with lock(folder):
            if done.exists():
                pairing, to = _read(done, key, clouds)
                choice = _read_choice(folder, key)
            else:
                plan = job.planned(folder, budget_seconds)
                found = job.partners()
                choice = job.chosen(folder, found, plan)
                most = choice.reach.partners
                if settings.partners is None:
                    most = min(settings.farthest, most * rule.FARTHER)
                pairing = plan_pairs(clouds, found, settings, most, seed)
                pairing = pairing[slice(0, plan.maps)]
                to = job.computed(pairing, folder, "maps")
                _write(done, key, pairing, to)
            for rest in folder.glob("*-piece-*.safetensors"):
                rest.unlink()
        progress.say(choice.line())
        return cls.of(clouds, pairing, to, choice)

    @classmethod
    def of(cls, clouds: Clouds, pairing: Pairing, to: Tensor, choice: Choice) -> Maps:
        """Build from existing maps."""
        return cls(clouds, pairing, to, choice, _Sides.of(pairing, clouds.label))

    @property
    def reach(self) -> Reach:
        """The default reach of :meth:`draw`."""
        return self.choice.reach

    @property
    def farthest(self) -> int:
        """The largest rank of a partner among the maps, from 1."""
        return int(self.pairing.rank.max()) + 1 if len(self) else 1

    def __len__(self) -> int:
        return len(self.pairing)

    def on_device(self, device: str, *, normals: bool = True) -> Maps:
        """A copy on a device; memory-mapped clouds stay in their file.

        Args:
            normals: whether children will have normals.
        """
        clouds = self.clouds if normals else dataclasses.replace(self.clouds, normals=None)
        if device == "cpu" or not isinstance(clouds.points, Tensor):
            return dataclasses.replace(self, clouds=clouds)
        stretch = Stretch(clouds.stretch.centre.to(device), clouds.stretch.half.to(device))
        there = Clouds(
            clouds.points.to(device),
            None if clouds.normals is None else clouds.normals.to(device),
            clouds.label.to(device),
            stretch,
        )
        pairing = Pairing(*(value.to(device) for value in vars(self.pairing).values()))
        side = _Sides(*(value.to(device) for value in vars(self._side).values()))
        return Maps(there, pairing, self.to.to(device), self.choice, side)

    def with_children(self) -> Tensor:
        """Shapes (N,) bool for which :meth:`of_shapes` returns more than copies."""
        return self._side.first.diff() > 0

    def draw(
        self, count: int, points: int, generator: Generator, reach: Reach | None = None
    ) -> Children:
        """Children of random shapes.

        Args:
            count: number of children; points: per child, at most the n of a map.
            reach: None for that of the maps.
        Raises:
            InputError: more points than a map has, or there are no shapes.
        """
        if not len(self.clouds):
            raise InputError("children need at least one shape, got none")
        total = whole(count, generator)
        drawn = torch.randint(len(self.clouds), (total,), generator=generator)
        return self.of_shapes(mine(drawn, generator), points, generator, reach)

    def of_shapes(
        self, rows: Tensor, points: int, generator: Generator, reach: Reach | None = None
    ) -> Children:
        """A child of each row (batch,) of the training set; see :meth:`draw`.

        A shape with no map within reach yields a copy of itself.
        """
        most = self.to.shape[1]
        if not 1 <= points <= most:
            raise InputError(
                f"children of these maps have 1 to {most} points, got {points}; build maps with "
                "more points"
            )
        reach = reach or self.reach
        total = whole(len(rows), generator)
        device = self.to.device
        rows = staged(rows, device)
        chance = staged(mine(torch.rand(total, 3, generator=generator), generator), device)
        first = int(torch.randint(most, (1,), generator=generator))
        chosen, side = self._side.pick(rows, chance[:, 0], reach.partners)
        copy = (chosen < 0) | (chance[:, 1] < reach.copies)
        flip = chance[:, 2] < 0.5
        window = (first + torch.arange(points, device=device)) % most
        pairs, other = self._pairs(rows, chosen, side, copy, window)
        child, normals = draw_blend(pairs, reach, copy, flip, generator)
        return Children(
            child,
            normals,
            torch.stack([rows, other], 1),
            torch.stack([flip, flip ^ pairs.flipped], 1),
        )

    def _pairs(
        self, rows: Tensor, chosen: Tensor, side: Tensor, copy: Tensor, window: Tensor
    ) -> tuple[Pairs, Tensor]:
        """Matched points of ``rows`` and their partners; a copy is matched with itself."""
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
        stretch = self.clouds.stretch
        return Pairs((x, y), normals, (stretch[rows], stretch[other]), flipped), other


@dataclass(frozen=True)
class _Sides:
    """Every map from both of its shapes, ordered by shape and rank.

    Attributes:
        first: (N + 1,) index of each shape's first entry. map, side, rank: (S,) of each entry.
    """

    first: Tensor
    map: Tensor
    side: Tensor
    rank: Tensor

    @classmethod
    def of(cls, pairing: Pairing, label: Tensor) -> _Sides:
        """Maps to borrowed partners count only for the first shape, whose category they have."""
        count = len(pairing)
        both = label[pairing.pair[:, 0]] == label[pairing.pair[:, 1]]
        number = torch.arange(count)
        rows = torch.cat([pairing.pair[:, 0], pairing.pair[both, 1]])
        maps = torch.cat([number, number[both]])
        side = (torch.arange(len(rows)) >= count).long()
        rank = pairing.rank[maps]
        order = np.lexsort((maps.numpy(), rank.numpy(), rows.numpy()))
        many = torch.bincount(rows, minlength=len(label))
        first = torch.cat([torch.zeros(1, dtype=torch.long), many.cumsum(0)])
        return cls(first, maps[order], side[order], rank[order])

    def pick(self, rows: Tensor, chance: Tensor, partners: int) -> tuple[Tensor, Tensor]:
        """For each row a map of rank below ``partners``, selected by ``chance`` in [0, 1), or its
        best map, or -1 if it has none; and the side of the row."""
        if not len(self.map):
            return torch.full_like(rows, -1), torch.zeros_like(rows)
        within = torch.cat([self.rank.new_zeros(1), (self.rank < partners).cumsum(0)])
        begin, end = self.first[rows], self.first[rows + 1]
        many = (within[end] - within[begin]).clamp_min(1)
        place = begin + torch.minimum((chance * many).long(), many - 1)
        none = begin == end
        place = place.clamp_max(len(self.map) - 1)
        chosen = torch.where(none, -1, self.map[place])
        return chosen, torch.where(none, 0, self.side[place])


def plan_pairs(
    clouds: Clouds, found: Partners, settings: MapSettings, partners: int, seed: int
) -> Pairing:
    """All maps of the settings, in the order of their value.

    Every shape gets a first map before any gets a second one; each goes to a different one of its
    nearest ``partners``, and uses different points.
    """
    count = len(clouds)
    nothing = torch.zeros(0).long()
    parts = [Pairing(nothing.view(0, 2), nothing.bool(), nothing, nothing.view(0, 2))]
    many = found.counts.clamp_max(partners)
    most = min(partners, found.row.shape[1])
    generator = torch.Generator().manual_seed(seed)
    wish = torch.rand(count, most, generator=generator)
    wish[torch.arange(most) >= many[:, None]] = torch.inf
    ranks = wish.argsort(dim=1, stable=True)  # a separate order of partners for each shape
    n, available = clouds.map_points(settings), clouds.points.shape[1]
    for slot in range(settings.per_shape if most else 0):
        rows = torch.randperm(count, generator=generator)
        rows = rows[many[rows] > 0]
        rank = ranks[rows, slot % many[rows]]
        start = torch.tensor([slot * n, (slot + 1) * n]).expand(len(rows), -1) % available
        pair = torch.stack([rows, found.row[rows, rank]], 1)
        parts.append(Pairing(pair, found.mirror[rows, rank], rank, start))
    return Pairing(
        torch.cat([part.pair for part in parts]),
        torch.cat([part.flipped for part in parts]),
        torch.cat([part.rank for part in parts]),
        torch.cat([part.start for part in parts]),
    )


@dataclass(frozen=True)
class _Plan:
    """The number of maps to compute, for each step of the rule and finally."""

    pilot: int
    maps: int


@dataclass(frozen=True)
class _Job:
    """The context for the work on a folder."""

    clouds: Clouds
    settings: MapSettings
    seed: int
    key: str
    workers: int | None

    def partners(self) -> Partners:
        """The nearest partners of every shape, as many as the settings may need."""
        wanted = self.settings.partners or self.settings.farthest
        most = min(wanted, max(0, len(self.clouds) - 1))
        return find_partners(self.clouds.cubes(self.settings.points), self.clouds.label, most)

    def planned(self, folder: Path, budget: float | None) -> _Plan:
        """The plan, made once and saved."""
        path = folder / "plan.json"
        if path.exists():
            try:
                held = parse_json(read_text(path))
                was, plan = str(held["key"]), _Plan(int(held["pilot"]), int(held["maps"]))
            except (OSError, ValueError, KeyError, TypeError):
                raise DataError(f"{path} is damaged; remove {folder} and run again") from None
            _check_key(was, self.key, folder)
            return plan
        plan = _Plan(PILOTS, len(self.clouds) * self.settings.per_shape)
        if budget is not None and len(self.clouds):
            each = self._seconds_a_map()
            tries = 0 if self.settings.partners else TRIES
            pilot = int(min(PILOTS, max(FEWEST_PILOTS, PILOT_SHARE * budget / TRIES / each)))
            left = budget / each - tries * pilot
            plan = _Plan(pilot, max(1, min(plan.maps, int(left))))
        write_json(path, {"key": self.key, "pilot": plan.pilot, "maps": plan.maps})
        return plan

    def _seconds_a_map(self) -> float:
        count = len(self.clouds)
        rows = torch.arange(min(TRIALS, count))
        pair = torch.stack([rows, (rows + 1) % count], 1)
        pairing = Pairing(pair, rows > count, rows, torch.zeros_like(pair))
        trials = [_seconds(partial(self._match, [k], pairing)) for k in rows.tolist()]
        return max(1e-4, min(trials))

    def _match(self, numbers: list[int], pairing: Pairing) -> Any:
        return _work((self.settings, [self._task(pairing, number) for number in numbers]))

    def chosen(self, folder: Path, found: Partners, plan: _Plan) -> Choice:
        """The reach that the rule chooses, once; or that of the settings."""
        path = folder / "choice.json"
        if path.exists():
            return _read_choice(folder, self.key)
        most = int(found.counts.max()) if len(self.clouds) else 0
        if self.settings.partners or most == 0:
            reach = Reach(partners=self.settings.partners or 1)
            choice = Choice(reach=reach, passed=True, figures={})
        else:
            nature = self.clouds.nature(self.seed)

            def pilot(reach: Reach) -> Tensor:
                pairing = plan_pairs(
                    self.clouds, found, self.settings, reach.partners, self.seed + 1
                )[slice(0, plan.pilot)]
                to = self.computed(pairing, folder, f"pilot-{reach.partners}")
                choice = Choice(reach=reach, passed=False, figures={})
                trial = Maps.of(self.clouds, pairing, to, choice)
                draw = torch.Generator().manual_seed(self.seed)
                rows = pairing.pair[torch.arange(rule.SHAPES) % len(pairing), 0]
                return trial.of_shapes(rows, min(nature.points, to.shape[1]), draw).points

            demand = dataclasses.replace(rule.RAW, novelty=self.settings.goal)
            choice = rule.choose(rule.ladder(most, Reach(partners=1)), nature, pilot, demand)
            choice = rule.with_copies(choice, nature, pilot)
        write_json(path, {"key": self.key, **to_plain(choice)})
        return choice

    def computed(self, pairing: Pairing, folder: Path, name: str) -> Tensor:
        """The maps (M, n) int16; computes and stores those that are not in ``folder`` yet."""
        total, n = len(pairing), self.clouds.map_points(self.settings)
        to = torch.zeros(total, n, dtype=torch.int16)
        missing = []
        for start in range(0, total, PIECE):
            held = _read_piece(_piece(folder, name, start), self.key, min(PIECE, total - start), n)
            if held is None:
                missing.append(start)
            else:
                to[start : start + PIECE] = held

        def job(start: int) -> tuple[MapSettings, list[Task]]:
            numbers = range(start, min(start + PIECE, total))
            return self.settings, [self._task(pairing, number) for number in numbers]

        done = total - sum(min(PIECE, total - start) for start in missing)
        with progress.bar(name, total, done) as bar:
            for start, found in _results(missing, job, self.workers):
                to[start : start + PIECE] = torch.from_numpy(found)
                piece = {"to": to[start : start + PIECE].clone()}
                checkpoint.save(_piece(folder, name, start), piece, {"key": self.key})
                bar.advance(len(found))
        return to

    def _task(self, pairing: Pairing, number: int) -> Task:
        """The clouds of a map in the cube, and the seed of its solver."""
        rows, start = pairing.pair[number], pairing.start[number]
        n = self.clouds.map_points(self.settings)
        points, normals = self.clouds.gather(rows, start[:, None] + torch.arange(n))
        pairs = Pairs(
            (points[:1], points[1:]),
            None if normals is None else (normals[:1], normals[1:]),
            (self.clouds.stretch[rows[:1]], self.clouds.stretch[rows[1:]]),
            pairing.flipped[number : number + 1],
        )
        sides = list(pairs.in_cube())
        weight = self.settings.normal_weight
        if weight and normals is not None:
            weighted = [weight * part for part in pairs.normals_in_cube()]
            sides = [torch.cat(both, 2) for both in zip(sides, weighted, strict=True)]
        a, b = (side[0].numpy() for side in sides)
        return a, b, (self.seed * 1_000_003 + number) % 2**31


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


Task = tuple[np.ndarray, np.ndarray, int]


def _work(job: tuple[MapSettings, list[Task]], announce: Announce | None = None) -> Any:
    """Compute the maps of a piece, in any process."""
    settings, tasks = job
    return np.stack([match(a, b, settings.method, settings.sweeps, seed) for a, b, seed in tasks])


def _results(starts: list[int], job: Any, workers: int | None) -> Iterator[tuple[int, Any]]:
    """Yield each finished piece; tasks are built when a process is free, to save memory."""
    if workers == 1 or len(starts) < 2:
        for start in starts:
            yield start, _work(job(start))
        return
    waiting = iter(starts)
    with pool(_tagged, len(starts), workers=workers) as working:
        ahead = 2 * (workers or len(starts))
        for start in [*_take(waiting, min(ahead, 64))]:
            working.submit((start, job(start)))
        for outcome in working.outcomes():
            if outcome.death is not None:
                raise StorageError(
                    f"a process that computed maps died ({outcome.death.reason}); finished maps "
                    "are kept: run it again with fewer --workers"
                )
            for start in _take(waiting, 1):
                working.submit((start, job(start)))
            yield outcome.result


def _tagged(task: tuple[int, Any], announce: Announce | None = None) -> tuple[int, Any]:
    return task[0], _work(task[1])


def _take(items: Iterator[int], count: int) -> list[int]:
    return [item for item, _ in zip(items, range(count), strict=False)]


def _piece(folder: Path, name: str, start: int) -> Path:
    return folder / f"{name}-piece-{start:08d}.safetensors"


def _read_piece(path: Path, key: str, count: int, n: int) -> Tensor | None:
    """The content of a piece, or None if it must be computed (again)."""
    if not path.exists():
        return None
    with contextlib.suppress(DataError):
        tensors, meta = checkpoint.load(path, PIECE_SCHEMA)
        if meta["key"] == key and tensors["to"].shape == (count, n):
            return tensors["to"]
    return None


def _write(path: Path, key: str, pairing: Pairing, to: Tensor) -> None:
    tensors = {
        "pair": pairing.pair, "flipped": pairing.flipped.to(torch.uint8), "rank": pairing.rank,
        "start": pairing.start, "to": to,
    }  # fmt: skip
    checkpoint.save(path, tensors, {"key": key})


def _read(path: Path, key: str, clouds: Clouds) -> tuple[Pairing, Tensor]:
    tensors, meta = checkpoint.load(path, SCHEMA)
    _check_key(meta["key"], key, path.parent)
    pair, to = tensors["pair"], tensors["to"]
    if pair.numel() and not 0 <= int(pair.min()) <= int(pair.max()) < len(clouds):
        raise DataError(f"{path} is damaged: a row is out of range; remove it and run again")
    if to.numel() and not 0 <= int(to.min()) <= int(to.max()) < to.shape[1]:
        raise DataError(f"{path} is damaged: a point is out of range; remove it and run again")
    pairing = Pairing(pair, tensors["flipped"].bool(), tensors["rank"], tensors["start"])
    return pairing, to


def _read_choice(folder: Path, key: str) -> Choice:
    path = folder / "choice.json"
    try:
        held = parse_json(read_text(path))
        was = held.pop("key")
        choice = from_plain(Choice, held, str(path))
    except (OSError, ValueError, KeyError, AttributeError, InputError):
        raise DataError(f"{path} is damaged; remove {folder} and run again") from None
    _check_key(was, key, folder)
    return choice


def _check_key(was: str, key: str, folder: Path) -> None:
    if was != key:
        raise DataError(
            f"{folder} has maps of other shapes, other settings or another seed; remove it or "
            "choose another folder"
        )


def _blocks(points: Any, most: int) -> Iterator[Tensor]:
    """Yield the first ``most`` points of all shapes, in batches."""
    for start in range(0, points.shape[0], BLOCK):
        part = points[slice(start, start + BLOCK), slice(0, most)]
        yield part.float()
