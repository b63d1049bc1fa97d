"""Make a data set from a source of any layout: parallel, resumable and reproducible.

All files go into ``<out>.part``: the plan, finished shards, and finally the arrays. The complete
folder is renamed to ``<out>``. A second call with the same plan resumes from the shards; with
another plan, it starts over.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pcgen import progress
from pcgen.config import to_plain
from pcgen.errors import DataError, InputError, StorageError
from pcgen.files import TEMPORARY_PREFIX, lock, parse_json, storage_errors, write_json
from pcgen.jobs import pool
from pcgen.jobs.workers import foreign_limits
from pcgen.remote import folder_for, is_url
from pcgen.shapes import consistency
from pcgen.shapes.listing import Rejected
from pcgen.shapes.plan import BY_HASH, Plan, make_plan, summary
from pcgen.shapes.remote_datasets import is_published, publish
from pcgen.shapes.shards import (
    SHARD_SIZE,
    Shard,
    assemble,
    convert,
    read_record,
    rows_of,
    write_shard,
)
from pcgen.shapes.store import IndexRow
from pcgen.shapes.writer import write_records

MOST_SOLIDS = 2**20  # points per mesh with a signed distance
_UPRIGHT = ("shapenet", "pc15k", "shapenetpart", "partnet")  # data sets known to have Y up


def prepare(
    source: Path | str,
    out: Path | str,
    *,
    format: str = "auto",
    categories: list[str] | None = None,
    points: int | None = None,
    splits: Path | str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    seed: int = 0,
    up: str | None = None,
    unit: str = "",
    solids: int = 0,
) -> dict[str, Any]:
    """Make the data set ``out`` from meshes or clouds.

    Args:
        source: a folder, a zip archive, a file of clouds, a URL of one of these (see
            :mod:`pcgen.remote`), or the word ``starter``.
        out: the folder to make, or a URL; then it is made in the cache and uploaded. If it exists
            and was made by the same call, nothing is done.
        format: ``auto`` or the name of a layout.
        categories: names (or synsets) to use; None for all.
        points: to store per shape; by default 15,000, or the number of points of the clouds if
            they have fewer.
        splits: a CSV table, see :func:`pcgen.shapes.splits.read_table`; by default a table or
            folders of the source, else 80/10/10 by the hash of the id.
        workers: number of processes; by default one per usable core, or the whole cluster.
        ray: the address of a Ray cluster to use; see :mod:`pcgen.jobs.cluster`.
        seed: of the sampling.
        up: the up axis of the source, which the data set rotates to +Y and exports rotate back.
            None means Y, and reports if the shapes look otherwise.
        unit: the name of the source's length unit, for the reports of exports.
        solids: points per mesh with a signed distance, 0 for none; they take about 0.3 s per
            shape, see :mod:`pcgen.shapes.signed_distances`. Clouds have none.
    Returns:
        the report, which is also written as ``report.json``.
    Raises:
        DataError: no source, or no usable shape in it.
        StorageError: ``out`` cannot be written, holds something else, or is being written.
    """
    if is_url(out):
        options = {"format": format, "categories": categories, "points": points, "splits": splits}
        options |= {"up": up, "unit": unit, "solids": solids}
        options |= {"workers": workers, "ray": ray, "seed": seed}
        return _published(source, str(out), options)
    out = Path(out)
    if points is not None and points < 1:
        raise InputError(f"points must be at least 1, got {points}")
    if not 0 <= solids <= MOST_SOLIDS:
        raise InputError(f"solids must be from 0 to {MOST_SOLIDS}, got {solids}")
    plan = make_plan(source, format, categories, points, splits, seed, up or "y", unit, solids)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        return _existing(out, plan)
    part = out.with_name(out.name + ".part")
    with lock(part), storage_errors(part):
        shards = _open_part(part, plan)
        _run(shards, workers, ray)
        report = _finish(part, plan, shards, up is not None)
        if out.exists():
            out.rmdir()
        part.replace(out)
    (out / ".lock").unlink(missing_ok=True)
    (out / "plan.json").unlink(missing_ok=True)
    return report


def _published(source: Path | str, url: str, options: dict[str, Any]) -> dict[str, Any]:
    """Make a data set in the cache, where its readers look first, and upload it."""
    folder = folder_for(url)
    report = prepare(source, folder, **options)
    if not is_published(folder, url):
        publish(folder, url)
    return report


def _existing(out: Path, plan: Plan) -> dict[str, Any]:
    """The report of an existing data set, if it was made from the same plan."""
    try:
        meta = parse_json((out / "dataset.json").read_text())
        # A data set of an earlier version has no solids, and is still the one that was asked for.
        made = {"up": "y", "unit": "", "solids": plan.settings.solids, **meta["settings"]}
        if made == to_plain(plan.settings) and meta["source_hash"] == plan.source_hash:
            progress.say(f"{out} already exists and was made from the same shapes; nothing to do")
            report: dict[str, Any] = parse_json((out / "report.json").read_text())
            return report
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise StorageError(f"{out} already exists and holds something else; choose another --out")


def _open_part(part: Path, plan: Plan) -> list[Shard]:
    """The shards of the plan, in a folder without shards of another plan."""
    folder, record = part / "pieces", part / "plan.json"
    try:
        same = parse_json(record.read_text())["stamp"] == plan.stamp
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        for path in part.iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_json(record, {"stamp": plan.stamp, "settings": to_plain(plan.settings)})
    for path in part.glob(f"{TEMPORARY_PREFIX}*"):  # partly written when the last run was killed
        path.unlink()
    folder.mkdir(exist_ok=True)
    settings = plan.settings
    return [
        Shard(
            number=number,
            folder=folder,
            source=plan.place,
            items=plan.items[start : start + SHARD_SIZE],
            points=settings.points,
            seed=settings.seed,
            up=settings.up,
            solids=settings.solids,
        )
        for number, start in enumerate(range(0, len(plan.items), SHARD_SIZE))
    ]


def _run(shards: list[Shard], workers: int | None, ray: str | None) -> None:
    """Convert all missing shards; an item that crashes a worker is skipped in the next try."""
    waiting = [shard for shard in shards if read_record(shard) is None]
    total = sum(len(shard.items) for shard in shards)
    done = total - sum(len(shard.items) for shard in waiting)
    if done:
        progress.say(f"resuming: {done} of {total} shapes are done")
    if not waiting:
        return
    with (
        pool(convert, len(waiting), workers=workers, ray=ray, limits=foreign_limits()) as working,
        progress.bar("prepare", total, done) as bar,
    ):
        for shard in waiting:
            working.submit(shard)
        for outcome in working.outcomes():
            shard = outcome.task
            if outcome.death is None:
                write_shard(shard, outcome.result)
                bar.advance(len(shard.items))
            elif outcome.death.item is None:
                raise DataError(
                    f"a worker could not start ({outcome.death.reason}); try --workers 1"
                )
            else:
                skip = {**shard.skip, outcome.death.item: outcome.death.reason}
                working.submit(replace(shard, skip=skip))


def _finish(part: Path, plan: Plan, shards: list[Shard], up_is_given: bool) -> dict[str, Any]:
    """Write the arrays, index, description and report."""
    records = [(shard, read_record(shard) or []) for shard in shards]
    rejected = list(plan.rejected)
    for shard, record in records:
        for item, outcome in zip(shard.items, record, strict=True):
            if "reason" in outcome:
                rejected.append(Rejected(item.where, outcome["reason"]))
    accepted = [outcome for _, record in records for outcome in record if "reason" not in outcome]
    if not accepted:
        listed = [to_plain(item) for item in rejected]
        write_json(part / "report.json", {"source": plan.source, "count": 0, "rejected": listed})
        raise DataError(
            f"no usable shape in {plan.source}. {summary(rejected)} (all: {part}/report.json)"
        )
    bare = sum(not outcome["normals"] for outcome in accepted)
    known = bare < len(accepted)
    names = ["points", "normals"] if known else ["points"]
    counts = [
        (shard, sum("reason" not in outcome for outcome in record)) for shard, record in records
    ]
    solid = sum(outcome.get("solid", False) for outcome in accepted)
    assemble(part, counts, plan.settings.points, names, plan.settings.solids if solid else 0)
    rows = [row for shard, record in records for row in rows_of(shard, record, known)]
    frames = consistency.unit_remarks(rows)
    if plan.settings.format not in _UPRIGHT:
        mapped = np.load(part / "points.npy", mmap_mode="r")
        frames += consistency.up_axis_remarks(rows, mapped, up_is_given)
    by_hash = plan.settings.splits.endswith(BY_HASH)
    rows, copies = _of_one_split(rows, [outcome.get("content") for outcome in accepted], by_hash)
    meta = {"settings": to_plain(plan.settings), "source_hash": plan.source_hash}
    described = write_records(part, rows, meta)
    splits = Counter((row.category, row.split) for row in rows)
    report = {
        "source": plan.source,
        "settings": to_plain(plan.settings),
        "rule": plan.rule,
        "count": len(rows),
        "points_per_shape": plan.settings.points,
        "normals": _about_normals(bare, len(accepted)),
        "solids": f"known of {solid} of {len(accepted)} shapes",
        "categories": {
            category: {split: n for (name, split), n in sorted(splits.items()) if name == category}
            for category in described["categories"]
        },
        "content_hash": described["content_hash"],
        "rejected": [to_plain(item) for item in rejected],
        "read_files": dict(Counter(item.entry.suffix for item in plan.items).most_common()),
        "ignored_files": plan.ignored,
        "remarks": [*plan.remarks, *frames, *copies, *_notes(accepted)],
    }
    write_json(part / "report.json", report)
    shutil.rmtree(part / "pieces")
    return report


def _about_normals(bare: int, count: int) -> str:
    if bare == count:
        return "none: no shape has any"
    if not bare:
        return "of the surface"
    return f"known for {count - bare} shapes; {bare} shapes have none, and get zeros"


def _notes(accepted: list[dict[str, Any]]) -> list[str]:
    """The notes on shapes, each kind once with its count."""
    kinds: dict[str, list[str]] = {}
    for outcome in accepted:
        for note in outcome.get("notes", ()):
            kinds.setdefault(re.sub(r"\d+", "N", str(note)), []).append(str(note))
    return [f"in {len(notes)} shapes: {notes[0]}" for notes in kinds.values()]


def _of_one_split(
    rows: list[IndexRow], contents: list[str | None], movable: bool
) -> tuple[list[IndexRow], list[str]]:
    """The rows with exact copies in one split, and remarks.

    Only splits by hash change: copies move to the split of the first one, or to another if that
    would leave a split empty. Splits of a table or layout stay as published.
    """
    groups: dict[str, list[int]] = {}
    for number, content in enumerate(contents):
        if content:
            groups.setdefault(content, []).append(number)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        return rows, []
    copies = sum(len(group) - 1 for group in several)
    left, rows = Counter(row.split for row in rows), list(rows)
    across = []
    for group in several:
        splits = Counter(rows[k].split for k in group)
        choices = dict.fromkeys([rows[group[0]].split, *sorted(splits)])
        target = next(
            (c for c in choices if all(left[s] > n for s, n in splits.items() if s != c)), None
        )
        if len(splits) > 1 and movable and target is not None:
            for k in group:
                left[rows[k].split] -= 1
                left[target] += 1
                rows[k] = rows[k]._replace(split=target)
        elif len(splits) > 1:
            across.append(group)
    remark = f"{copies} shapes are exact copies of others, such as {rows[several[0][1]].id}"
    if across:
        one, other = (next(rows[k].id for k in across[0] if rows[k].split == s) for s in
                      sorted({rows[k].split for k in across[0]})[:2])  # fmt: skip
        remark += f"; {len(across)} of them are in two splits, such as {one} and {other}"
    return rows, [remark]
