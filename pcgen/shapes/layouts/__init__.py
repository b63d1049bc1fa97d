"""How collections lie on disk, one module a layout.

A layout module has a line ``EXPECTED`` that tells a person what it looks for, and two functions:

* ``recognises(listing) -> bool`` - does a source look like this?
* ``find(listing) -> Found`` - its shapes, in no particular order, and what had to be left out.

Nothing is opened here but small tables of names, and headers of arrays. ``auto`` asks the modules
in the order of :data:`LAYOUTS`; ``folder`` takes everything and comes last.
"""

from __future__ import annotations

import functools
import importlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from pcgen.errors import DataError, InputError
from pcgen.shapes.formats import LOOSE_SUFFIXES, UNUSABLE
from pcgen.shapes.formats.text import LEAST
from pcgen.shapes.items import HDF5, SHAPE_SUFFIXES, SourceItem
from pcgen.shapes.listing import Entry, Listing, Rejected

LAYOUTS = ("shapenet", "modelnet", "pc15k", "shapenetpart", "partnet", "hdf5", "folder")

#: Folder names that mean a split, and the split they mean.
SPLIT_NAMES: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

#: Folders and endings of names by which completion sets tell whole shapes from parts of them.
WHOLE = ("complete", "completes", "gt", "ground_truth", "groundtruth")
_PARTIAL = ("partial", "partials", "incomplete", "incompletes")


@dataclass(frozen=True)
class Found:
    """The shapes of a source.

    Attributes:
        items: in any order; ids may still repeat.
        rejected: what looks like a shape or a category and is none.
        aliases: other names of categories (synset numbers, synonyms) and the name used here.
        rule: one sentence for the report on how categories and splits were read off.
        remarks: further sentences for people: what was passed over, and how much of it.
    """

    items: list[SourceItem]
    rejected: list[Rejected] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    rule: str = ""
    remarks: tuple[str, ...] = ()


class Layout(Protocol):
    EXPECTED: str

    def recognises(self, listing: Listing) -> bool: ...

    def find(self, listing: Listing) -> Found: ...


def find_items(listing: Listing, layout: str = "auto") -> tuple[str, Found]:
    """The layout's name and the shapes of a source.

    Raises:
        InputError: no layout of that name.
        DataError: the layout finds no shape.
    """
    if layout not in ("auto", *LAYOUTS):
        raise InputError(f"format must be auto or one of {', '.join(LAYOUTS)}, got {layout!r}")
    names = LAYOUTS if layout == "auto" else (layout,)
    for name in names:
        module = cast(Layout, importlib.import_module(f"pcgen.shapes.layouts.{name}"))
        if layout != "auto" or name == "folder" or module.recognises(listing):
            found = module.find(listing)
            if not found.items and not found.rejected and not listing.rejected:
                seen = "".join(f". {line}" for line in skipped_remarks(listing, found, loose=True))
                raise DataError(f"no shapes in {listing.name}: expected {module.EXPECTED}{seen}")
            if layout == "auto" and name != "folder" and not _covers(found, listing):
                continue  # one file that looks like a layout must not decide for all others
            return name, _in_one_form(found)
    raise AssertionError("folder takes every source")


def whole_shapes(entries: list[Entry]) -> tuple[list[Entry], tuple[str, ...]]:
    """The files of a completion set that hold whole shapes, and how many hold parts of them.

    A part says so by its folder or the end of its name; where nothing says that it is whole, all
    are kept.
    """

    def tells(entry: Entry, words: tuple[str, ...]) -> bool:
        *folders, name = entry.path.lower().split("/")
        end = re.split(r"[-_. ]", name.rsplit(".", 1)[0])[-1]
        return end in words or any(folder in words for folder in folders)

    partial = {entry.path for entry in entries if tells(entry, _PARTIAL)}
    if not partial or not any(tells(e, WHOLE) for e in entries if e.path not in partial):
        return entries, ()
    remark = f"{len(partial)} partial clouds of a completion set are left out; the whole ones count"
    return [entry for entry in entries if entry.path not in partial], (remark,)


def split_in(stem: str) -> str | None:
    """The split that the name of a file means: ``ply_data_train0``, ``test_objectdataset``."""
    words = re.findall(r"[a-z]+", stem.lower())
    splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    return splits.pop() if len(splits) == 1 else None


def count_ignored(listing: Listing, found: Found) -> dict[str, int]:
    """How many files of each kind were passed over, the most frequent kinds first."""
    used = {entry.path for item in found.items for entry in (item.entry, *item.parts)}
    named = {item.item for item in found.rejected}
    others = Counter(
        ".tar.gz" if entry.path.lower().endswith(".tar.gz") else entry.suffix or "(none)"
        for entry in listing.entries
        if entry.path not in used and entry.where not in named
    )
    return dict(others.most_common(50))


def skipped_remarks(listing: Listing, found: Found, loose: bool = False) -> list[str]:
    """In words: files of shapes that are not read, and how to have them read.

    Args:
        loose: tell of text files too, which may be anything.
    """
    lines = []
    for suffix, count in count_ignored(listing, found).items():
        reason = UNUSABLE.get("." + suffix.rsplit(".", 1)[-1])
        if loose and suffix in LOOSE_SUFFIXES:
            reason = f"a cloud has {LEAST} lines 'x y z' or more"
        if reason:
            lines.append(f"{count} {suffix} not read: {reason}")
    return lines


def _covers(found: Found, listing: Listing) -> bool:
    """Whether a layout explains most files of shapes in a source, those it rejects included."""
    shapes = sum(entry.suffix in SHAPE_SUFFIXES for entry in listing.entries)
    used = {entry.path for item in found.items for entry in (item.entry, *item.parts)}
    of_hdf5 = all(item.entry.suffix in HDF5 for item in found.items)
    most = 1 if of_hdf5 else 2
    return (len(used) + len(found.rejected)) * most >= shapes


def _in_one_form(found: Found) -> Found:
    """Names in one form of Unicode: a zip from a Mac spells ü with two letters."""
    if all(item.id.isascii() for item in found.items):
        return found
    form = functools.partial(unicodedata.normalize, "NFC")
    items = [replace(i, id=form(i.id), category=form(i.category)) for i in found.items]
    return replace(found, items=items)
