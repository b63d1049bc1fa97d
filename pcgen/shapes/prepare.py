"""From a source of any layout to a data set: parallel, resumable, the same every time.

Everything goes into ``<out>.part``: a plan (what is made of what, with which settings), finished
pieces, at last the arrays. When all is there the folder gets its final name. A second run finds
the plan, and if it is its own, goes on from the pieces; else it starts anew.
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
from pcgen.shapes import evidence
from pcgen.shapes.fetch import is_published, publish
from pcgen.shapes.pieces import (
    PIECE_SIZE,
    Piece,
    assemble,
    convert,
    read_record,
    rows_of,
    write_piece,
)
from pcgen.shapes.plan import BY_HASH, Plan, make_plan, summary
from pcgen.shapes.store import Row
from pcgen.shapes.tree import Rejected
from pcgen.shapes.writer import write_records

SOLIDS, MOST_SOLIDS = 4096, 2**20  # places of a mesh with their signed distance
_UPRIGHT = ("shapenet", "pc15k", "shapenetpart", "partnet")  # sets that are known to have Y up


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
        out: the folder to make, or its URL: it is made in the cache and then copied. Where it
            exists and was made by the same call, nothing is done.
        format: ``auto`` or a layout by name.
        categories: names (or synsets) to keep; None for all.
        points: to store of each shape; by default 15,000 of a mesh, and of clouds as many as
            they have, at most 15,000.
        splits: a CSV, see :func:`pcgen.shapes.splits.read_table`; by default the source's own
            table or folders, else 80/10/10 by the hash of the id.
        workers: processes; by default the cores we may use, or all of the cluster.
        ray: the address of a Ray cluster that does the work; see :mod:`pcgen.jobs.cluster`.
        seed: of the sampling.
        up: the axis of the source that points up; the data set has +Y up, exports go back. None
            takes Y, and says where the shapes look otherwise.
        unit: the name of the source's unit, for the reports of exports.
        solids: places of each mesh where the signed distance is stored, 0 for none; see
            :mod:`pcgen.shapes.solid`. They cost about 0.3 s a shape. Clouds have none.
    Returns:
        the report, which is also written as ``report.json``.
    Raises:
        DataError: no source, or nothing usable in it.
        StorageError: ``out`` cannot be written, holds something else, or is being written.
    """
    if is_url(out):
        options = {"format": format, "categories": categories, "points": points, "splits": splits}
        options |= {"up": up, "unit": unit, "solids": solids}
        return _published(
            source,
            str(out),
            options | {"workers": workers, "ray": ray, "seed": seed},
        )
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
        pieces = _open_part(part, plan)
        _run(pieces, workers, ray)
        report = _finish(part, plan, pieces, up is not None)
        if out.exists():
            out.rmdir()
        part.replace(out)
    (out / ".lock").unlink(missing_ok=True)
    (out / "plan.json").unlink(missing_ok=True)
    return report


def _published(source: Path | str, url: str, options: dict[str, Any]) -> dict[str, Any]:
    """Make a data set in the cache, where its readers look first, and copy it to its URL."""
    folder = folder_for(url)
    report = prepare(source, folder, **options)
    if not is_published(folder, url):
        publish(folder, url)
    return report


def _existing(out: Path, plan: Plan) -> dict[str, Any]:
    """The report of a data set that is there already, if it is the one that was asked for."""
    try:
        meta = parse_json((out / "dataset.json").read_text())
        # A data set of an earlier version has no solids, and is still the one that was asked for.
        made = {"up": "y", "unit": "", "solids": plan.settings.solids, **meta["settings"]}
        if made == to_plain(plan.settings) and meta["source_hash"] == plan.source_hash:
            progress.say(f"{out} is there already, made from the same shapes; nothing to do")
            report: dict[str, Any] = parse_json((out / "report.json").read_text())
            return report
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise StorageError(f"{out} exists already and holds something else; choose another --out")


def _open_part(part: Path, plan: Plan) -> list[Piece]:
    """The pieces of the plan, in a folder that holds those of no other plan."""
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
    for path in part.glob(f"{TEMPORARY_PREFIX}*"):  # half-written when the last run was killed
        path.unlink()
    folder.mkdir(exist_ok=True)
    settings = plan.settings
    return [
        Piece(
            number=number,
            folder=folder,
            source=plan.place,
            items=plan.items[start : start + PIECE_SIZE],
            points=settings.points,
            seed=settings.seed,
            up=settings.up,
            solids=settings.solids,
        )
        for number, start in enumerate(range(0, len(plan.items), PIECE_SIZE))
    ]


def _run(pieces: list[Piece], workers: int | None, ray: str | None) -> None:
    """Have all pieces converted that are not yet; what kills a worker is skipped next time."""
    waiting = [piece for piece in pieces if read_record(piece) is None]
    total = sum(len(piece.items) for piece in pieces)
    done = total - sum(len(piece.items) for piece in waiting)
    if done:
        progress.say(f"going on: {done} of {total} shapes were done before")
    if not waiting:
        return
    with (
        pool(convert, len(waiting), workers=workers, ray=ray, limits=foreign_limits()) as working,
        progress.bar("prepare", total, done) as bar,
    ):
        for piece in waiting:
            working.submit(piece)
        for outcome in working.outcomes():
            piece = outcome.task
            if outcome.death is None:
                write_piece(piece, outcome.result)
                bar.advance(len(piece.items))
            elif outcome.death.item is None:
                raise DataError(
                    f"a worker could not start ({outcome.death.reason}); a script that prepares "
                    'data needs the line: if __name__ == "__main__":'
                )
            else:
                skip = {**piece.skip, outcome.death.item: outcome.death.reason}
                working.submit(replace(piece, skip=skip))


def _finish(part: Path, plan: Plan, pieces: list[Piece], up_is_given: bool) -> dict[str, Any]:
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
    known = bare < len(accepted)
    names = ["points", "normals"] if known else ["points"]
    counts = [
        (piece, sum("reason" not in outcome for outcome in record)) for piece, record in records
    ]
    solid = sum(outcome.get("solid", False) for outcome in accepted)
    assemble(part, counts, plan.settings.points, names, plan.settings.solids if solid else 0)
    rows = [row for piece, record in records for row in rows_of(piece, record, known)]
    frames = evidence.about_units(rows)
    if plan.settings.format not in _UPRIGHT:
        mapped = np.load(part / "points.npy", mmap_mode="r")
        frames += evidence.about_up(rows, mapped, up_is_given)
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
        return "none: they are known of no shape"
    if not bare:
        return "of the surface"
    return f"known of {count - bare} shapes; {bare} shapes have none, and zeros in their place"


def _notes(accepted: list[dict[str, Any]]) -> list[str]:
    """What was not understood in some shapes: each kind once, with how many have it."""
    kinds: dict[str, list[str]] = {}
    for outcome in accepted:
        for note in outcome.get("notes", ()):
            kinds.setdefault(re.sub(r"\d+", "N", str(note)), []).append(str(note))
    return [f"in {len(notes)} shapes: {notes[0]}" for notes in kinds.values()]


def _of_one_split(
    rows: list[Row], contents: list[str | None], movable: bool
) -> tuple[list[Row], list[str]]:
    """Rows, those of one content in one split, and what there is to say.

    Splits by hash are ours to change: copies go where the first of them is, or elsewhere if that
    would leave a split empty. Those of a table or a layout stay as published.
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
    said = f"{copies} shapes are exact copies of others, such as {rows[several[0][1]].id}"
    if across:
        one, other = (next(rows[k].id for k in across[0] if rows[k].split == s) for s in
                      sorted({rows[k].split for k in across[0]})[:2])  # fmt: skip
        said += f"; {len(across)} of them are in two splits, such as {one} and {other}"
    return rows, [said]
