"""Which shape is for training, validation or test: by a file, by the layout, or by hash."""

from __future__ import annotations

import csv
import hashlib
import io
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pcgen.errors import DataError, InputError, MeshError
from pcgen.shapes.formats.raw import plain
from pcgen.shapes.formats.text import looks_like_points
from pcgen.shapes.items import Item
from pcgen.shapes.layouts import SPLIT_NAMES, split_in
from pcgen.shapes.mesh_files import read_file
from pcgen.shapes.reading import SUFFIXES
from pcgen.shapes.tree import Listing, Rejected, read_entry

#: A table of one of these names at the top of a source is used without being asked for.
OWN_TABLES = ("split.csv", "splits.csv", "all.csv", "manifest.csv")

_TABLE_LIMIT = 256 * 2**20
_TRAIN, _VAL = 0.8, 0.9  # by hash: up to 0.8 train, up to 0.9 val, then test


@dataclass(frozen=True)
class SplitTable:
    """A splits file: split and, where the file says so, category, by the name of a shape.

    Names are compared in one form of Unicode, with forward slashes. A name that rows of different
    splits share (one model in two synsets) counts for nothing by itself.
    """

    origin: str
    rows: dict[str, tuple[str, str | None]]

    def row(self, item: Item) -> tuple[str, str | None] | None:
        """The row of a shape, by the surest of its names that is in the table."""
        for name in _names_of(item):
            found = self.rows.get(name)
            if found is not None:
                return found if found[0] else None
        return None


def read_table(source: Path | str | bytes, origin: str) -> SplitTable:
    """Read ``id,synsetId,subSynsetId,modelId,split`` (ShapeNet), or ``file[,category],split``.

    Columns may come in any order and among others.

    Raises:
        DataError: no such file, or no such columns.
    """
    try:
        data = source if isinstance(source, bytes) else read_file(Path(source), _TABLE_LIMIT)
        text = plain(data).decode("utf-8")
        first = text.partition("\n")[0]
        mark = max(",;\t", key=first.count)  # as Excel writes it in some countries
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark)
        columns = {(name or "").strip(): name for name in reader.fieldnames or ()}
        found: dict[str, tuple[str, str | None]] = {}
        if {"modelId", "split"} <= columns.keys():
            for row in reader:
                model = _cell(row, columns["modelId"])
                value = (_split_name(_cell(row, columns["split"])), None)
                if "synsetId" in columns:
                    synset = _cell(row, columns["synsetId"])
                    # Spreadsheets drop the leading zero of a synset.
                    found[f"{synset.zfill(8)}/{model}"] = found[f"{synset}/{model}"] = value
                if found.setdefault(model, value) != value:
                    found[model] = ("", None)
        elif {"file", "split"} <= columns.keys():
            for row in reader:
                category = _cell(row, columns["category"]) if "category" in columns else ""
                split = _split_name(_cell(row, columns["split"]))
                found[_form(_cell(row, columns["file"]))] = (split, category or None)
        else:
            raise ValueError(f"it has {', '.join(columns) or 'none'}")
    except (InputError, MeshError, ValueError, csv.Error) as error:
        raise DataError(
            f"{origin} is not a splits file with the columns modelId,split (ShapeNet's) or "
            f"file,split: {error}"
        ) from None
    return SplitTable(origin, found)


def find_table(listing: Listing, remarks: list[str]) -> SplitTable | None:
    """The splits file that a source brings along, or its lists of names, if it does.

    Args:
        remarks: is told of a file that is called a splits file and is none.
    """
    for name in OWN_TABLES:
        for entry in listing.entries:
            if entry.path == name:
                try:
                    return read_table(read_entry(entry, _TABLE_LIMIT), entry.path)
                except (DataError, InputError) as error:
                    if name.startswith("split"):  # others may be tables of anything
                        remarks.append(f"{error}; it is not used")
    return _find_lists(listing)


def _find_lists(listing: Listing) -> SplitTable | None:
    """Files such as ``train.txt``, ``modelnet40_test.txt`` or ``<synset>/val.lst``: a name a line.

    A name may be a path, with or without an ending; one in a list that lies in a folder may be
    of that folder.
    """
    rows: dict[str, tuple[str, str | None]] = {}
    origins = []
    for entry in listing.entries:
        split = split_in(entry.stem) if entry.suffix in (".txt", ".lst") else None
        if split is None or entry.size > _TABLE_LIMIT:
            continue
        try:
            data = plain(read_entry(entry, _TABLE_LIMIT))
        except (InputError, MeshError):
            continue
        lines = data.decode("utf-8", "replace").splitlines()
        names = [line.split()[0].split(",")[0] for line in lines if line.strip()]
        if not names or looks_like_points(data[:4096]):
            continue
        origins.append(entry.path)
        folder = entry.path.rpartition("/")[0]
        for name in map(_form, names):
            value = (split, None)
            for key in {name, _bare(name)}:
                if folder:
                    rows[f"{folder}/{key}"] = value
                if rows.setdefault(key, value) != value:
                    rows[key] = ("", None)
    if not rows:
        return None
    several = f" and {len(origins) - 1} more lists" if len(origins) > 1 else ""
    return SplitTable(f"{origins[0]}{several}", rows)


def apply_table(items: Iterable[Item], table: SplitTable) -> tuple[list[Item], list[Rejected]]:
    """Give each item the split of its row; an item without a row belongs to no split."""
    kept, rejected = [], []
    for item in items:
        row = table.row(item)
        if row is None:
            rejected.append(Rejected(item.where, f"it is not in the splits file {table.origin}"))
            continue
        split, category = row
        if category and category != item.category:
            name = item.id.removeprefix(f"{item.category}/")
            item = replace(item, category=category, id=f"{category}/{name}")
        kept.append(replace(item, split=split))
    return kept, rejected


def _names_of(item: Item) -> list[str]:
    """What a table may call a shape, the surest first: whole paths, then ends of them."""
    path = item.entry.path if item.row is None else f"{item.entry.path}[{item.row}]"
    whole = [*item.names, item.id]
    for one in dict.fromkeys((path, item.entry.path)):  # then what is said of all of its file
        parts = _bare(one).split("/")
        whole += [one, *("/".join(parts[k:]) for k in range(len(parts)))]
    return list(dict.fromkeys(_form(name) for name in whole))


def _form(name: str) -> str:
    """A name as it is compared."""
    name = name.strip().replace("\\", "/").removeprefix("./")
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _bare(name: str) -> str:
    """A path without its ending."""
    folder, _, own = name.rpartition("/")
    stem, dot, suffix = own.rpartition(".")
    own = stem if dot and stem and f".{suffix.lower()}" in SUFFIXES else own
    return f"{folder}/{own}" if folder else own


def split_by_hash(items: list[Item]) -> list[Item]:
    """80 % train, 10 % val, 10 % test for items that have no split, by the hash of their id.

    An id keeps its split whatever else is in the set; only where a split would stay empty does the
    item with the highest hash go to test or val, that with the lowest to train, which comes first:
    a single shape is for training, of two the other is for test.
    """
    open_ids = sorted((item.id for item in items if item.split is None), key=_position)
    chosen = {
        name: "train" if _position(name) < _TRAIN else "val" if _position(name) < _VAL else "test"
        for name in open_ids
    }
    given = {item.split for item in items if item.split is not None}
    if open_ids and "train" not in (*chosen.values(), *given):
        chosen[open_ids[0]] = "train"
    if not given and len(open_ids) >= 2 and "test" not in chosen.values():
        chosen[open_ids[-1]] = "test"
    if not given and len(open_ids) >= 3 and "val" not in chosen.values():
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
