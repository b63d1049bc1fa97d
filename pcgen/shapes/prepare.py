"""From a source of any layout to a data set: parallel, resumable, the same every time.

Everything goes into ``<out>.part``: a plan (what is made of what, with which settings), finished
pieces, at last the arrays. When all is there the folder gets its final name. A second run finds
the plan, and if it is its own, goes on from the pieces; else it starts anew.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pcgen import progress
from pcgen.config import digest, to_plain
from pcgen.errors import DataError, InputError, StorageError
from pcgen.files import TEMPORARY_PREFIX, lock, storage_errors, write_json
from pcgen.shapes.items import Item, cloud_size
from pcgen.shapes.layouts import Found, find_items
from pcgen.shapes.pieces import PIECE_SIZE, Piece, assemble, convert, read_record, rows_of
from pcgen.shapes.splits import apply_table, find_table, read_table, split_by_hash
from pcgen.shapes.starter import starter_path
from pcgen.shapes.tree import Listing, Rejected, scan
from pcgen.shapes.workers import Workers
from pcgen.shapes.writer import write_records

POINTS = 15_000  # of a mesh; the number of PointFlow's data, on which the field's figures rest


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the content of a data set, besides its source.

    Attributes:
        format: a name of :data:`pcgen.shapes.layouts.LAYOUTS`.
        points: stored of each shape.
        seed: of the surface sampling.
        categories: those to keep, by the names used in the data set; empty for all.
        splits: where the splits come from, in words.
    """

    format: str
    points: int
    seed: int
    categories: tuple[str, ...]
    splits: str


@dataclass(frozen=True)
class Plan:
    """A decided job: the items in their final order, and what has been left out already."""

    settings: Settings
    items: tuple[Item, ...]
    rejected: tuple[Rejected, ...]
    ignored: dict[str, int]
    rule: str
    source: str

    @property
    def source_hash(self) -> str:
        """Of what is read: names and sizes; unaffected by a copy of the source elsewhere."""
        return digest([[i.id, i.category, i.split, i.where, i.entry.size] for i in self.items])

    @property
    def stamp(self) -> str:
        """Changes with the settings, the listing, and the date of any file."""
        return digest(
            [to_plain(self.settings), self.source_hash, [i.entry.stamp for i in self.items]]
        )


def prepare(
    source: Path | str,
    out: Path | str,
    *,
    format: str = "auto",
    categories: list[str] | None = None,
    points: int | None = None,
    splits: Path | str | None = None,
    workers: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Make the data set ``out`` from meshes or clouds.

    Args:
        source: a folder, a zip archive, a file of clouds, or the word ``starter``.
        out: the folder to make. Where it exists and was made by the same call, nothing is done.
        format: ``auto`` or a layout by name.
        categories: names (or synsets) to keep; None for all.
        points: to store of each shape; by default 15,000 of a mesh, and of clouds as many as
            they have, at most 15,000.
        splits: a CSV, see :func:`pcgen.shapes.splits.read_table`; by default the source's own
            table or folders, else 80/10/10 by the hash of the id.
        workers: processes; by default the cores we may use.
        seed: of the sampling.
    Returns:
        the report, which is also written as ``report.json``.
    Raises:
        DataError: no source, or nothing usable in it.
        StorageError: ``out`` cannot be written, holds something else, or is being written.
    """
    out = Path(out)
    if points is not None and points < 1:
        raise InputError(f"points must be at least 1, got {points}")
    plan = make_plan(source, format, categories, points, splits, seed)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        return _existing(out, plan)
    part = out.with_name(out.name + ".part")
    with lock(part), storage_errors(part):
        pieces = _open_part(part, plan)
        _run(pieces, workers or len(os.sched_getaffinity(0)))
        report = _finish(part, plan, pieces)
        if out.exists():
            out.rmdir()
        part.replace(out)
    (out / ".lock").unlink(missing_ok=True)
    (out / "plan.json").unlink(missing_ok=True)
    return report


def make_plan(
    source: Path | str,
    format: str = "auto",
    categories: list[str] | None = None,
    points: int | None = None,
    splits: Path | str | None = None,
    seed: int = 0,
) -> Plan:
    """Find the shapes of a source and settle everything but their content."""
    folder = starter_path() if str(source) == "starter" else Path(source)
    listing = scan(folder)
    layout, found = find_items(listing, format)
    rejected = [*listing.rejected, *found.rejected]
    items, origin = _with_splits(listing, found, splits, rejected)
    items, kept = _of_categories(items, found, categories, rejected)
    items = _without_doubles(items, rejected)
    if not items:
        raise DataError(f"nothing usable in {folder}. {summary(rejected)}")
    count = points or _default_points(items)
    settings = Settings(format=layout, points=count, seed=seed, categories=kept, splits=origin)
    return Plan(
        settings=settings,
        items=tuple(items),
        rejected=tuple(rejected),
        ignored=_ignored(listing, found),
        rule=found.rule,
        source=str(source),
    )


def summary(rejected: list[Rejected], most: int = 5) -> str:
    """The first few rejections in words."""
    lines = [f"{item.item}: {item.reason}" for item in rejected[:most]]
    more = f"; and {len(rejected) - most} more" if len(rejected) > most else ""
    return f"Left out: {'; '.join(lines)}{more}" if lines else "It holds no shapes at all"


def _with_splits(
    listing: Listing, found: Found, splits: Path | str | None, rejected: list[Rejected]
) -> tuple[list[Item], str]:
    """Items with their splits, and in words where these are from."""
    own = all(item.split for item in found.items) and bool(found.items)
    table = read_table(splits, str(splits)) if splits else None if own else find_table(listing)
    items = found.items
    if table is not None:
        items, outside = apply_table(items, table)
        if not items:
            raise DataError(
                f"the splits file {table.origin} names none of the {len(found.items)} shapes; "
                "its modelId or file column must match them"
            )
        rejected += outside
        return items, f"the file {Path(table.origin).name}"
    if own:
        return items, "the layout"
    some = any(item.split for item in items)
    rule = "80/10/10 by the hash of the id"
    return split_by_hash(items), f"the layout, else {rule}" if some else rule


def _of_categories(
    items: list[Item], found: Found, categories: list[str] | None, rejected: list[Rejected]
) -> tuple[list[Item], tuple[str, ...]]:
    if categories is None:
        return items, ()
    present = sorted({item.category for item in items})
    known = {**found.aliases, **{name: name for name in present}}
    lower = {name.lower(): name for name in reversed(known)}
    kept = set()
    for name in categories:
        target = known.get(name) or known.get(lower.get(name.lower(), ""))
        if target in present:
            kept.add(target)
        else:
            reason = f"no such category; the source has {', '.join(present)}"
            rejected.append(Rejected(f"category {name}", reason))
    return [item for item in items if item.category in kept], tuple(sorted(kept))


def _without_doubles(items: list[Item], rejected: list[Rejected]) -> list[Item]:
    """Items in the order of their ids; of two with one id the first file is kept."""
    kept: dict[str, Item] = {}
    for item in sorted(items, key=lambda item: (item.id, item.where)):
        if item.id in kept:
            first = kept[item.id].where
            rejected.append(
                Rejected(item.where, f"two shapes with one id, {item.id}: kept {first}")
            )
        else:
            kept[item.id] = item
    return list(kept.values())


def _default_points(items: list[Item]) -> int:
    """15,000, or what all but the smallest twentieth of the clouds have, if that is less."""
    sizes: dict[tuple[str, str | None], int | None] = {}
    for item in items:
        key = (item.entry.path, item.array)
        if key not in sizes:
            sizes[key] = cloud_size(item)
    counts = sorted(size for size in sizes.values() if size)
    return min(POINTS, counts[len(counts) // 20]) if counts else POINTS


def _ignored(listing: Listing, found: Found) -> dict[str, int]:
    """How many files of each kind were passed over, the most frequent kinds first."""
    used = {item.entry.path for item in found.items}
    named = {item.item for item in found.rejected}
    others = Counter(
        entry.suffix or "(none)"
        for entry in listing.entries
        if entry.path not in used and entry.where not in named
    )
    return dict(sorted(others.most_common(20)))


def _existing(out: Path, plan: Plan) -> dict[str, Any]:
    """The report of a data set that is there already, if it is the one that was asked for."""
    try:
        meta = json.loads((out / "dataset.json").read_text())
        if meta["settings"] == to_plain(plan.settings) and meta["source_hash"] == plan.source_hash:
            progress.say(f"{out} is there already, made from the same shapes; nothing to do")
            report: dict[str, Any] = json.loads((out / "report.json").read_text())
            return report
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise StorageError(f"{out} exists already and holds something else; choose another --out")


def _open_part(part: Path, plan: Plan) -> list[Piece]:
    """The pieces of the plan, in a folder that holds those of no other plan."""
    folder, record = part / "pieces", part / "plan.json"
    try:
        same = json.loads(record.read_text())["stamp"] == plan.stamp
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        for path in part.iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_json(record, {"stamp": plan.stamp, "settings": to_plain(plan.settings)})
    for path in part.glob(f"{TEMPORARY_PREFIX}*"):  # half-written when the last run was killed
        path.unlink()
    folder.mkdir(exist_ok=True)
    settings = plan.settings
    return [
        Piece(
            number, folder, plan.items[start : start + PIECE_SIZE], settings.points, settings.seed
        )
        for number, start in enumerate(range(0, len(plan.items), PIECE_SIZE))
    ]


def _run(pieces: list[Piece], workers: int) -> None:
    """Have all pieces converted that are not yet; what kills a worker is skipped next time."""
    waiting = [piece for piece in pieces if read_record(piece) is None]
    total = sum(len(piece.items) for piece in pieces)
    done = total - sum(len(piece.items) for piece in waiting)
    if done:
        progress.say(f"going on: {done} of {total} shapes were done before")
    if not waiting:
        return
    with (
        Workers(convert, min(workers, len(waiting))) as pool,
        progress.bar("prepare", total, done) as bar,
    ):
        for piece in waiting:
            pool.submit(piece)
        for outcome in pool.outcomes():
            piece = outcome.task
            if outcome.death is None:
                bar.advance(len(piece.items))
            elif outcome.death.item is None:
                raise DataError(f"a worker could not start: {outcome.death.reason}")
            else:
                skip = {**piece.skip, outcome.death.item: outcome.death.reason}
                pool.submit(replace(piece, skip=skip))


def _finish(part: Path, plan: Plan, pieces: list[Piece]) -> dict[str, Any]:
    """Arrays, index, description and report of a whole data set."""
    records = [(piece, read_record(piece) or []) for piece in pieces]
    rejected = list(plan.rejected)
    for piece, record in records:
        for item, outcome in zip(piece.items, record, strict=True):
            if "reason" in outcome:
                rejected.append(Rejected(item.where, outcome["reason"]))
    accepted = [outcome for _, record in records for outcome in record if "reason" not in outcome]
    if not accepted:
        listed = [to_plain(item) for item in rejected]
        write_json(part / "report.json", {"source": plan.source, "count": 0, "rejected": listed})
        raise DataError(
            f"nothing usable in {plan.source}. {summary(rejected)} (all: {part}/report.json)"
        )
    bare = sum(not outcome["normals"] for outcome in accepted)
    names = ["points"] if bare else ["points", "normals"]
    counts = [
        (piece, sum("reason" not in outcome for outcome in record)) for piece, record in records
    ]
    assemble(part, counts, plan.settings.points, names)
    rows = [row for piece, record in records for row in rows_of(piece, record, not bare)]
    meta = {"settings": to_plain(plan.settings), "source_hash": plan.source_hash}
    described = write_records(part, rows, meta)
    splits = Counter((row.category, row.split) for row in rows)
    report = {
        "source": plan.source,
        "settings": to_plain(plan.settings),
        "rule": plan.rule,
        "count": len(rows),
        "points_per_shape": plan.settings.points,
        "normals": f"left out: {bare} shapes have none" if bare else "of the surface",
        "categories": {
            category: {split: n for (name, split), n in sorted(splits.items()) if name == category}
            for category in described["categories"]
        },
        "content_hash": described["content_hash"],
        "rejected": [to_plain(item) for item in rejected],
        "ignored_files": plan.ignored,
    }
    write_json(part / "report.json", report)
    shutil.rmtree(part / "pieces")
    return report
