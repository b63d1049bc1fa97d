"""Layouts of collections on disk; :mod:`paths` has those that only differ in their paths.

A layout has a text ``EXPECTED``, which describes the layout in messages, and two functions:

* ``recognises(listing) -> bool`` - whether a source has this layout.
* ``find(listing) -> Found`` - its shapes, in any order, and what is left out.

Layouts open only small tables of names and headers of arrays. ``auto`` tries them in the
order of :data:`LAYOUTS`; ``folder`` accepts every source and comes last.
"""

from __future__ import annotations

import functools
import importlib
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

from pcgen.errors import DataError, InputError
from pcgen.shapes.formats import LOOSE_SUFFIXES, UNUSABLE
from pcgen.shapes.formats.text import LEAST
from pcgen.shapes.items import HDF5, SHAPE_SUFFIXES, SourceItem
from pcgen.shapes.listing import Entry, Listing, Rejected

LAYOUTS = ("shapenet", "modelnet", "pc15k", "shapenetpart", "partnet", "hdf5", "folder")

#: Folders and ends of names that mark whole and partial shapes in completion data sets.
WHOLE = ("complete", "completes", "gt", "ground_truth", "groundtruth")
_PARTIAL = ("partial", "partials", "incomplete", "incompletes")


@dataclass(frozen=True)
class Found:
    """The shapes of a source.

    Attributes:
        items: in any order; ids may repeat.
        rejected: files and folders that look like shapes or categories but are not.
        aliases: other names of categories (synset numbers, synonyms), with the name used here.
        rule: one sentence for the report on how categories and splits were found.
        remarks: sentences for the report on what was skipped.
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
    """The name of the layout and the shapes of a source.

    Raises:
        InputError: an unknown layout.
        DataError: the layout finds no shape.
    """
    if layout not in ("auto", *LAYOUTS):
        raise InputError(f"format must be auto or one of {', '.join(LAYOUTS)}, got {layout!r}")
    names = LAYOUTS if layout == "auto" else (layout,)
    for name in names:
        module = _layout(name)
        if layout != "auto" or name == "folder" or module.recognises(listing):
            found = module.find(listing)
            if not found.items and not found.rejected and not listing.rejected:
                seen = "".join(f". {line}" for line in skipped_remarks(listing, found, loose=True))
                raise DataError(f"no shapes in {listing.name}: expected {module.EXPECTED}{seen}")
            if layout == "auto" and name != "folder" and not _covers(found, listing):
                continue  # one file that looks like a layout must not decide for all others
            return name, _in_one_form(found)
    raise AssertionError("folder takes every source")


def _layout(name: str) -> Layout:
    from pcgen.shapes.layouts.paths import PATH_LAYOUTS

    found = PATH_LAYOUTS.get(name) or importlib.import_module(f"pcgen.shapes.layouts.{name}")
    return cast(Layout, found)


def whole_shapes(entries: list[Entry]) -> tuple[list[Entry], tuple[str, ...]]:
    """The files of a completion data set that hold whole shapes, and a remark on partial ones.

    Folders and the ends of names distinguish whole from partial shapes; without whole ones, all
    files are used.
    """

    def has_word(entry: Entry, words: tuple[str, ...]) -> bool:
        *folders, name = entry.path.lower().split("/")
        end = re.split(r"[-_. ]", name.rsplit(".", 1)[0])[-1]
        return end in words or any(folder in words for folder in folders)

    partial = {entry.path for entry in entries if has_word(entry, _PARTIAL)}
    if not partial or not any(has_word(e, WHOLE) for e in entries if e.path not in partial):
        return entries, ()
    remark = f"{len(partial)} partial clouds of a completion data set are left out"
    return [entry for entry in entries if entry.path not in partial], (remark,)


def count_ignored(listing: Listing, found: Found) -> dict[str, int]:
    """The number of unused files by suffix, the most frequent first."""
    used = {entry.path for item in found.items for entry in (item.entry, *item.parts)}
    named = {item.item for item in found.rejected}
    others = Counter(
        ".tar.gz" if entry.path.lower().endswith(".tar.gz") else entry.suffix or "(none)"
        for entry in listing.entries
        if entry.path not in used
        and entry.where not in named
        and not entry.path.lower().endswith(".json.gz")  # a table
    )
    return dict(others.most_common(50))


def skipped_remarks(listing: Listing, found: Found, loose: bool = False) -> list[str]:
    """Remarks on shape files that are not read, and what to do about them.

    Args:
        loose: include text files, which may hold anything.
    """
    lines = []
    for suffix, count in count_ignored(listing, found).items():
        reason = UNUSABLE.get("." + suffix.rsplit(".", 1)[-1])
        if loose and suffix in LOOSE_SUFFIXES:
            reason = f"a cloud has {LEAST} lines 'x y z' or more"
        elif loose and suffix in (".bin", ".dat"):
            reason = "save its points as .npy, (P, 3)"
        if reason:
            lines.append(f"{count} {suffix} not read: {reason}")
    return lines


def _covers(found: Found, listing: Listing) -> bool:
    """Whether a layout accounts for most shape files of a source, with those it rejects."""
    shapes = sum(entry.suffix in SHAPE_SUFFIXES for entry in listing.entries)
    used = {entry.path for item in found.items for entry in (item.entry, *item.parts)}
    of_hdf5 = all(item.entry.suffix in HDF5 for item in found.items)
    most = 1 if of_hdf5 else 2
    return (len(used) + len(found.rejected)) * most >= shapes


def _in_one_form(found: Found) -> Found:
    """Names in Unicode NFC: zip files from a Mac spell ü with two characters."""
    if all(item.id.isascii() for item in found.items):
        return found
    form = functools.partial(unicodedata.normalize, "NFC")
    items = [replace(i, id=form(i.id), category=form(i.category)) for i in found.items]
    return replace(found, items=items)
