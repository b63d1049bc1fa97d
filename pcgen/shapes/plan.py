"""Plan a data set: its shapes, splits and settings, before any shape is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pcgen.config import digest, to_plain
from pcgen.errors import DataError, InputError
from pcgen.remote import is_url
from pcgen.shapes.axes import AXES
from pcgen.shapes.items import SHAPE_SUFFIXES, SourceItem, cloud_size
from pcgen.shapes.layouts import Found, count_ignored, find_items, skipped_remarks
from pcgen.shapes.listing import Listing, Rejected, read_entry, scan
from pcgen.shapes.splits import apply_table, find_table, read_table, split_by_hash
from pcgen.shapes.starter import starter_path

BY_HASH = "80/10/10 by the hash of the id"
POINTS = 15_000  # sampled from a mesh, as in PointFlow's data


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """The settings that determine the content of a data set, besides its source.

    Attributes:
        format: a name of :data:`pcgen.shapes.layouts.LAYOUTS`.
        points: stored per shape.
        seed: of the surface sampling.
        categories: those to use, by their names in the data set; empty for all.
        splits: a description of where the splits come from.
        up: the up axis of the source; unit: the name of its unit, "" if unknown.
        solids: points per mesh with a signed distance, 0 for none.
    """

    format: str
    points: int
    seed: int
    categories: tuple[str, ...]
    splits: str
    up: str = "y"
    unit: str = ""
    solids: int = 0


@dataclass(frozen=True)
class Plan:
    """The items of a data set in their final order, and what has been left out.

    Attributes:
        source: as the user named it; place: its absolute path or URL.
        remarks: sentences on what was not read, and what to do about it.
    """

    settings: PrepareSettings
    items: tuple[SourceItem, ...]
    rejected: tuple[Rejected, ...]
    ignored: dict[str, int]
    rule: str
    source: str
    place: str
    remarks: tuple[str, ...] = ()

    @property
    def source_hash(self) -> str:
        """A hash of the names and sizes of all items; the same for a copy of the source."""
        return digest([[i.id, i.category, i.split, i.where, i.entry.size] for i in self.items])

    @property
    def stamp(self) -> str:
        """A hash of the settings, the listing, and the dates of all files."""
        return digest(
            [to_plain(self.settings), self.source_hash, [i.entry.stamp for i in self.items]]
        )


def make_plan(
    source: Path | str,
    format: str = "auto",
    categories: list[str] | None = None,
    points: int | None = None,
    splits: Path | str | None = None,
    seed: int = 0,
    up: str = "y",
    unit: str = "",
    solids: int = 0,
) -> Plan:
    """Find the shapes of a source and plan the data set."""
    if up not in AXES:
        raise InputError(f"up must be one of {', '.join(AXES)}, got {up!r}")
    folder = starter_path() if str(source) == "starter" else source
    listing = scan(folder)
    layout, found = find_items(listing, format)
    rejected = [*listing.rejected, *found.rejected]
    remarks = [*found.remarks, *skipped_remarks(listing, found, loose=not found.items)]
    found = replace(found, items=_without_doubles(found.items, rejected))
    items, origin = _with_table(listing, found, splits, rejected, remarks)
    items, kept = _of_categories(items, found, categories, rejected)
    items = sorted(split_by_hash(items), key=lambda item: item.id)
    if not items:
        listed = "".join(f". {remark}" for remark in remarks)
        raise DataError(f"no usable shape in {folder}. {summary(rejected)}{listed}")
    count = points or _default_points(items)
    settings = PrepareSettings(
        format=layout,
        points=count,
        seed=seed,
        categories=kept,
        splits=origin,
        up=up,
        unit=unit,
        solids=solids,
    )
    return Plan(
        settings=settings,
        items=tuple(items),
        rejected=tuple(rejected),
        ignored=count_ignored(listing, found),
        rule=found.rule,
        source=str(source),
        place=str(folder) if is_url(folder) else str(Path(folder).absolute()),
        remarks=tuple(remarks),
    )


def summary(rejected: list[Rejected], most: int = 5) -> str:
    """The first few rejections as text."""
    lines = [f"{item.item}: {item.reason}" for item in rejected[:most]]
    more = f"; and {len(rejected) - most} more" if len(rejected) > most else ""
    return f"Left out: {'; '.join(lines)}{more}" if lines else "It holds no shapes"


def _with_table(
    listing: Listing,
    found: Found,
    splits: Path | str | None,
    rejected: list[Rejected],
    remarks: list[str],
) -> tuple[list[SourceItem], str]:
    """The items with the splits of a table, or unchanged, and a description of their origin."""
    items = found.items
    own = all(item.split for item in items) and bool(items)
    table = (
        read_table(splits, str(splits)) if splits else None if own else find_table(listing, remarks)
    )
    if table is not None:
        kept, outside = apply_table(items, table)
        if not kept and splits:
            raise DataError(
                f"the splits file {table.origin} names none of the {len(items)} shapes; "
                "its modelId or file column must match them"
            )
        if 2 * len(kept) < len(items):
            row = next(iter(table.rows), "")
            remarks.append(
                f"the splits file {table.origin} names {len(kept) or 'none'} of {len(items)} "
                f"shapes; {'the others are left out' if kept else 'it is not used'}. Its names are "
                f"like {row!r}, the ids of the shapes like {items[0].id!r}"
            )
        if kept:
            rejected += outside
            others = sorted({str(item.split) for item in kept} - {"train", "val", "test"})
            if others:
                said = (
                    f"splits besides train, val and test, which nothing uses: {', '.join(others)}"
                )
                remarks.append(f"the splits file {table.origin} has {said}")
            return kept, f"the file {Path(table.origin).name}"
    if own:
        return items, "the layout"
    some = any(item.split for item in items)
    return items, f"the layout, else {BY_HASH}" if some else BY_HASH


def _of_categories(
    items: list[SourceItem], found: Found, categories: list[str] | None, rejected: list[Rejected]
) -> tuple[list[SourceItem], tuple[str, ...]]:
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


def _without_doubles(items: list[SourceItem], rejected: list[Rejected]) -> list[SourceItem]:
    """Items sorted by id, with unique ids.

    Of two files of one name in a folder, or with equal content, the first is kept; other shapes
    with the same id get the folders of their file in the id.
    """
    kept: dict[str, SourceItem] = {}
    for item in sorted(items, key=lambda item: (item.id, *_rank(item))):
        first = kept.get(item.id)
        if first is not None and (_is_same_name(first, item) or _is_copy(first, item)):
            reason = f"two shapes with one id, {item.id}: kept {first.where}"
            rejected.append(Rejected(item.where, reason))
            continue
        if first is not None:
            path = str(PurePosixPath(item.entry.path).with_suffix(""))
            more = [word for word in (item.array, item.row) if word is not None]
            item = replace(item, id="/".join((item.category, path, *map(str, more))))
        kept[item.id] = item
    return [kept[name] for name in sorted(kept)]


def _rank(item: SourceItem) -> tuple[bool, int, str]:
    """The order of files of one shape: empty ones last, meshes before clouds."""
    suffix = item.entry.suffix
    place = SHAPE_SUFFIXES.index(suffix) if suffix in SHAPE_SUFFIXES else len(SHAPE_SUFFIXES)
    return not item.entry.size, place, item.where


def _is_same_name(first: SourceItem, item: SourceItem) -> bool:
    """Whether two files differ in their suffixes only."""
    one, other = (PurePosixPath(i.entry.path).with_suffix("") for i in (first, item))
    return one == other and (first.array, first.row) == (item.array, item.row)


def _is_copy(first: SourceItem, item: SourceItem) -> bool:
    if first.row is not None or first.entry.size != item.entry.size:
        return False
    try:
        return read_entry(first.entry) == read_entry(item.entry)
    except InputError:
        return False


def _default_points(items: list[SourceItem]) -> int:
    """15,000, or the 5 % quantile of the sizes of the shapes if that is less.

    A mesh counts as 15,000, so that a scan among many meshes does not decide.
    """
    sizes: dict[tuple[str, str | None], int | None] = {}
    for item in items:
        key = (item.entry.path, item.array)
        if key not in sizes:
            sizes[key] = cloud_size(item)
    counts = sorted(sizes[item.entry.path, item.array] or POINTS for item in items)
    return min(POINTS, counts[len(counts) // 20])
