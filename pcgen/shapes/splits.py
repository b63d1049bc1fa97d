"""Assign shapes to train, val and test by a table, by the layout, or by hash."""

from __future__ import annotations

import csv
import hashlib
import io
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pcgen.errors import DataError, InputError, MeshError
from pcgen.files import parse_json
from pcgen.shapes.formats.raw import to_utf8
from pcgen.shapes.formats.text import looks_like_points
from pcgen.shapes.items import SourceItem
from pcgen.shapes.listing import Entry, Listing, Rejected, read_entry
from pcgen.shapes.mesh_files import read_file
from pcgen.shapes.reading import SUFFIXES
from pcgen.shapes.split_names import SPLIT_NAMES, split_in

#: Tables at the top of a source are used by default, those with these names first.
OWN_TABLES = ("split.csv", "splits.csv", "all.csv", "manifest.csv")

_MODEL_COLUMNS = ("modelid", "model_id")
_FILE_COLUMNS = ("file", "filename", "path", "object_path", "name", "model", "id", "object_id")
# In JSON: keys of the name of a model, and of its folder.
_MODEL_KEYS = ("anno_id", "modelId", "model_id", "file", "path", "name", "id")
_JSON_LISTS = ("pcn", "completion3d", "dataset")  # other names of split files
_SYNSET_KEYS = ("taxonomy_id", "synsetId", "synset")
_TABLES = (".csv", ".tsv")
_TABLE_LIMIT = 256 * 2**20
_TRAIN, _VAL = 0.8, 0.9  # by hash: up to 0.8 train, up to 0.9 val, then test


@dataclass(frozen=True)
class SplitTable:
    """A splits file: the split and, optionally, the category by the name of a shape.

    Names are compared in Unicode NFC, with forward slashes. A name in rows of different splits (one
    model in two synsets) is not used by itself.
    """

    origin: str
    rows: dict[str, tuple[str, str | None]]

    def row(self, item: SourceItem) -> tuple[str, str | None] | None:
        """The row of a shape, by the most specific of its names that is in one split.

        A row with an empty split means that the table has the name in several.
        """
        found = [self.rows[name] for name in _names_of(item) if name in self.rows]
        return next((row for row in found if row[0]), found[0] if found else None)


def read_table(source: Path | str | bytes, origin: str) -> SplitTable:
    """Read ``id,synsetId,subSynsetId,modelId,split`` (ShapeNet), or ``file[,category],split``.

    Columns may have any order, and others are ignored; the first may also be called model, path,
    name or id.

    Raises:
        DataError: no such file, or no such columns.
    """
    try:
        data = source if isinstance(source, bytes) else read_file(Path(source), _TABLE_LIMIT)
        text = to_utf8(data).decode("utf-8")
        first = text.partition("\n")[0]
        mark = max(",;\t", key=first.count)  # Excel uses semicolons in some countries
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark)
        columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
        found: dict[str, tuple[str, str | None]] = {}
        model_column = next((c for c in _MODEL_COLUMNS if c in columns), None)
        file_column = next((c for c in _FILE_COLUMNS if c in columns), None)
        column = columns.get(model_column or file_column or "")
        if column is not None and "split" in columns:
            for row in reader:
                cells = {name: (row.get(own) or "").strip() for name, own in columns.items()}
                category = None if model_column else cells.get("category") or None
                value = (_split_name(cells["split"]), category)
                name = _form((row[column] or "").strip())
                if model_column and "synsetid" in cells:
                    synset = cells["synsetid"]
                    # Spreadsheets drop the leading zero of a synset.
                    found[f"{synset.zfill(8)}/{name}"] = found[f"{synset}/{name}"] = value
                for key in _keys(name):
                    if found.setdefault(key, value) != value:
                        found[key] = ("", None)
        else:
            raise ValueError(f"it has {', '.join(columns) or 'none'}")
    except (InputError, MeshError, ValueError, csv.Error) as error:
        raise DataError(
            f"{origin} is not a splits file with the columns modelId,split (ShapeNet's) or "
            f"file,split: {error}"
        ) from None
    return SplitTable(origin, found)


def _keys(name: str) -> list[str]:
    """A name in a table as it is, without suffix, and the end of an absolute path."""
    bare = _bare(name)
    absolute = name.startswith("/") or name[1:2] == ":"
    return list(dict.fromkeys((name, bare, *["/".join(bare.split("/")[-2:])] * absolute)))


def find_table(listing: Listing, remarks: list[str]) -> SplitTable | None:
    """The splits file of a source, or its lists of names; None if it has neither.

    Args:
        remarks: receives a remark if a file is named like a splits file but is not one.
    """
    folders = [entry.parts[:-1] for entry in listing.entries]
    levels = enumerate(zip(*folders, strict=False))
    shortest = min(map(len, folders), default=0)
    depth = next((k for k, names in levels if len(set(names)) > 1), shortest)  # of the outermost
    top = [e for e in listing.entries if len(e.parts) == depth + 1 and e.suffix in _TABLES]
    rank = {name: number for number, name in enumerate(OWN_TABLES)}
    for entry in sorted(top, key=lambda entry: rank.get(entry.parts[-1].lower(), len(rank))):
        try:
            return read_table(read_entry(entry, _TABLE_LIMIT), entry.path)
        except (DataError, InputError) as error:
            if "split" in entry.stem.lower():  # other tables may hold anything
                remarks.append(f"{error}; it is not used")
    return _find_lists(listing)


def _find_lists(listing: Listing) -> SplitTable | None:
    """Files such as ``train.txt``, ``<synset>/val.lst``, ``shuffled_test_file_list.json``.

    In text, a name is a line or its first word; in a table, the column ``file``, ``name`` and so
    on, or the first one; for JSON see :func:`_json_names`. A name may be a path, with or without
    suffix, relative to the source or to the folder of the list.
    """
    rows: dict[str, tuple[str, str | None]] = {}
    origins = []
    for entry in listing.entries:
        found = _listed(entry)
        if not found:
            continue
        origins.append(entry.path)
        folder = entry.path.rpartition("/")[0]
        for split, name in found:
            value, bare = (split, None), _bare(_form(name))
            for key in {_form(name), bare, "/".join(bare.split("/")[-2:])}:
                for one in (key, f"{folder}/{key}") if folder else (key,):
                    if rows.setdefault(one, value) != value:
                        rows[one] = ("", None)
    if not rows:
        return None
    several = f" and {len(origins) - 1} more lists" if len(origins) > 1 else ""
    return SplitTable(f"{origins[0]}{several}", rows)


def _listed(entry: Entry) -> list[tuple[str, str]]:
    """The names in a list with their splits; empty if the file is not a list."""
    split, stem = split_in(entry.stem), entry.stem.lower()
    of_json = entry.suffix == ".json" and (split or "split" in stem or stem in _JSON_LISTS)
    if entry.size > _TABLE_LIMIT or "id2" in stem:  # names of the rows of an HDF5 file
        return []
    if not of_json and not (split and entry.suffix in (".txt", ".lst", *_TABLES)):
        return []
    try:
        data = to_utf8(read_entry(entry, _TABLE_LIMIT))
        if of_json:
            return list(_json_names(parse_json(data), split))
    except (InputError, MeshError, ValueError, RecursionError):
        return []
    if split is None or looks_like_points(data[:4096]):
        return []
    lines = [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]
    if entry.suffix in _TABLES:
        mark = max(",;\t", key=lines[0].count) if lines else ","
        rows = [row for row in csv.reader(lines, delimiter=mark) if row]
        words = [word.strip().lower() for word in rows[0]] if rows else []
        column = next((words.index(name) for name in _FILE_COLUMNS if name in words), 0)
        return [(split, row[column]) for row in rows if len(row) > column]
    # A name is the first word of a line, or the whole line: "chair 1.obj".
    first = [line.split()[0].split(",")[0] for line in lines]
    return [(split, name) for name in (*first, *lines)]


def _json_names(
    value: Any, split: str | None, place: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """The split and name of every model in nested lists, in objects with a key per split or synset,
    and in an object per model or taxonomy."""
    if isinstance(value, str | int) and split:
        yield split, "/".join((*place, str(value)))
    elif isinstance(value, list):
        for one in value:
            yield from _json_names(one, split, place)
    elif isinstance(value, dict):
        place = (*place, *(str(value[key]) for key in _SYNSET_KEYS if key in value))
        model = next((value[key] for key in _MODEL_KEYS if key in value), None)
        own = SPLIT_NAMES.get(str(value.get("split", "")).lower(), split)
        if isinstance(model, str | int) and own:
            yield own, "/".join((*place, str(model)))
            return
        for key, one in value.items():
            known = SPLIT_NAMES.get(key.lower())
            if isinstance(one, list | dict):
                yield from _json_names(one, known or split, place if known else (*place, key))


def apply_table(
    items: Iterable[SourceItem], table: SplitTable
) -> tuple[list[SourceItem], list[Rejected]]:
    """Give each item the split of its row; reject items without a row."""
    kept, rejected = [], []
    for item in items:
        row = table.row(item)
        if row is None or not row[0]:
            fault = "in two splits of" if row else "not in"
            rejected.append(Rejected(item.where, f"it is {fault} the splits file {table.origin}"))
            continue
        split, category = row
        if category and category != item.category:
            name = item.id.removeprefix(f"{item.category}/")
            item = replace(item, category=category, id=f"{category}/{name}")
        kept.append(replace(item, split=split))
    return kept, rejected


def _names_of(item: SourceItem) -> list[str]:
    """The names of a shape in a table, the most specific first: whole paths, then their ends."""
    path = item.entry.path if item.row is None else f"{item.entry.path}[{item.row}]"
    whole = [*item.names, item.id]
    for one in dict.fromkeys((path, item.entry.path)):  # then the names of its file
        parts = _bare(one).split("/")
        whole += [one, *("/".join(parts[k:]) for k in range(len(parts)))]
    return list(dict.fromkeys(_form(name) for name in whole))


def _form(name: str) -> str:
    """The normalised form of a name, for comparison."""
    name = name.strip().replace("\\", "/").removeprefix("./")
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _bare(name: str) -> str:
    """A path without its suffix."""
    folder, _, own = name.rpartition("/")
    stem, dot, suffix = own.rpartition(".")
    own = stem if dot and stem and f".{suffix.lower()}" in SUFFIXES else own
    return f"{folder}/{own}" if folder else own


def split_by_hash(items: list[SourceItem]) -> list[SourceItem]:
    """80 % train, 10 % val, 10 % test for items that have no split, by the hash of their id.

    The split of an id does not depend on the other items, unless a split would stay empty: then the
    item with the highest hash goes to test or val, and that with the lowest to train. Train comes
    first: a single shape is for training; of two, the other is for test.
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
    """A number in [0, 1) from the hash of the id."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "replace")).digest()[:6]) / 2**48


def _split_name(text: str) -> str:
    if not text:
        raise ValueError("a row has no split")
    return SPLIT_NAMES.get(text.lower(), text)
