"""Which shape is for training, validation or test: by a file, by the layout, or by hash."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pcgen.errors import DataError, InputError
from pcgen.shapes.items import Item
from pcgen.shapes.layouts import SPLIT_NAMES
from pcgen.shapes.mesh_files import read_file
from pcgen.shapes.tree import Listing, Rejected, read_entry

#: A table of one of these names at the top of a source is used without being asked for.
OWN_TABLES = ("split.csv", "splits.csv", "all.csv", "manifest.csv")

_TABLE_LIMIT = 256 * 2**20
_TRAIN, _VAL = 0.8, 0.9  # by hash: up to 0.8 train, up to 0.9 val, then test


@dataclass(frozen=True)
class SplitTable:
    """A splits file: split and, where the file says so, category, by the name of a shape."""

    origin: str
    rows: dict[str, tuple[str, str | None]]


def read_table(source: Path | str | bytes, origin: str) -> SplitTable:
    """Read ``id,synsetId,subSynsetId,modelId,split`` (ShapeNet), or ``file[,category],split``.

    Columns may come in any order and among others.

    Raises:
        DataError: no such file, or no such columns.
    """
    try:
        data = source if isinstance(source, bytes) else read_file(Path(source), _TABLE_LIMIT)
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        columns = {(name or "").strip(): name for name in reader.fieldnames or ()}
        found: dict[str, tuple[str, str | None]] = {}
        value: tuple[str, str | None]
        if {"modelId", "split"} <= columns.keys():
            for row in reader:
                model = _cell(row, columns["modelId"])
                value = (_split_name(_cell(row, columns["split"])), None)
                found[model] = value
                if "synsetId" in columns:
                    # Spreadsheets drop the leading zero of a synset.
                    found[f"{_cell(row, columns['synsetId']).zfill(8)}/{model}"] = value
                    found[f"{_cell(row, columns['synsetId'])}/{model}"] = value
        elif {"file", "split"} <= columns.keys():
            for row in reader:
                category = _cell(row, columns["category"]) if "category" in columns else ""
                value = (_split_name(_cell(row, columns["split"])), category or None)
                found[_cell(row, columns["file"]).replace("\\", "/").removeprefix("./")] = value
        else:
            raise ValueError(f"it has {', '.join(columns) or 'none'}")
    except (InputError, ValueError, csv.Error) as error:
        raise DataError(
            f"{origin} is not a splits file with the columns modelId,split (ShapeNet's) or "
            f"file,split: {error}"
        ) from None
    return SplitTable(origin, found)


def find_table(listing: Listing) -> SplitTable | None:
    """The splits file that a source brings along, if it does."""
    for name in OWN_TABLES:
        for entry in listing.entries:
            if entry.path == name:
                try:
                    return read_table(read_entry(entry, _TABLE_LIMIT), entry.path)
                except (DataError, InputError):
                    continue  # a table of something else
    return None


def apply_table(items: Iterable[Item], table: SplitTable) -> tuple[list[Item], list[Rejected]]:
    """Give each item the split of its row; an item without a row belongs to no split."""
    kept, rejected = [], []
    for item in items:
        row = next(
            (table.rows[name] for name in (item.id, *item.names) if name in table.rows), None
        )
        if row is None:
            rejected.append(Rejected(item.where, f"it is not in the splits file {table.origin}"))
            continue
        split, category = row
        if category and category != item.category:
            name = item.id.removeprefix(f"{item.category}/")
            item = replace(item, category=category, id=f"{category}/{name}")
        kept.append(replace(item, split=split))
    return kept, rejected


def split_by_hash(items: list[Item]) -> list[Item]:
    """80 % train, 10 % val, 10 % test for items that have no split, by the hash of their id.

    An id keeps its split whatever else is in the set; only where a split would stay empty does the
    item with the highest hash go to test or val, that with the lowest to train.
    """
    open_ids = sorted((item.id for item in items if item.split is None), key=_position)
    chosen = {
        name: "train" if _position(name) < _TRAIN else "val" if _position(name) < _VAL else "test"
        for name in open_ids
    }
    if len(open_ids) == len(items) >= 3:
        if "test" not in chosen.values():
            chosen[open_ids[-1]] = "test"
        if "train" not in chosen.values():
            chosen[open_ids[0]] = "train"
        if "val" not in chosen.values():
            train = [name for name in open_ids if chosen[name] == "train"]
            chosen[train[-1] if len(train) > 1 else open_ids[1]] = "val"
    return [replace(item, split=item.split or chosen[item.id]) for item in items]


def _position(name: str) -> float:
    """A number in [0, 1) that only the id decides."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:6]) / 2**48


def _cell(row: dict[str, str | None], column: str) -> str:
    return (row.get(column) or "").strip()


def _split_name(text: str) -> str:
    if not text:
        raise ValueError("a row has no split")
    return SPLIT_NAMES.get(text.lower(), text)
