"""Plan the maps of a set within a budget, compute them in processes and store them.

``plan.json``, written before the first map is computed, holds the numbers of pilot maps, maps and
shapes that fit the budget on this machine. If that is too small to find partners in a large set and
to measure its novelty, a random subset takes the place of the set: its shapes have partners and
children, and these are compared with it alone. Everything else follows from the shapes, the
settings and the seed, so the maps do not depend on the number of processes or on interruptions.
Chunks are written as they are finished and joined in ``maps.safetensors`` at the end.
``choice.json`` stores the choice of :mod:`pcgen.children.rule`, and ``nature.safetensors`` how
novel the training shapes are compared with each other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pcgen import progress
from pcgen.children import rule
from pcgen.children.clouds import FEWEST, Clouds
from pcgen.children.drawing import BlendSettings, MatchedClouds
from pcgen.children.map_files import MapFolder
from pcgen.children.maps import Maps, Pairing
from pcgen.children.matching import METHODS, match
from pcgen.children.partners import Partners, find_partners
from pcgen.children.rule import GOAL, Choice, Nature
from pcgen.config import digest
from pcgen.errors import DataError, InputError, StorageError
from pcgen.files import lock
from pcgen.jobs import pool
from pcgen.jobs.workers import Announce

VERSION = 4
CHUNK = 8  # maps per task: an interruption costs each process at most half a second
TRIALS = 3  # maps that are timed
#: Pilot maps per step of the rule: at most and, with a small budget, at least; the share of the
#: budget that they may take, and the expected number of steps.
PILOTS, FEWEST_PILOTS = 96, 24
PILOT_SHARE, TRIES = 0.25, 5
MOST = 2**15 - 1  # points of a map
#: Sets of at most this many shapes are used whole, whatever the budget.
WHOLE = 2048
#: Shapes whose partners and novelty are timed, and the share of the budget that may be planned for
#: both; the rest is for maps.
TRIED, RULE_SHARE = 256, 0.5
#: Shapes of each category that a subset has, if there are as many: children of a category without
#: partners would be copies.
FEWEST_OF_CATEGORY = 16


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """Which maps are computed.

    Attributes:
        points: points of a map; smaller clouds use all of theirs.
        partners: a shape's partners are drawn from this many nearest ones; None lets
            :mod:`pcgen.children.rule` decide, up to ``farthest``.
        goal: novelty in the cube frame that the rule requires of raw children, relative to that
            of training shapes left out.
        per_shape: maps that start at each shape, if the budget allows.
        method, sweeps: see :func:`pcgen.children.matching.match`.
        normal_weight: weight of normals in the cost, 0 for positions alone: the distance in the
            cube, whose side is 2, that corresponds to a normal of length one.
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

    def points_of(self, clouds: Clouds) -> int:
        """Points of a map: the requested number, or all points of a smaller cloud."""
        return min(self.points, int(clouds.points.shape[1]))

    def key(self, clouds: Clouds, seed: int) -> str:
        """A short text that identifies shapes, settings and seed."""
        found = hashlib.sha256(f"{VERSION} {digest(self)} {seed} {clouds.points.shape}".encode())
        for part in (clouds.label, clouds.stretch.centre, clouds.stretch.half):
            found.update(part.numpy().tobytes())
        return found.hexdigest()[:24]


def build_maps(
    points: Any,
    normals: Any,
    label: Tensor,
    settings: MapSettings,
    folder: Path,
    *,
    budget_seconds: float | None = None,
    wall_seconds: float | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> Maps:
    """Compute the maps of a set, resume computing them, or read them.

    Args:
        points, normals, label: see :class:`Clouds`; ``TrainingClouds`` has them.
        folder: for these maps only; existing maps must have the same shapes, settings and seed.
        budget_seconds: processor time over all processes; None computes all the maps that the
            settings request. An existing plan in ``folder`` is kept.
        wall_seconds: time after which no further maps are computed, however many were planned:
            other processes may use more of the machine than at the time of planning.
        workers: number of processes; None for one per core.
    Raises:
        DataError: the folder has maps of something else, or is damaged.
    """
    begun = monotonic()
    clouds = Clouds.of(points, normals, label)
    files = MapFolder(folder, settings.key(clouds, seed))
    until = None if wall_seconds is None else begun + wall_seconds
    builder = _Builder(clouds, settings, seed, files, workers, begun)
    with lock(folder):
        if files.finished:
            pairing, to = files.read_maps(clouds)
            choice = files.read_choice()
            if choice is None:
                raise DataError(f"{folder} has no choice.json; remove it and run again")
        else:
            plan = builder.planned(budget_seconds)
            found = builder.partners(plan)
            choice = builder.chosen(found, plan)
            most = choice.settings.partners
            if settings.partners is None:
                most = max(most * rule.FARTHER, rule.LEAST_PARTNERS)
                most = min(settings.farthest, most)
            pairing = plan_pairs(clouds, found, settings, most, seed)
            pairing = pairing[slice(0, plan.maps)]
            to = builder.computed(pairing, "maps", until)
            if len(to) < len(pairing):
                progress.say(
                    f"children       {len(to)} of {len(pairing)} planned maps fit the time"
                )
                pairing = pairing[slice(0, len(to))]
            files.write_maps(pairing, to)
            progress.say(choice.describe())
        files.remove_chunks()
    return Maps.of(clouds, pairing, to, choice)


def nature_of(clouds: Clouds, settings: MapSettings, folder: Path, seed: int) -> Nature:
    """How novel training shapes are compared with each other, stored in the folder of the maps.

    The last points of each cloud are compared. Maps use the first ones, and children that share
    points with the shapes they are compared with would seem less novel.
    """
    files = MapFolder(folder, settings.key(clouds, seed))
    known = files.read_nature()
    plan = _read_plan(files, clouds)
    rows = torch.arange(len(clouds)) if plan is None else plan.rows(clouds, seed)
    nature = Nature(_last_points(clouds, rows), torch.Generator().manual_seed(seed), known)
    if known is None:
        files.write_nature(nature.tensors())
    return nature


def random_subset(label: Tensor, count: int, seed: int) -> Tensor:
    """Rows (m,) int64, ascending, of ``count`` shapes drawn at random, or of all.

    More are drawn of a category that would have fewer than :data:`FEWEST_OF_CATEGORY`.

    Args:
        label: (N,) category of each shape.
    """
    order = torch.randperm(len(label), generator=torch.Generator().manual_seed(seed))
    drawn = [order[:count]]
    drawn += [order[label[order] == name][:FEWEST_OF_CATEGORY] for name in label.unique()]
    return torch.cat(drawn).unique()


def _last_points(clouds: Clouds, rows: Tensor) -> Tensor:
    """The last points of some clouds, (m, 2n, 3): two samplings to compare."""
    total = clouds.points.shape[1]
    n = min(rule.POINTS, total // 2)
    some = rows if len(rows) < len(clouds) else slice(0, len(clouds))
    points: Tensor = clouds.points[some, slice(total - 2 * n, total)].float()
    return points


def plan_pairs(
    clouds: Clouds, found: Partners, settings: MapSettings, partners: int, seed: int
) -> Pairing:
    """All the maps that the settings request, the most useful first.

    Every shape gets a first map before any shape gets a second one. The maps of a shape lead to
    different ones of its nearest ``partners`` and use different points.
    """
    count = len(clouds)
    nothing = torch.zeros(0).long()
    parts = [Pairing(nothing.view(0, 2), nothing.bool(), nothing, nothing.view(0, 2))]
    many = found.counts.clamp_max(partners)
    most = min(partners, found.row.shape[1])
    generator = torch.Generator().manual_seed(seed)
    wish = torch.rand(count, most, generator=generator)
    wish[torch.arange(most) >= many[:, None]] = torch.inf
    ranks = wish.argsort(dim=1, stable=True)  # of each shape its own order of partners
    n, available = settings.points_of(clouds), clouds.points.shape[1]
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
    """The numbers of maps to compute, for each step of the rule and finally, and of shapes that
    have partners."""

    pilot: int
    maps: int
    shapes: int

    def rows(self, clouds: Clouds, seed: int) -> Tensor:
        """The shapes that have partners."""
        if self.shapes >= len(clouds):
            return torch.arange(len(clouds))
        return random_subset(clouds.label, self.shapes, seed)


def _read_plan(files: MapFolder, clouds: Clouds) -> _Plan | None:
    """The plan of a folder, if it has one."""
    held = files.read_plan(len(clouds))
    return None if held is None else _Plan(**held)


@dataclass(frozen=True)
class _Builder:
    """Plans and computes the maps of a folder; ``begun`` is when, on the monotonic clock."""

    clouds: Clouds
    settings: MapSettings
    seed: int
    files: MapFolder
    workers: int | None
    begun: float

    def partners(self, plan: _Plan) -> Partners:
        """The nearest partners of every shape of the plan, as many as the settings may require."""
        rows = plan.rows(self.clouds, self.seed)
        if len(rows) < len(self.clouds):
            progress.say(
                f"children       the time suffices for {len(rows)} of {len(self.clouds)} shapes, a "
                "random subset: these have partners and children, and are all that children are "
                "compared with; the others are used as they are. More --budget-minutes take more"
            )
        return self._partners(rows)

    def _partners(self, rows: Tensor) -> Partners:
        wanted = self.settings.partners or self.settings.farthest
        most = min(wanted, max(0, len(rows) - 1))
        cubes = self.clouds.cubes(self.settings.points, rows)
        label, symmetry = self.clouds.label[rows], self.clouds.symmetry[rows]
        return find_partners(cubes, label, symmetry, most).spread(rows, len(self.clouds))

    def planned(self, budget: float | None) -> _Plan:
        """The plan of the folder, which is made and written once."""
        held = _read_plan(self.files, self.clouds)
        if held is not None:
            return held
        count = len(self.clouds)
        plan = _Plan(PILOTS, count * self.settings.per_shape, count)
        if budget is not None and count:
            shapes, left = self._shapes_within(budget)
            each = self._seconds_a_map()
            tries = 0 if self.settings.partners else TRIES
            pilot = int(min(PILOTS, max(FEWEST_PILOTS, PILOT_SHARE * left / TRIES / each)))
            maps = min(shapes * self.settings.per_shape, int(left / each - tries * pilot))
            plan = _Plan(pilot, max(1, maps), shapes)
        self.files.write_plan(vars(plan))
        return plan

    def _shapes_within(self, budget: float) -> tuple[int, float]:
        """The number of shapes whose partners and novelty fit the budget, and what is left of it
        for maps. Of a small set all are taken, and nothing is measured."""
        count = len(self.clouds)
        if count <= WHOLE:
            return count, budget
        # Both are computed by this process, while the budget is that of all.
        workers = self.workers or torch.get_num_threads()
        rows = random_subset(self.clouds.label, TRIED, self.seed)
        pairs = _seconds(partial(self._partners, rows), monotonic) / len(rows) ** 2
        each = 0.0
        if not self.settings.partners:
            self._try_rule(rows[:FEWEST_OF_CATEGORY])  # the first time, code is compiled
            each = _seconds(partial(self._try_rule, rows), monotonic) / len(rows)
        left = max(0.0, budget - workers * (monotonic() - self.begun))
        # The largest n with pairs n² + each n <= most.
        most = RULE_SHARE * left / workers
        root = math.sqrt(each**2 + 4 * pairs * most)
        shapes = min(count, max(len(rows), int(2 * most / (each + root))))
        return shapes, max(0.0, left - workers * (pairs * shapes + each) * shapes)

    def _try_rule(self, rows: Tensor) -> None:
        """What the rule does, with few shapes, whose second samplings take the place of children:
        its time is proportional to their number."""
        points = _last_points(self.clouds, rows)
        nature = Nature(points, torch.Generator().manual_seed(self.seed))
        nature.tensors()
        for _ in range(TRIES):
            nature.statistics(points[: rule.SHAPES, nature.points :])

    def _seconds_a_map(self) -> float:
        count = len(self.clouds)
        rows = torch.arange(min(TRIALS, count))
        pair = torch.stack([rows, (rows + 1) % count], 1)
        pairing = Pairing(pair, rows > count, rows, torch.zeros_like(pair))
        trials = [_seconds(partial(self._match, [k], pairing)) for k in rows.tolist()]
        return max(1e-4, min(trials))

    def _match(self, numbers: list[int], pairing: Pairing) -> Any:
        return _work((self.settings, [self._task(pairing, number) for number in numbers]))

    def chosen(self, found: Partners, plan: _Plan) -> Choice:
        """The choice of the rule, made once, or that of the settings."""
        held = self.files.read_choice()
        if held is not None:
            return held
        most = int(found.counts.max()) if len(self.clouds) else 0
        between = rule.BETWEEN[self.clouds.repeats_proportions]
        if self.settings.partners or most == 0:
            settings = BlendSettings(partners=self.settings.partners or 1, between=between)
            choice = Choice(settings=settings, passed=True, statistics={})
        else:
            nature = nature_of(self.clouds, self.settings, self.files.path, self.seed)

            def pilot(settings: BlendSettings) -> Tensor:
                pairing = plan_pairs(
                    self.clouds, found, self.settings, settings.partners, self.seed + 1
                )[slice(0, plan.pilot)]
                to = self.computed(pairing, f"pilot-{settings.partners}")
                choice = Choice(settings=settings, passed=False, statistics={})
                trial = Maps.of(self.clouds, pairing, to, choice)
                draw = torch.Generator().manual_seed(self.seed)
                rows = pairing.pair[torch.arange(rule.SHAPES) % len(pairing), 0]
                return trial.of_shapes(rows, min(nature.points, to.shape[1]), draw).points

            demand = dataclasses.replace(rule.RAW, novelty={"cube": self.settings.goal})
            choice = rule.choose(
                rule.ladder(most, BlendSettings(partners=1, between=between)), nature, pilot, demand
            )
            choice = rule.with_copies(choice, nature, pilot)
        self.files.write_choice(choice)
        return choice

    def computed(self, pairing: Pairing, name: str, until: float | None = None) -> Tensor:
        """Maps (M, n) int16, of which those missing in the folder are computed and stored.

        Args:
            until: time on the monotonic clock after which no further chunk is started; the result
                then has only the first maps, at least those of one chunk.
        """
        total, n = len(pairing), self.settings.points_of(self.clouds)
        to = torch.zeros(total, n, dtype=torch.int16)
        missing = []
        for start in range(0, total, CHUNK):
            held = self.files.read_chunk(name, start, min(CHUNK, total - start), n)
            if held is None:
                missing.append(start)
            else:
                to[start : start + CHUNK] = held

        def job(start: int) -> tuple[MapSettings, list[Task]]:
            numbers = range(start, min(start + CHUNK, total))
            return self.settings, [self._task(pairing, number) for number in numbers]

        done = total - sum(min(CHUNK, total - start) for start in missing)
        in_time = takewhile(
            lambda start: start == missing[0] or until is None or monotonic() <= until, missing
        )
        begun = 0
        with progress.bar(name, total, done) as bar:
            for start, found in _results(in_time, len(missing), job, self.workers):
                to[start : start + CHUNK] = torch.from_numpy(found)
                self.files.write_chunk(name, start, to[start : start + CHUNK])
                bar.advance(len(found))
                begun += 1
        return to[: missing[begun]] if begun < len(missing) else to

    def _task(self, pairing: Pairing, number: int) -> Task:
        """Both clouds of a map in the cube, and the seed of its solver."""
        rows, start = pairing.pair[number], pairing.start[number]
        n = self.settings.points_of(self.clouds)
        points, normals = self.clouds.gather(rows, start[:, None] + torch.arange(n))
        pairs = MatchedClouds(
            (points[:1], points[1:]),
            None if normals is None else (normals[:1], normals[1:]),
            (self.clouds.stretch[rows[:1]], self.clouds.stretch[rows[1:]]),
            pairing.flipped[number : number + 1],
            self.clouds.symmetry[rows].all(0, keepdim=True),
        )
        sides = [pairs.fold(side) for side in pairs.in_cube()]
        weight = self.settings.normal_weight
        if weight and normals is not None:
            # Absolute values: normals have no sign, and those of a side are as the other's.
            weighted = [weight * part.abs() for part in pairs.normals_in_cube()]
            sides = [torch.cat(both, 2) for both in zip(sides, weighted, strict=True)]
        a, b = (side[0].numpy() for side in sides)
        return a, b, (self.seed * 1_000_003 + number) % 2**31


def _seconds(work: Callable[[], Any], clock: Callable[[], float] = process_time) -> float:
    start = clock()
    work()
    return max(1e-9, clock() - start)


Task = tuple[np.ndarray, np.ndarray, int]


def _work(job: tuple[MapSettings, list[Task]], announce: Announce | None = None) -> Any:
    """Compute the maps of a chunk, in any process."""
    settings, tasks = job
    return np.stack([match(a, b, settings.method, settings.sweeps, seed) for a, b, seed in tasks])


def _results(
    starts: Iterator[int], count: int, job: Any, workers: int | None
) -> Iterator[tuple[int, Any]]:
    """Chunks as they are finished; tasks are made when a process is free, to save memory."""
    if workers == 1 or count < 2:
        for start in starts:
            yield start, _work(job(start))
        return
    with pool(_tagged, count, workers=workers) as working:
        for start in islice(starts, min(2 * (workers or count), 64)):
            working.submit((start, job(start)))
        for outcome in working.outcomes():
            if outcome.death is not None:
                raise StorageError(
                    f"a process that computed maps died ({outcome.death.reason}); those that are "
                    "done are kept: run it again with fewer --workers"
                )
            for start in islice(starts, 1):
                working.submit((start, job(start)))
            yield outcome.result


def _tagged(task: tuple[int, Any], announce: Announce | None = None) -> tuple[int, Any]:
    return task[0], _work(task[1])
