"""What a data set will be made of, settled before any shape is opened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pcgen.config import digest, to_plain
from pcgen.errors import DataError
from pcgen.remote import is_url
from pcgen.shapes.items import Item, cloud_size
from pcgen.shapes.layouts import Found, find_items
from pcgen.shapes.splits import apply_table, find_table, read_table, split_by_hash
from pcgen.shapes.starter import starter_path
from pcgen.shapes.tree import Listing, Rejected, scan

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
    """A decided job: the items in their final order, and what has been left out already.

    Attributes:
        source: as the user named it; place: where that is, for any process on any machine.
    """

    settings: Settings
    items: tuple[Item, ...]
    rejected: tuple[Rejected, ...]
    ignored: dict[str, int]
    rule: str
    source: str
    place: str

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


def make_plan(
    source: Path | str,
    format: str = "auto",
    categories: list[str] | None = None,
    points: int | None = None,
    splits: Path | str | None = None,
    seed: int = 0,
) -> Plan:
    """Find the shapes of a source and settle everything but their content."""
    folder = starter_path() if str(source) == "starter" else source
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
        place=str(folder) if is_url(folder) else str(Path(folder).absolute()),
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
        if not items and splits:
            raise DataError(
                f"the splits file {table.origin} names none of the {len(found.items)} shapes; "
                "its modelId or file column must match them"
            )
        if items or splits:
            rejected += outside
            return items, f"the file {Path(table.origin).name}"
        items = found.items  # a table of something else
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
