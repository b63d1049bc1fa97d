"""How collections lie on disk, one module a layout.

A layout module has a line ``EXPECTED`` that tells a person what it looks for, and two functions:

* ``recognises(listing) -> bool`` - does a source look like this?
* ``find(listing) -> Found`` - its shapes, in no particular order, and what had to be left out.

Nothing is opened here but small tables of names, and headers of arrays. ``auto`` asks the modules
in the order of :data:`LAYOUTS`; ``folder`` takes everything and comes last.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from pcgen.errors import DataError, InputError
from pcgen.shapes.items import Item
from pcgen.shapes.tree import Listing, Rejected

LAYOUTS = ("shapenet", "modelnet", "pc15k", "shapenetpart", "hdf5", "folder")

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


@dataclass(frozen=True)
class Found:
    """The shapes of a source.

    Attributes:
        items: in any order; ids may still repeat.
        rejected: what looks like a shape or a category and is none.
        aliases: other names of categories (synset numbers, synonyms) and the name used here.
        rule: one sentence for the report on how categories and splits were read off.
    """

    items: list[Item]
    rejected: list[Rejected] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    rule: str = ""


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
                raise DataError(f"no shapes in {listing.name}: expected {module.EXPECTED}")
            return name, found
    raise AssertionError("folder takes every source")
